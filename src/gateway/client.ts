/**
 * One connection of a client: reads requests in order, gives each to its backend, sends the body on, and returns the
 * connection to rest when the answer is complete. The rungs in between are in files of their own.
 */
import { codeOfRefusal, errorAnswer, type AnswerOptions, type GatewayCode } from './answer.ts';
import { hostOf } from './authority.ts';
import { ClientTimer } from './client-timer.ts';
import { judge } from './deadlines.ts';
import type { Engine } from './engine.ts';
import { Exchange, FORWARDING } from './exchange.ts';
import { INCOMPLETE } from './http1/fields.ts';
import { ForwardedRequest } from './request-forward.ts';
import { StreamWindow } from './stream-window.ts';
import { FAILED, type Connection, type ConnectionHandler, type WriteOutcome } from './transport/transport.ts';
import { Tunnel } from './tunnel.ts';
import type { UpstreamConnection } from './upstream.ts';

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
  readonly #timer: ClientTimer;
  #state = HEAD;
  #exchange: Exchange | null = null;
  #tunnel: Tunnel | null = null;
  #reading = true;
  #peerEnded = false;

  constructor(engine: Engine, connection: Connection, local: boolean) {
    super();
    this.#engine = engine;
    this.#connection = connection;
    this.local = local;
    this.peer = connection.remoteAddress || 'unknown';
    this.#forwarded = new ForwardedRequest(engine, this);
    this.#timer = new ClientTimer(engine, (now) => this.#onDue(now));
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
    if (this.#tunnel) this.tunnelEnded('client');
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
      return this.#peerEnded ? this.destroy() : this.#timer.lingers();
    }
    if (this.#state === HEAD) return this.again();
    this.moved();
    this.#exchange?.upstream?.flow();
    if (this.#tunnel?.over) this.destroy();
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
    } else if (this.#state === TUNNEL) want = !this.#tunnel?.pod.pending;
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
    const { request } = this.#engine;
    const behind = request.parse(bytes, this.position, this.end);
    if (behind === INCOMPLETE) {
      this.#timer.headBegins();
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
    if (exchange === null) this.#exchange = exchange = new Exchange(engine, this, backend);
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
    this.#timer.headBegun = false;
    if (backend.spec.timeoutMs > 0) this.lookAgainAt(now + backend.spec.timeoutMs);
    backend.admit(exchange);
  }

  // --- what backends and upstream connections tell

  /** A deadline of the exchange is at `time`. */
  lookAgainAt(time: number): void {
    this.#timer.lookAgainAt(time);
  }

  /** The upstream connection is there: the request goes out. */
  forward(): void {
    this.again(() => {
      const exchange = this.#exchange;
      if (exchange === null || exchange.upstream === null) return;
      exchange.forwarding();
      const input = this.input ?? NOTHING;
      if (exchange.expectContinue && !exchange.requestDone && this.position === this.end) {
        exchange.expectContinue = false;
        this.#write(CONTINUE);
      }
      const position = this.#forwarded.sendHead(exchange, input, this.position, this.end);
      if (position < 0) exchange.notSent();
      else this.position = position;
    });
  }

  upstreamDrained(): void {
    this.moved();
    if (this.#state === EXCHANGE || this.#state === TUNNEL) this.again();
    if (this.#tunnel?.over) this.destroy();
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
  tunnelBegun(pod: UpstreamConnection): void {
    this.#connection.keepAlive(this.#engine.options.tunnelKeepAliveSeconds);
    this.#timer.cancel();
    this.again(() => {
      this.#state = TUNNEL;
      this.#tunnel = new Tunnel(this.#connection, pod);
    });
    if (this.#peerEnded) this.tunnelEnded('client');
  }

  tunnelEnded(side: 'client' | 'pod'): void {
    this.#tunnel?.end(side);
    this.#timer.halfEnds();
    if (this.#tunnel?.over) this.destroy();
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
    this.#timer.cancel();
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
    if (!close && !this.#engine.closing) {
      this.#state = HEAD;
      return this.#timer.rests();
    }
    this.#state = LINGER;
    this.#connection.end();
    if (this.#peerEnded && !this.pending) this.destroy();
    else this.#timer.lingers();
  }

  // --- deadlines

  /** Acts on what is overdue; returns when to look again. */
  #onDue(now: number): number {
    switch (this.#state) {
      case HEAD:
        if (now < this.#timer.headDue) return this.#timer.headDue;
        if (this.#timer.headBegun && this.kept !== null && !this.pending) return this.#refuseSlowHead(now);
        break;
      case EXCHANGE:
        return this.#exchange ? this.#exchangeDue(this.#exchange, now) : Infinity;
      case TUNNEL:
        if (!this.#tunnel?.ending) return Infinity;
        if (now < this.#timer.halfTunnelDue) return this.#timer.halfTunnelDue;
        break;
      case LINGER: {
        const due = this.#timer.lingerDue(this.pending);
        if (now < due) return due;
        break;
      }
      default:
        return Infinity;
    }
    this.destroy();
    return Infinity;
  }

  #refuseSlowHead(now: number): number {
    const message = 'the head of the request did not come in time';
    this.#refuse('GATEWAY_REQUEST_SLOW', message, { json: false, isHead: false, close: true });
    return now + this.#engine.options.lingerMs;
  }

  #exchangeDue(exchange: Exchange, now: number): number {
    const verdict = judge(exchange, now, this.#engine.options);
    if ('next' in verdict) return verdict.next;
    if ('code' in verdict) this.fail(verdict.code, verdict.message);
    else exchange.connectTimedOut(now);
    return this.#onDue(now);
  }
}

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');
