/**
 * Sockets as libuv TCP handles, one layer below `node:net`: a third less CPU per small request, half for large bodies.
 * `process.binding` is not public API, so a self-test decides at start whether it works (`select.ts`).
 *
 * Buffers: all connections read into one shared buffer, which is copied out before the read callback returns unless the
 * kernel takes the bytes at once. A connection in a bulk transfer gets a private buffer that is written from without
 * a copy; when such a write waits, the buffer belongs to the write and the connection goes on with another.
 */
import { isIPv6 } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { messageOf } from '../../base/errors.ts';
import { BACKLOG, HandledConnection, plainAddress } from './connection.ts';
import {
  FAILED,
  PENDING,
  READ_BYTES,
  SCRATCH_LARGE_BYTES,
  SCRATCH_SMALL_BYTES,
  WRITTEN,
  type Connection,
  type ConnectionHandler,
  type ListenOptions,
  type Listener,
  type OnFault,
  type Transport,
  type WriteOutcome,
} from './transport.ts';
import {
  loadBinding,
  type ConnectRequest,
  type TcpBinding,
  type TcpHandle,
  type WriteRequest,
} from './binding.ts';

const BULK_BYTES = 262_144;
/** Private buffers in use or pooled, over all connections: 64 MiB. Beyond, bulk transfers use the shared buffer. */
const MAX_BULK_BUFFERS = 256;
const UV_EOF = -4095;

/** A write request that waits, with what it keeps alive. */
interface WaitingWrite extends WriteRequest {
  connection: HandleConnection;
  bulk: Buffer | null;
}

class BulkBuffers {
  readonly #free: Buffer[] = [];
  #made = 0;

  take(): Buffer | null {
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made >= MAX_BULK_BUFFERS) return null;
    this.#made++;
    return Buffer.allocUnsafeSlow(BULK_BYTES);
  }

  give(buffer: Buffer): void {
    // Some are kept warm, the rest is returned to the system.
    if (this.#free.length < 16) this.#free.push(buffer);
    else this.#made--;
  }
}

export class HandleTransport implements Transport {
  readonly name = 'handles';
  readonly binding: TcpBinding;
  readonly shared = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly bulkBuffers = new BulkBuffers();
  readonly onFault: OnFault;
  scratchSmall = Buffer.allocUnsafeSlow(SCRATCH_SMALL_BYTES);
  scratchLarge = Buffer.allocUnsafeSlow(SCRATCH_LARGE_BYTES);
  /** The connection whose `onData` is running. */
  reading: HandleConnection | null = null;
  /** Used again until a write waits. */
  #spare: WriteRequest;

  constructor(onFault: OnFault) {
    this.binding = loadBinding();
    this.onFault = onFault;
    this.#spare = new this.binding.WriteWrap();
  }

  async listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listener> {
    const { TCP, constants } = this.binding;
    const handle = new TCP(constants.SERVER);
    const v6 = isIPv6(options.host);
    let flags = v6 ? constants.UV_TCP_IPV6ONLY : 0;
    if (options.reusePort) flags |= constants.UV_TCP_REUSEPORT;
    let error = v6
      ? handle.bind6(options.host, options.port, flags)
      : handle.bind(options.host, options.port, flags);
    handle.onconnection = (status, accepted) => {
      if (status !== 0 || !accepted) return;
      const connection = new HandleConnection(this, accepted, true);
      if (connection.introduce(onConnection)) connection.start();
    };
    if (error === 0) error = handle.listen(BACKLOG);
    const bound: { address?: string; port?: number } = {};
    if (error === 0) error = handle.getsockname(bound);
    if (error !== 0) {
      handle.close();
      throw Object.assign(new Error(`cannot listen on ${options.host}:${options.port}`), {
        code: getSystemErrorName(error),
      });
    }
    return { port: bound.port ?? 0, close: () => handle.close() };
  }

