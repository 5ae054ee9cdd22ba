/**
 * The seam between the engine and sockets. Two transports implement it (`handles`, `net`) and run the same tests.
 *
 * Bytes given to `write` are one of:
 * - `scratchSmall` or `scratchLarge` of the transport, filled by the caller (again free when `write` returns),
 * - the read buffer of the connection whose `onData` is running,
 * - memory that nobody changes until the connection has drained.
 * The transport tells them apart by identity and copies, lends or replaces buffers as needed.
 */

/** The kernel took everything. */
export const WRITTEN = 0;
/** Some bytes wait in the process; `onDrain` follows when none wait any more. */
export const PENDING = 1;
/** The connection cannot be written to any more. What it already received is still delivered. */
export const FAILED = -1;
export type WriteOutcome = typeof WRITTEN | typeof PENDING | typeof FAILED;

/** Size of the read buffer that all connections share, and bound of what one read brings outside of bulk transfers. */
export const READ_BYTES = 65_536;
export const SCRATCH_SMALL_BYTES = 8192;
/** One shared read and a request head fit. */
export const SCRATCH_LARGE_BYTES = READ_BYTES + 16_384;

export interface ConnectionHandler {
  /** An outgoing connection is established. */
  onConnect(): void;
  /** `bytes[0, length)` arrived; they are only valid during the call. */
  onData(bytes: Buffer, length: number): void;
  /** The peer sends no more. It may still read. */
  onEnd(): void;
  onDrain(): void;
  /** The connection failed (also: could not be established) and is closed. `code` is a system error code. */
  onError(code: string): void;
}

export interface Connection {
  handler: ConnectionHandler;
  /** IP address of the peer, without a zone; '' when unknown. */
  readonly remoteAddress: string;
  /** Bytes wait in the process. */
  readonly pending: boolean;
  write(bytes: Buffer, start: number, end: number): WriteOutcome;
  /** No `onData` until `resume`. Connections start reading when they are made. */
  pause(): void;
  resume(): void;
  /** A hint that much more is going to arrive: the transport may read into a larger private buffer. */
  bulk(on: boolean): void;
  /** Sends what waits, then says that no more follows. */
  end(): void;
  /** Closes. The handler hears nothing more. */
  destroy(): void;
  /** Closes so that the peer sees a failure and not an ordinary end. */
  reset(): void;
  /** TCP keep-alive probes after `seconds` without traffic. */
  keepAlive(seconds: number): void;
}

export interface Listener {
  /** The bound port. */
  readonly port: number;
  /** Accepts no more. */
  close(): void;
}

export interface ListenOptions {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /** Several listeners on one address share its connections. */
  readonly reusePort: boolean;
}

export interface Transport {
  readonly name: 'handles' | 'net';
  readonly scratchSmall: Buffer;
  readonly scratchLarge: Buffer;
  /** Rejects with a system error (`EADDRINUSE`…). Each new connection needs a handler before the callback returns. */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listener>;
  /** Failures are always told to the handler later, never during this call. `host` is an IP address. */
  connect(host: string, port: number, handler: ConnectionHandler): Connection;
}

/** Told about an exception in a handler: a defect. The connection is closed and others go on. */
export type OnFault = (error: unknown) => void;
