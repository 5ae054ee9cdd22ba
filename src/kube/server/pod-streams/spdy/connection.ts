/**
 * The server's end of a SPDY/3.1 connection: streams that the client opens, over a byte stream. There is no flow control
 * per stream, as no Kubernetes client has one: a stream that is not read holds up the connection, and with it the sender.
 */
import { Duplex } from 'node:stream';
import {
  dataHead,
  FrameReader,
  goAwayFrame,
  pingFrame,
  resetCodes,
  rstStreamFrame,
  SpdyError,
  synReplyFrame,
  type Frame,
} from './frames.ts';
import { HeaderReader, replyBlock } from './headers.ts';

/** Streams that may be open at once. */
const maxStreams = 1024;
/** Bytes per data frame. */
const frameBytes = 32 * 1024;
/** What may wait on its way to a client that does not read, but sends pings or opens streams, bytes. */
const maxWaitingBytes = 4 * 1024 * 1024;
/** How often a sign of life is asked for, ms. */
const pingMs = 10_000;
/** How long a client that broke the protocol may take to read that it did, ms. */
const protocolErrorGraceMs = 1000;

export interface SpdyEvents {
  /** A new stream with its headers, names in lower case. */
  stream(stream: SpdyStream): void;
  /** The carrier has closed; all streams are destroyed. */
  closed(): void;
}

export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly #connection: StreamCarrier;
  #receivedAll = false;

  constructor(connection: StreamCarrier, id: number, headers: ReadonlyMap<string, string>) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#connection = connection;
    this.id = id;
    this.headers = headers;
    // Whoever uses the stream looks at its end; a reset is no failure of this process.
    this.on('error', () => undefined);
  }

  /** False: the reader does not keep up. */
  receive(bytes: Buffer, fin: boolean): boolean {
    if (this.#receivedAll || this.destroyed) return true;
    const hasRoom = bytes.length === 0 || this.push(bytes);
    if (fin) {
      this.#receivedAll = true;
      this.push(null);
    }
    return hasRoom;
  }

  override _read(): void {
    this.#connection.hasRoom(this.id);
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#connection.send(this.id, bytes, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.send(this.id, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#connection.gone(this.id, this.#receivedAll && this.writableFinished);
    done(error);
  }
}

/** What a stream needs of its connection. */
interface StreamCarrier {
  send(stream: number, bytes: Buffer, fin: boolean, done: (error?: Error | null) => void): void;
  hasRoom(stream: number): void;
  gone(stream: number, complete: boolean): void;
}

export class SpdyConnection implements StreamCarrier {
  readonly #carrier: Duplex;
  readonly #events: SpdyEvents;
  readonly #frames = new FrameReader();
  readonly #headers = new HeaderReader();
  readonly #streams = new Map<number, SpdyStream>();
  /** Streams whose reader does not keep up. */
  readonly #full = new Set<number>();
  #lastStream = 0;
  #hasReplied = false;
  #hasEnded = false;
  #nextPing = 2;