  connect(host: string, port: number, handler: ConnectionHandler): Connection {
    const { TCP, TCPConnectWrap, constants } = this.binding;
    const connection = new HandleConnection(this, new TCP(constants.SOCKET), false);
    connection.handler = handler;
    const request: ConnectRequest = new TCPConnectWrap();
    request.oncomplete = (status) => connection.connected(status);
    connection.connect(request, host, port);
    return connection;
  }

  /** Writes and accounts; the rules of `Connection.write`. */
  write(connection: HandleConnection, bytes: Buffer, start: number, end: number): WriteOutcome {
    let source = bytes;
    let from = start;
    let to = end;
    // The shared buffer is read into again soon; a private one may be lent to one write only.
    if (bytes === this.shared || (this.reading?.lent && bytes === this.reading.buffer)) {
      const length = end - start;
      if (length <= SCRATCH_SMALL_BYTES) source = this.scratchSmall;
      else if (length <= SCRATCH_LARGE_BYTES) source = this.scratchLarge;
      else source = Buffer.allocUnsafeSlow(length);
      bytes.copy(source, 0, start, end);
      from = 0;
      to = length;
    }
    const request = this.#spare as WaitingWrite;
    request.handle = connection.handle;
    request.async = false;
    const whole = from === 0 && to === source.length;
    const error = connection.handle.writeBuffer(request, whole ? source : source.subarray(from, to));
    if (error !== 0) return FAILED;
    const { streamBaseState, kLastWriteWasAsync } = this.binding;
    if (streamBaseState[kLastWriteWasAsync] === 0) return WRITTEN;
    request.connection = connection;
    request.buffer = source;
    request.bulk = null;
    request.oncomplete = onWriteComplete;
    this.#spare = new this.binding.WriteWrap();
    if (source === this.scratchSmall) this.scratchSmall = Buffer.allocUnsafeSlow(SCRATCH_SMALL_BYTES);
    else if (source === this.scratchLarge) this.scratchLarge = Buffer.allocUnsafeSlow(SCRATCH_LARGE_BYTES);
    else if (this.reading !== null && source === this.reading.buffer) {
      this.reading.lent = true;
      request.bulk = source;
    }
    return PENDING;
  }
}

function onWriteComplete(this: WriteRequest, status: number): void {
  const request = this as WaitingWrite;
  const { connection } = request;
  if (request.bulk) connection.transport.bulkBuffers.give(request.bulk);
  request.bulk = null;
  request.buffer = null;
  request.handle = null;
  connection.written(status);
}

function onRead(this: TcpHandle): Buffer | undefined {
  return this.reader?.read();
}

class HandleConnection extends HandledConnection {
  readonly remoteAddress: string = '';
  readonly handle: TcpHandle;
  readonly transport: HandleTransport;
  buffer: Buffer;
  /** The private buffer belongs to a write that waits. */
  lent = false;
  #bulk = false;
  #established: boolean;
  #paused = false;
  #ended = false;
  #broken = false;
  #waiting = 0;

  constructor(transport: HandleTransport, handle: TcpHandle, accepted: boolean) {
    super(transport.onFault);
    this.transport = transport;
    this.handle = handle;
    this.buffer = transport.shared;
    this.#established = accepted;
    handle.reader = this;
    handle.setNoDelay(true);
    handle.useUserBuffer(transport.shared);
    handle.onread = onRead;
    if (accepted) {
      const peer: { address?: string } = {};
      handle.getpeername(peer);
      this.remoteAddress = plainAddress(peer.address ?? '');
    }
  }

  get pending(): boolean {
    return this.#waiting > 0;
  }

