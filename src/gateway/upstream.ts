/**
 * One connection to a pod: sends what the client connection gives it, reads answers and passes them on. Whatever it
 * reads that does not belong to the one expected answer ends the connection; it is never used again.
 */
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE, type Exchange } from './exchange.ts';
import type { EndpointState } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { ascii } from './http1/bytes.ts';
import { ChunkedBody, MALFORMED, MORE } from './http1/chunked.ts';
import { composeResponseHead } from './http1/compose.ts';
import { INCOMPLETE } from './http1/fields.ts';
import {
  READ_BYTES,
  SCRATCH_LARGE_BYTES,
  SCRATCH_SMALL_BYTES,
  type Connection,
  type ConnectionHandler,
  type WriteOutcome,
} from './transport/transport.ts';

const CONNECTING = 0;
const IDLE = 1;
const HEAD = 2;
const BODY = 3;
const TUNNEL = 4;
const CLOSED = 5;

/** Interim answers to one request; more is an attack or a defect. */
const MAX_INTERIM = 16;
const CLOSE_LINE = Buffer.from('Connection: close\r\n');
const KEEP_LINE = Buffer.from('Connection: keep-alive\r\n');
const UPGRADE_LINES = Buffer.from('Connection: Upgrade\r\nUpgrade: websocket\r\n');
const NO_LINE = Buffer.alloc(0);
const CONTENT_LENGTH = ascii('content-length');
const TRANSFER_ENCODING = ascii('transfer-encoding');

export class UpstreamConnection implements ConnectionHandler {
  readonly endpoint: EndpointState;
  /** Since when and until when it may wait in the pool, on the wheel's clock. */
  idleSince = 0;
  idleUntil = 0;
  readonly #engine: Engine;
  #connection: Connection | null = null;
  #exchange: Exchange | null;
  #state = CONNECTING;
  #kept: Buffer | null = null;
  #mode = BODY_NONE;
  #left = 0;
  readonly #chunks = new ChunkedBody();
  #decode = false;
  #reusable = true;
  #interim = 0;
  #idleLimitMs: number;
  #reading = true;