  /** `head`: bytes that came with the upgrade. */
  constructor(carrier: Duplex, head: Buffer, events: SpdyEvents) {
    this.#carrier = carrier;
    this.#events = events;
    carrier.on('error', () => undefined);
    carrier.once('close', () => this.#closed());
    if (carrier.destroyed) {
      process.nextTick(() => this.#closed());
      return;
    }
    const pings = setInterval(() => this.#ping(), pingMs);
    carrier.once('close', () => clearInterval(pings));
    if (head.length > 0) this.#receive(head);
    carrier.on('data', (chunk: Buffer) => this.#receive(chunk));
    // A client that sends no more has gone: its streams end one by one before.
    carrier.once('end', () => carrier.destroy());
  }

  /** Lets out what was written, then closes. The client gets `graceMs` to close its side. */
  end(graceMs: number): void {
    this.#end(0, graceMs);
  }

  #end(code: 0 | 1, graceMs: number): void {
    const carrier = this.#carrier;
    if (carrier.destroyed || this.#hasEnded) return;
    this.#write(goAwayFrame(this.#lastStream, code));
    this.#hasEnded = true;
    // Bytes left unread would make the system reset the connection, and the client lose what was sent.
    this.#full.clear();
    carrier.resume();
    carrier.end();
    const timer = setTimeout(() => carrier.destroy(), graceMs);
    carrier.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  /** No answer is waited for: the system notices when what is sent does not arrive. */
  #ping(): void {
    this.#write(pingFrame(this.#nextPing));
    this.#nextPing = (this.#nextPing + 2) % 0x7fff_fffe;
  }

  // ---- for streams -------------------------------------------------------------------------------------------

  send(stream: number, bytes: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    const carrier = this.#carrier;
    if (!carrier.writable) {
      done(new SpdyError('the connection has ended'));
      return;
    }
    let at = 0;
    do {
      const part = bytes.subarray(at, at + frameBytes);
      at += part.length;
      const isLast = at >= bytes.length;
      carrier.cork();
      carrier.write(
        dataHead(stream, part.length, fin && isLast),
        isLast && part.length === 0 ? done : undefined,
      );
      if (part.length > 0) carrier.write(part, isLast ? done : undefined);
      carrier.uncork();
    } while (at < bytes.length);
  }

  hasRoom(stream: number): void {
    if (!this.#full.delete(stream) || this.#full.size > 0) return;
    this.#carrier.resume();
  }

  gone(stream: number, complete: boolean): void {
    this.hasRoom(stream);
    if (!this.#streams.delete(stream) || complete || !this.#carrier.writable) return;
    this.#write(rstStreamFrame(stream, resetCodes.cancel));
  }

  // ---- from the client ---------------------------------------------------------------------------------------

  #receive(chunk: Buffer): void {
    if (this.#hasEnded) return;
    try {
      for (const frame of this.#frames.read(chunk)) this.#handle(frame);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#end(1, protocolErrorGraceMs);
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'data': {
        // Data of a stream that is closed here may still be on its way.
        const stream = this.#streams.get(frame.stream);
        if (stream && !stream.receive(frame.bytes, frame.fin)) this.#pause(frame.stream);
        return;
      }
      case 'syn-stream':
        return this.#open(frame.stream, frame.headers, frame.fin);
      case 'headers':
        // They change the state of the decompressor, whatever becomes of them.
        this.#headers.read(frame.headers);
        if (frame.fin) this.#streams.get(frame.stream)?.receive(Buffer.alloc(0), true);
        return;
      case 'rst-stream':
        this.#reset(frame.stream);
        return;
      case 'ping':
        // Even numbers are our own, coming back.
        if (frame.id % 2 === 1) this.#write(pingFrame(frame.id));
        return;
      case 'goaway':
      case 'other':
    }
  }

  #open(id: number, block: Buffer, fin: boolean): void {
    const headers = this.#headers.read(block);
    if (id % 2 === 0 || id <= this.#lastStream) throw new SpdyError('a stream has a wrong number');
    this.#lastStream = id;
    if (this.#streams.size >= maxStreams) {
      this.#write(rstStreamFrame(id, resetCodes.refusedStream));
      return;
    }
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    this.#write(synReplyFrame(id, replyBlock(!this.#hasReplied)));
    this.#hasReplied = true;
    if (fin) stream.receive(Buffer.alloc(0), true);
    this.#events.stream(stream);
  }

  #reset(id: number): void {
    const stream = this.#streams.get(id);
    // The client knows: no reset in return.
    this.#streams.delete(id);
    stream?.destroy();
  }

  #pause(stream: number): void {
    this.#full.add(stream);
    this.#carrier.pause();
  }

  #write(frame: Buffer): void {
    const carrier = this.#carrier;
    if (!carrier.writable) return;
    if (carrier.writableLength > maxWaitingBytes) carrier.destroy();
    else carrier.write(frame);
  }

  #closed(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.destroy();
    this.#events.closed();
  }
}