  start(): void {
    if (!this.closed && !this.#paused) this.handle.readStart();
  }

  connect(request: ConnectRequest, host: string, port: number): void {
    let error: number;
    try {
      error = isIPv6(host)
        ? this.handle.connect6(request, host, port)
        : this.handle.connect(request, host, port);
    } catch (fault) {
      // An address that is no IP address.
      queueMicrotask(() => this.fail(messageOf(fault)));
      return;
    }
    if (error !== 0) queueMicrotask(() => this.fail(getSystemErrorName(error)));
  }

  connected(status: number): void {
    if (this.closed) return;
    if (status !== 0) return this.fail(getSystemErrorName(status));
    this.#established = true;
    this.start();
    this.guard(() => this.handler.onConnect());
  }

  read(): Buffer | undefined {
    if (this.closed) return undefined;
    const { streamBaseState, kReadBytesOrError } = this.transport.binding;
    const n = streamBaseState[kReadBytesOrError] ?? 0;
    if (n > 0) {
      const transport = this.transport;
      const outer = transport.reading;
      transport.reading = this;
      try {
        this.handler.onData(this.buffer, n);
      } catch (fault) {
        this.fault(fault);
      }
      transport.reading = outer;
      return this.#nextBuffer();
    }
    if (n === UV_EOF) this.guard(() => this.handler.onEnd());
    else if (n < 0) this.fail(getSystemErrorName(n));
    return undefined;
  }

  /** The buffer for the next read, or undefined when it stays the same. */
  #nextBuffer(): Buffer | undefined {
    const { shared, bulkBuffers } = this.transport;
    const isPrivate = this.buffer !== shared;
    if (this.closed) {
      if (isPrivate && !this.lent) bulkBuffers.give(this.buffer);
      this.buffer = shared;
      return undefined;
    }
    if (isPrivate) {
      if (!this.lent && this.#bulk && !this.#paused) return undefined;
      if (!this.lent) bulkBuffers.give(this.buffer);
      // A paused connection holds no private buffer besides the one that waits to be written.
      this.lent = false;
      this.buffer = (this.#bulk && !this.#paused && bulkBuffers.take()) || shared;
      return this.buffer;
    }
    if (!this.#bulk || this.#paused) return undefined;
    const fresh = bulkBuffers.take();
    if (fresh) this.buffer = fresh;
    return fresh ?? undefined;
  }

  write(bytes: Buffer, start: number, end: number): WriteOutcome {
    if (this.closed || this.#broken || this.#ended) return FAILED;
    const outcome = this.transport.write(this, bytes, start, end);
    if (outcome === PENDING) this.#waiting++;
    else if (outcome === FAILED) this.#broken = true;
    return outcome;
  }

  written(status: number): void {
    this.#waiting--;
    if (this.closed) return;
    if (status !== 0) this.#broken = true;
    // Drained also when it failed: the reader of the other side must not wait for ever.
    if (this.#waiting === 0) this.guard(() => this.handler.onDrain());
  }

  pause(): void {
    if (this.#paused || this.closed) return;
    this.#paused = true;
    if (this.#established) this.handle.readStop();
  }

  resume(): void {
    if (!this.#paused || this.closed) return;
    this.#paused = false;
    if (this.#established) this.handle.readStart();
  }

  bulk(on: boolean): void {
    this.#bulk = on;
  }

  end(): void {
    if (this.closed || this.#ended) return;
    this.#ended = true;
    const request = new this.transport.binding.ShutdownWrap();
    request.oncomplete = () => {};
    request.handle = this.handle;
    if (this.handle.shutdown(request) !== 0) this.#broken = true;
  }

  destroy(): void {
    if (this.closed) return;
    this.#release();
    this.handle.close();
  }

  reset(): void {
    if (this.closed) return;
    this.#release();
    if (this.handle.reset() !== 0) this.handle.close();
  }

  keepAlive(seconds: number): void {
    if (!this.closed) this.handle.setKeepAlive(true, seconds);
  }

  #release(): void {
    this.silence();
    if (this.#established && !this.#paused) this.handle.readStop();
    // During onData the buffer is still being looked at; #nextBuffer returns it then.
    if (this.buffer !== this.transport.shared && this.transport.reading !== this && !this.lent) {
      this.transport.bulkBuffers.give(this.buffer);
      this.buffer = this.transport.shared;
    }
  }
}