  /** Begins to connect; the exchange hears about it later. */
  constructor(engine: Engine, endpoint: EndpointState, exchange: Exchange) {
    this.#engine = engine;
    this.endpoint = endpoint;
    this.#exchange = exchange;
    this.#idleLimitMs = engine.options.upstreamIdleMs;
    engine.resolve(endpoint.host, (address) => {
      if (this.#state !== CONNECTING) return;
      if (address === undefined) return this.onError('ENOTFOUND');
      this.#connection = engine.transport.connect(address, endpoint.port, this);
    });
  }

  /** Bytes to the pod wait in the process. */
  get pending(): boolean {
    return this.#connection?.pending ?? false;
  }

  /** Takes a pooled connection into use. */
  attach(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#state = HEAD;
  }

  write(bytes: Buffer, start: number, end: number): WriteOutcome {
    return this.#connection ? this.#connection.write(bytes, start, end) : -1;
  }

  endTunnel(): void {
    this.#connection?.end();
  }

  destroy(): void {
    this.#state = CLOSED;
    this.#exchange = null;
    this.#connection?.destroy();
  }

  /** Reads when what was read before is on its way to the client. */
  flow(): void {
    if (this.#state === CLOSED || this.#connection === null) return;
    const want = this.#exchange === null || !this.#exchange.client.pending;
    if (want === this.#reading) return;
    this.#reading = want;
    if (want) this.#connection.resume();
    else this.#connection.pause();
  }

  onConnect(): void {
    const exchange = this.#exchange;
    if (exchange === null) return this.destroy();
    this.endpoint.accepted();
    this.#state = HEAD;
    exchange.client.forward();
  }

  onDrain(): void {
    this.#exchange?.client.upstreamDrained();
  }

  onData(bytes: Buffer, length: number): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.endpoint.forget(this);
      return this.destroy();
    }
    exchange.client.moved();
    if (this.#state === BODY) this.#body(exchange, bytes, length);
    else if (this.#state === TUNNEL) exchange.client.send(bytes, 0, length);
    else if (this.#state === HEAD) this.#answer(exchange, bytes, length);
    this.flow();
  }

  onEnd(): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.endpoint.forget(this);
      return this.destroy();
    }
    if (this.#state === TUNNEL) return exchange.client.tunnelEnded('pod');
    if (this.#state === BODY && this.#mode === BODY_CLOSE) return this.#finish(exchange);
    this.#lost(exchange, 'ended its connection');
  }

  onError(code: string): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.endpoint.forget(this);
      return this.destroy();
    }
    if (this.#state === CONNECTING) {
      this.endpoint.refused(this.#engine.now());
      this.destroy();
      return exchange.connectFailed(code);
    }
    this.#lost(exchange, `broke its connection (${code})`);
  }

  #lost(exchange: Exchange, what: string): void {
    this.destroy();
    exchange.lost(what);
  }

  #malformed(exchange: Exchange, reason: string): void {
    this.destroy();
    exchange.malformed(reason);
  }

  /** Heads: interim ones are passed on, the final one with what is there of its body. */
  #answer(exchange: Exchange, bytes: Buffer, length: number): void {
    exchange.client.answered();
    let input = bytes;
    let end = length;
    if (this.#kept !== null) {
      input = Buffer.concat([this.#kept, bytes.subarray(0, length)]);
      end = input.length;
      this.#kept = null;
    }
    const { response } = this.#engine;
    let from = 0;
    while (from < end) {
      const behind = response.parse(input, from, end);
      if (behind === INCOMPLETE) {
        this.#kept = Buffer.from(input.subarray(from, end));
        return;
      }
      if (behind < 0) return this.#malformed(exchange, response.fields.refusal.reason);
      if (response.status >= 200) return this.#final(exchange, input, from, behind, end);
      if (response.status === 101) return this.#switch(exchange, input, behind, end);
      if (++this.#interim > MAX_INTERIM) return this.#malformed(exchange, 'too many interim answers');
      // 100 is the gateway's own to send; HTTP/1.0 knows no interim answers.
      if (response.status !== 100 && exchange.minor === 1) {
        const out = Buffer.allocUnsafe(behind - from + 16);
        if (response.fields.nominates) response.fields.dropNominated(input);
        exchange.client.send(out, 0, composeResponseHead(response, input, NO_LINE, out, 0));
        if (this.#exchange === null) return;
      }
      from = behind;
    }
  }

  #switch(exchange: Exchange, bytes: Buffer, behind: number, end: number): void {
    const { response } = this.#engine;
    if (!exchange.upgrade) return this.#malformed(exchange, '101 without a request to upgrade');
    const out = Buffer.allocUnsafe(end - response.start + UPGRADE_LINES.length + 16);
    let o = composeResponseHead(response, bytes, UPGRADE_LINES, out, 0);
    o += bytes.copy(out, o, behind, end);
    this.#state = TUNNEL;
    this.#connection?.keepAlive(this.#engine.options.tunnelKeepAliveSeconds);
    exchange.headSent = true;
    exchange.client.send(out, 0, o);
    if (this.#exchange !== null) exchange.client.tunnelBegun(this);
  }

  #final(exchange: Exchange, bytes: Buffer, from: number, behind: number, end: number): void {
    const { response } = this.#engine;
    const { fields, status } = response;
    if (status === 204 || status === 304) {
      fields.dropNamed(bytes, TRANSFER_ENCODING);
      if (status === 204) fields.dropNamed(bytes, CONTENT_LENGTH);
      this.#mode = BODY_NONE;
    } else if (exchange.isHead) this.#mode = BODY_NONE;
    else if (fields.chunked) this.#mode = BODY_CHUNKED;
    else if (fields.contentLength >= 0) this.#mode = fields.contentLength === 0 ? BODY_NONE : BODY_LENGTH;
    else this.#mode = BODY_CLOSE;
    this.#left = fields.contentLength;
    this.#reusable = !fields.close && response.minor === 1 && this.#mode !== BODY_CLOSE;
    if (fields.keepAliveTimeout >= 0) {
      this.#idleLimitMs = Math.min(this.#engine.options.upstreamIdleMs, (fields.keepAliveTimeout - 1) * 1000);
    }
    if (fields.nominates) fields.dropNominated(bytes);

    this.#decode = this.#mode === BODY_CHUNKED && exchange.minor === 0;
    if (this.#decode) fields.dropNamed(bytes, TRANSFER_ENCODING);
    if (this.#decode || this.#mode === BODY_CLOSE) exchange.closeAfter = true;

    const taken = this.#take(bytes, behind, end);
    if (taken === MALFORMED) return this.#malformed(exchange, 'a chunk is malformed');
    const done = this.#done(taken);
    const bodyEnd = taken < 0 ? end : taken;
    // The client is told when its unfinished body is not going to be read.
    if ((done && !exchange.requestDone) || this.#engine.closing) exchange.closeAfter = true;
    const added = exchange.closeAfter ? CLOSE_LINE : exchange.minor === 0 ? KEEP_LINE : NO_LINE;

    const { transport } = this.#engine;
    const room = behind - from + added.length + 16 + this.#passedLength(behind, bodyEnd);
    const out =
      room <= SCRATCH_SMALL_BYTES
        ? transport.scratchSmall
        : room <= SCRATCH_LARGE_BYTES
          ? transport.scratchLarge
          : Buffer.allocUnsafe(room);
    let o = composeResponseHead(response, bytes, added, out, 0);
    if (this.#mode === BODY_CHUNKED) o = this.#chunks.emit(bytes, behind, bodyEnd, out, o);
    else o += bytes.copy(out, o, behind, bodyEnd);
    this.#state = BODY;
    exchange.headSent = true;
    exchange.client.send(out, 0, o);
    // The client was gone: its exchange ended meanwhile.
    if (this.#exchange === null) return;
    if (bodyEnd < end) this.#reusable = false;
    if (done) this.#finish(exchange);
    else this.#connection?.bulk(end >= READ_BYTES || this.#left > READ_BYTES);
  }

  #body(exchange: Exchange, bytes: Buffer, length: number): void {
    const taken = this.#take(bytes, 0, length);
    if (taken === MALFORMED) return this.#malformed(exchange, 'a chunk is malformed');
    const end = taken < 0 ? length : taken;
    const { client } = exchange;
    if (this.#mode === BODY_CHUNKED && !this.#chunks.intact) {
      const room = this.#passedLength(0, end);
      const { transport } = this.#engine;
      const out = room <= SCRATCH_LARGE_BYTES ? transport.scratchLarge : Buffer.allocUnsafe(room);
      const o = this.#chunks.emit(bytes, 0, end, out, 0);
      if (o > 0) client.send(out, 0, o);
    } else client.send(bytes, 0, end);
    if (this.#exchange === null) return;
    if (end < length) this.#reusable = false;
    if (this.#done(taken)) this.#finish(exchange);
    // Large buffers only while reads fill them: an event stream needs none.
    else this.#connection?.bulk(length >= READ_BYTES);
  }

  /** Follows the body over `bytes[from, end)`: offset behind its end, MORE or MALFORMED. */
  #take(bytes: Buffer, from: number, end: number): number {
    switch (this.#mode) {
      case BODY_NONE:
        return from;
      case BODY_LENGTH: {
        const available = end - from;
        if (available >= this.#left) {
          const behind = from + this.#left;
          this.#left = 0;
          return behind;
        }
        this.#left -= available;
        return MORE;
      }
      case BODY_CHUNKED:
        if (this.#state === HEAD) this.#chunks.reset(this.#decode);
        return this.#chunks.scan(bytes, from, end);
      default:
        return MORE;
    }
  }

  #done(taken: number): boolean {
    return taken !== MORE;
  }

  #passedLength(from: number, to: number): number {
    return this.#mode === BODY_CHUNKED ? this.#chunks.emittedLength(from, to) : to - from;
  }

  /** The answer is complete: the connection goes to the pool when nothing is open on it, and the slot back. */
  #finish(exchange: Exchange): void {
    this.#exchange = null;
    this.#interim = 0;
    const now = this.#engine.now();
    this.idleSince = now;
    this.idleUntil = now + this.#idleLimitMs;
    this.#connection?.bulk(false);
    const reuse =
      this.#reusable &&
      exchange.requestDone &&
      !exchange.discard &&
      !this.pending &&
      !this.#engine.closing &&
      this.#idleLimitMs > 0;
    if (reuse && this.endpoint.pool(this)) {
      this.#state = IDLE;
      this.flow();
    } else this.destroy();
    exchange.client.responseDone(now);
  }
}
