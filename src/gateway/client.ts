/**
 * One connection of a client: reads requests in order, gives each to its backend, sends the body on, and returns the
 * connection to rest when the answer is complete. The rungs in between are in files of their own.
 */
import { codeOfRefusal, errorAnswer, type AnswerOptions, type GatewayCode } from './answer.ts';
import { hostOf } from './authority.ts';
import { judge, mayRepeat, triedLongEnough } from './deadlines.ts';
import type { EndpointState } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { CONNECTING, Exchange, FORWARDING } from './exchange.ts';
import { INCOMPLETE } from './http1/fields.ts';
import { ForwardedRequest } from './request-forward.ts';
import { StreamWindow } from './stream-window.ts';
import { TimerEntry } from './timer-wheel.ts';
import { FAILED, type Connection, type ConnectionHandler, type WriteOutcome } from './transport/transport.ts';

const HEAD = 0;
const EXCHANGE = 1;
const TUNNEL = 2;
/** The answer is out, the connection ends; what still comes is read and thrown away, or the answer could be lost. */
const LINGER = 3;
const CLOSED = 4;

/** Bytes of a client that wait for a slot or a pipelined turn, before it is read no further. */
const HOLD_BYTES = 65_536;
const NOTHING = Buffer.alloc(0);

export class ClientConnection extends StreamWindow implements ConnectionHandler {
  /** Reached through the listener for pods and dispatchers. */
  readonly local: boolean;
  readonly peer: string;
  readonly #engine: Engine;
  readonly #connection: Connection;
  readonly #forwarded: ForwardedRequest;
  readonly #timer: TimerEntry;
  #state = HEAD;
  #exchange: Exchange | null = null;
  #reading = true;
  #peerEnded = false;
  #podEnded = false;
  /** When the state that the timer watches began. */
  #since: number;
  /** Part of a head came. */
  #headBegun = true;

