/** The shapes of Node's own `tcp_wrap` and `stream_wrap` bindings, as far as the handle transport uses them. */

export interface WriteRequest {
  handle: TcpHandle | null;
  async: boolean;
  buffer: Buffer | null;
  oncomplete: (this: WriteRequest, status: number) => void;
}

export interface ConnectRequest {
  oncomplete: (status: number) => void;
}

export interface ShutdownRequest {
  handle: TcpHandle | null;
  oncomplete: (status: number) => void;
}

export interface HandleReader {
  read(): Buffer | undefined;
}

/** A TCP handle. Numbers returned are 0 or a negative libuv error. */
export interface TcpHandle {
  reader?: HandleReader;
  onread: (this: TcpHandle) => Buffer | undefined;
  onconnection: (status: number, handle: TcpHandle | undefined) => void;
  bind(host: string, port: number, flags: number): number;
  bind6(host: string, port: number, flags: number): number;
  listen(backlog: number): number;
  connect(request: ConnectRequest, host: string, port: number): number;
  connect6(request: ConnectRequest, host: string, port: number): number;
  getsockname(out: { address?: string; port?: number }): number;
  getpeername(out: { address?: string; port?: number }): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
  useUserBuffer(buffer: Buffer): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: ShutdownRequest): number;
  close(): void;
  reset(): number;
}

export interface TcpBinding {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => ConnectRequest;
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly constants: {
    readonly SOCKET: number;
    readonly SERVER: number;
    readonly UV_TCP_IPV6ONLY: number;
    readonly UV_TCP_REUSEPORT: number;
  };
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** Throws when this Node.js has not what the handle transport needs. Prints no deprecation warning. */
export function loadBinding(): TcpBinding {
  const load: unknown = Reflect.get(process, 'binding');
  if (typeof load !== 'function') throw new Error('this Node.js has no process.binding');
  // Read at the time of the call; with --pending-deprecation it would print DEP0111.
  const quiet = process.noDeprecation;
  process.noDeprecation = true;
  try {
    const tcp: unknown = Reflect.apply(load, process, ['tcp_wrap']);
    const stream: unknown = Reflect.apply(load, process, ['stream_wrap']);
    const binding = { ...(tcp as object), ...(stream as object) } as TcpBinding;
    if (typeof binding.TCP !== 'function' || typeof binding.WriteWrap !== 'function') {
      throw new TypeError('the tcp_wrap binding has another shape');
    }
    if (typeof binding.kReadBytesOrError !== 'number' || !ArrayBuffer.isView(binding.streamBaseState)) {
      throw new TypeError('the stream_wrap binding has another shape');
    }
    return binding;
  } finally {
    if (quiet === undefined) Reflect.deleteProperty(process, 'noDeprecation');
    else process.noDeprecation = quiet;
  }
}