  constructor(engine: Engine, connection: Connection, local: boolean) {
    super();
    this.#engine = engine;
    this.#connection = connection;
    this.local = local;
    this.peer = connection.remoteAddress || 'unknown';
    this.#forwarded = new ForwardedRequest(engine, this);
    this.#since = engine.now();
    this.#timer = new TimerEntry((now) => this.#onDue(now));
    engine.wheel.ensure(this.#timer, this.#since + engine.options.headTimeoutMs);
  }

  /** Bytes to the client wait in the process. */
  get pending(): boolean {
    return this.#connection.pending;
  }

  /** Nothing is being answered. */
  get resting(): boolean {
    return this.#state === HEAD && this.kept === null;
  }

  // --- events of the connection

  onConnect(): void {}

  onData(bytes: Buffer, length: number): void {
    this.moved();
    if (this.kept === null) return this.feed(bytes, length);
    const all = Buffer.concat([this.kept, bytes.subarray(0, length)]);
    const known = this.kept.length;
    this.kept = null;
    // Without another line end a head cannot have become complete; saves parsing it anew for every byte.
    const { headBytes } = this.#engine.options.limits;
    if (this.#state === HEAD && all.length < headBytes && all.indexOf(10, known) < 0) this.kept = all;
    else this.feed(all, all.length);
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#state === TUNNEL) this.tunnelEnded('client');
    else this.#settleEnd();
  }

  /** The client sends no more: what does that mean for what is going on? */
  #settleEnd(): void {
    if (this.#state === HEAD || this.#state === LINGER) {
      if (!this.pending) this.destroy();
      return;
    }
    // Half a request is an abort; after a whole one the client may just have nothing more to say.
    const exchange = this.#exchange;
    if (this.#state !== EXCHANGE || exchange === null) return;
    if (exchange.phase === FORWARDING && !exchange.requestDone && this.kept === null) this.destroy();
  }

  onError(): void {
    this.destroy();
  }

  onDrain(): void {
    if (this.#state === LINGER) {
      if (this.#peerEnded) return this.destroy();
      this.#since = this.#engine.now();
      this.#engine.wheel.ensure(this.#timer, this.#since + this.#engine.options.lingerMs);
      return;
    }
    if (this.#state === HEAD) return this.again();
    this.moved();
    this.#exchange?.upstream?.flow();
    this.#endTunnelWhenBothEnded();
  }

  // --- the stream of requests

  protected override looked(): void {
    if (this.#state === CLOSED) {
      this.kept = null;
      return;
    }
    if (this.#peerEnded) this.#settleEnd();
    this.#flow();
  }

  /** Reads on when there is room: the other side takes what came, or little enough is waiting. */
  #flow(): void {
    if (this.#state === CLOSED) return;
    let want = true;
    if (this.#state === EXCHANGE) {
      const exchange = this.#exchange;
      const held = this.kept?.length ?? 0;
      const sending = exchange?.phase === FORWARDING && !exchange.requestDone;
      want = sending ? !exchange.upstream?.pending : held < HOLD_BYTES;
    } else if (this.#state === TUNNEL) want = !this.#exchange?.upstream?.pending;
    else if (this.#state === HEAD) want = !this.pending;
    if (want === this.#reading) return;
    this.#reading = want;
    if (want) this.#connection.resume();
    else this.#connection.pause();
  }

  protected override process(): void {
    while (this.position < this.end && this.input !== null) {
      const before = this.position;
      if (this.#state === HEAD) {
        // The next of several pipelined requests waits until the client has taken the answer.
        if (this.pending || !this.#head(this.input)) return;
      } else if (this.#state === EXCHANGE || this.#state === TUNNEL) {
        const exchange = this.#exchange;
        if (exchange === null || exchange.upstream?.pending) return;
        if (this.#state === TUNNEL) {
          exchange.upstream?.write(this.input, this.position, this.end);
          this.position = this.end;
        } else {
          if (exchange.phase !== FORWARDING || exchange.requestDone) return;
          this.position = this.#forwarded.sendBody(exchange, this.input, this.position, this.end);
          this.#connection.bulk(!exchange.requestDone && exchange.bodyLeft > HOLD_BYTES);
          if (this.position === before) return;
        }
      } else {
        this.position = this.end;
      }
    }
  }

  /** Takes one request head; false when it is not complete yet. */
  #head(bytes: Buffer): boolean {
    const { request, options } = this.#engine;
    const behind = request.parse(bytes, this.position, this.end);
    if (behind === INCOMPLETE) {
      if (!this.#headBegun) {
        this.#headBegun = true;
        this.#since = this.#engine.now();
        this.#engine.wheel.ensure(this.#timer, this.#since + options.headTimeoutMs);
      }
      return false;
    }
    if (behind < 0) {
      const { refusal } = request.fields;
      this.#refuse(codeOfRefusal(refusal), refusal.reason, { json: false, isHead: false, close: true });
      return true;
    }
    this.position = behind;
    this.#begin(bytes, behind);
    return true;
  }

  #begin(bytes: Buffer, behind: number): void {
    const engine = this.#engine;
    const { request } = engine;
    const { fields } = request;
    const forwarded = this.#forwarded;
    const hasBody = fields.chunked || fields.contentLength > 0;
    const close = fields.close || (request.minor === 0 && !fields.keepAlive) || engine.closing;
    const answer = forwarded.answerOptions(bytes, close || hasBody);
    const host = hostOf(bytes, request.authorityStart, request.authorityEnd);
    if (host === undefined) {
      return this.#refuse('GATEWAY_BAD_REQUEST', 'Host is not a host name', { ...answer, close: true });
    }
    const found = forwarded.route(host, bytes);
    if (found.probe) {
      this.#write(forwarded.probeAnswer(found, bytes, answer));
      return this.#rest(answer.close);
    }
    if (found.backend === undefined) return this.#refuse(found.code, found.message, answer);
    const { backend, share, path } = found;
    const now = engine.now();
    let exchange = this.#exchange;
    if (exchange === null) this.#exchange = exchange = new Exchange(this, backend);
    exchange.begin(backend, now, request, bytes);
    exchange.closeAfter = close;
    exchange.isHead = answer.isHead;
    exchange.json = answer.json;
    this.position = forwarded.compose(exchange, share, path, host, bytes, behind, this.end);
    if (this.position < 0) {
      this.position = behind;
      return this.#refuse('GATEWAY_BAD_REQUEST', 'a chunk is malformed', { ...answer, close: true });
    }
    this.#state = EXCHANGE;
    this.#headBegun = false;
    if (backend.spec.timeoutMs > 0) engine.wheel.ensure(this.#timer, now + backend.spec.timeoutMs);
    backend.admit(exchange);
  }

  // --- what backends and upstream connections tell

  /** The exchange was put in the queue. */
  waits(): void {
    const exchange = this.#exchange;
    if (exchange)
      this.#engine.wheel.ensure(this.#timer, exchange.queuedAt + this.#engine.options.wakeTimeoutMs);
  }

  /** A slot of `endpoint` was taken for the exchange. */
  granted(endpoint: EndpointState): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.endpoint = endpoint;
    const now = this.#engine.now();
    const pooled = exchange.upgrade ? undefined : endpoint.takeIdle(exchange.idempotent, now);
    if (pooled) {
      exchange.upstream = pooled;
      pooled.attach(exchange);
      this.connected();
    } else {
      exchange.phase = CONNECTING;
      exchange.connectingAt = now;
      exchange.upstream = this.#engine.connect(endpoint, exchange);
      this.#engine.wheel.ensure(this.#timer, now + this.#engine.options.connectTimeoutMs);
    }
  }

  /** The upstream connection is there: the request goes out. */
  connected(): void {
    this.again(() => {
      const exchange = this.#exchange;
      if (exchange === null || exchange.upstream === null) return;
      const now = this.#engine.now();
      exchange.phase = FORWARDING;
      exchange.forwardedAt = now;
      exchange.movedAt = now;
      exchange.attempts++;
      const { responseStartTimeoutMs, idleTimeoutMs } = exchange.backend.spec;
      if (responseStartTimeoutMs > 0) this.#engine.wheel.ensure(this.#timer, now + responseStartTimeoutMs);
      if (idleTimeoutMs > 0) this.#engine.wheel.ensure(this.#timer, now + idleTimeoutMs);
      const input = this.input ?? NOTHING;
      if (exchange.expectContinue && !exchange.requestDone && this.position === this.end) {
        exchange.expectContinue = false;
        this.#write(CONTINUE);
      }
      const position = this.#forwarded.sendHead(exchange, input, this.position, this.end);
      if (position < 0) {
        // Not a byte left: the pod closed the pooled connection just now.
        exchange.upstream.destroy();
        exchange.attempts--;
        this.#tryElsewhere();
      } else this.position = position;
    });
  }

  upstreamDrained(): void {
    this.moved();
    if (this.#state === EXCHANGE || this.#state === TUNNEL) this.again();
    this.#endTunnelWhenBothEnded();
  }

  /** Bytes moved in either direction. */
  moved(): void {
    const exchange = this.#exchange;
    if (this.#state === EXCHANGE && exchange && exchange.backend.spec.idleTimeoutMs > 0) {
      exchange.movedAt = this.#engine.now();
    }
  }

  /** The first byte of an answer came. */
  answered(): void {
    const exchange = this.#exchange;
    if (exchange === null || exchange.answered) return;
    exchange.answered = true;
    this.#forwarded.dropReplay(exchange);
  }

  /** Bytes of an answer for the client. */
  send(bytes: Buffer, start: number, end: number): WriteOutcome {
    const outcome = this.#connection.write(bytes, start, end);
    if (outcome === FAILED) this.destroy();
    return outcome;
  }

  /** No connection to the pod could be made; nothing was sent. */
  connectFailed(code: string): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    const now = this.#engine.now();
    exchange.refusals++;
    exchange.refusedAt ||= now;
    const { key } = exchange.backend.spec;
    if (triedLongEnough(exchange, now, this.#engine.options)) {
      this.fail('GATEWAY_CONNECT_FAILED', `no endpoint of ${key} accepts connections (${code})`);
    } else this.#tryElsewhere();
  }

  /** The pod ended or broke its connection before the answer was complete. */
  upstreamLost(what: string): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (mayRepeat(exchange, this.#engine.options)) this.#tryElsewhere();
    else this.fail('GATEWAY_UPSTREAM_BROKEN', `the pod of ${exchange.backend.spec.key} ${what}`);
  }

  upstreamMalformed(reason: string): void {
    const key = this.#exchange?.backend.spec.key ?? '';
    this.fail('GATEWAY_UPSTREAM_MALFORMED', `the answer of ${key} is malformed: ${reason}`);
  }

  responseDone(now: number): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.upstream = null;
    this.again(() => {
      const close = exchange.closeAfter || !exchange.requestDone;
      this.#release(exchange, now);
      this.#rest(close);
    });
  }

  /** Both sides speak freely from now on; no timer applies. */
  tunnelBegun(): void {
    this.#connection.keepAlive(this.#engine.options.tunnelKeepAliveSeconds);
    this.#engine.wheel.cancel(this.#timer);
    this.again(() => {
      this.#state = TUNNEL;
    });
    if (this.#peerEnded) this.tunnelEnded('client');
  }

  tunnelEnded(side: 'client' | 'pod'): void {
    if (side === 'pod') {
      this.#podEnded = true;
      this.#connection.end();
    } else this.#exchange?.upstream?.endTunnel();
    this.#since = this.#engine.now();
    this.#engine.wheel.ensure(this.#timer, this.#since + this.#engine.options.halfTunnelMs);
    this.#endTunnelWhenBothEnded();
  }

  /** Answers the exchange with an error, or breaks the connection when an answer has begun. */
  fail(code: GatewayCode, message: string): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.upstream?.destroy();
    exchange.upstream = null;
    exchange.backend.leaveQueue(exchange);
    if (exchange.headSent) {
      this.#close(true);
      return;
    }
    this.again(() => {
      const close = exchange.closeAfter || !exchange.requestDone;
      this.#release(exchange, this.#engine.now());
      this.#refuse(code, message, {
        json: exchange.json,
        isHead: exchange.isHead,
        close,
        keepAlive10: exchange.minor === 0,
      });
    });
  }

  /** Closes at once and gives back all that the connection holds. */
  destroy(): void {
    this.#close(false);
  }

  // --- ends

  #close(broken: boolean): void {
    if (this.#state === CLOSED) return;
    const running = this.#state === EXCHANGE || this.#state === TUNNEL;
    this.#state = CLOSED;
    this.kept = null;
    this.#engine.wheel.cancel(this.#timer);
    if (broken) this.#connection.reset();
    else this.#connection.destroy();
    const exchange = this.#exchange;
    if (exchange && running) {
      exchange.upstream?.destroy();
      exchange.upstream = null;
      exchange.backend.leaveQueue(exchange);
      this.#release(exchange, this.#engine.now());
    }
    this.#engine.clientClosed(this);
  }

  /** Accounts for the end of the exchange and gives its slot back. */
  #release(exchange: Exchange, now: number): void {
    const { endpoint } = exchange;
    exchange.endpoint = null;
    this.#forwarded.dropReplay(exchange);
    exchange.backend.account.leave(now);
    if (this.#state !== CLOSED) this.#state = HEAD;
    endpoint?.release();
  }

  #tryElsewhere(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.upstream = null;
    const { endpoint, backend } = exchange;
    exchange.endpoint = null;
    if (backend.removed) this.fail('GATEWAY_BACKEND_REMOVED', `${backend.spec.key} was removed`);
    else if (!backend.spec.wakes && !backend.endpoints.some((other) => !other.draining)) {
      this.fail('GATEWAY_NO_ENDPOINT', `nothing serves ${backend.spec.key} any more`);
    } else backend.readmit(exchange);
    endpoint?.release();
  }

  #refuse(
    code: GatewayCode,
    message: string,
    options: Omit<AnswerOptions, 'keepAlive10'> & { keepAlive10?: boolean },
  ): void {
    this.#write(errorAnswer(code, message, { keepAlive10: false, ...options }));
    this.#rest(options.close);
  }

  #write(bytes: Buffer): void {
    if (this.#state !== CLOSED) this.send(bytes, 0, bytes.length);
  }

  /** After an answer: ready for the next request, or on the way out. */
  #rest(close: boolean): void {
    if (this.#state === CLOSED) return;
    const { options, wheel } = this.#engine;
    this.#since = this.#engine.now();
    this.#headBegun = false;
    if (!close && !this.#engine.closing) {
      this.#state = HEAD;
      wheel.ensure(this.#timer, this.#since + options.keepAliveMs);
      return;
    }
    this.#state = LINGER;
    this.#connection.end();
    if (this.#peerEnded && !this.pending) this.destroy();
    else wheel.ensure(this.#timer, this.#since + options.lingerMs);
  }

  #endTunnelWhenBothEnded(): void {
    if (this.#state !== TUNNEL || !this.#podEnded || !this.#peerEnded) return;
    if (!this.pending && !this.#exchange?.upstream?.pending) this.destroy();
  }

  // --- deadlines

  /** Acts on what is overdue; returns when to look again. */
  #onDue(now: number): number {
    const { options } = this.#engine;
    switch (this.#state) {
      case HEAD: {
        const due = this.#since + (this.#headBegun ? options.headTimeoutMs : options.keepAliveMs);
        if (now < due) return due;
        if (this.#headBegun && this.kept !== null && !this.pending) {
          this.#refuse('GATEWAY_REQUEST_SLOW', 'the head of the request did not come in time', {
            json: false,
            isHead: false,
            close: true,
          });
          return now + options.lingerMs;
        }
        this.destroy();
        return Infinity;
      }
      case LINGER: {
        // A slow reader may still be taking the last of its answer.
        const due = this.#since + (this.pending ? options.keepAliveMs : options.lingerMs);
        if (now < due) return due;
        this.destroy();
        return Infinity;
      }
      case TUNNEL:
        if (!this.#podEnded && !this.#peerEnded) return Infinity;
        if (now < this.#since + options.halfTunnelMs) return this.#since + options.halfTunnelMs;
        this.destroy();
        return Infinity;
      case EXCHANGE:
        return this.#exchange ? this.#exchangeDue(this.#exchange, now) : Infinity;
      default:
        return Infinity;
    }
  }

  #exchangeDue(exchange: Exchange, now: number): number {
    const verdict = judge(exchange, now, this.#engine.options);
    if ('next' in verdict) return verdict.next;
    if ('code' in verdict) this.fail(verdict.code, verdict.message);
    else {
      exchange.endpoint?.refused(now);
      exchange.upstream?.destroy();
      this.connectFailed('ETIMEDOUT');
    }
    return this.#onDue(now);
  }
}

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');
