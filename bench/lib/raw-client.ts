/** HTTP/1.1 over kept connections with as little of its own work as possible, so that the server is what is measured. */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type SecureContextOptions } from 'node:tls';

export interface Target {
  readonly port: number;
  /** Absent: without TLS. */
  readonly tls?: SecureContextOptions;
}

export interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
}

const headEnd = Buffer.from('\r\n\r\n');

/** One connection, one request at a time. Understands answers with a Content-Length only. */
export class Connection {
  readonly socket: Socket;
  #parts: Buffer[] = [];
  #size = 0;
  #wanted = 0;
  #headEnd = 0;
  #settle: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the server closed the connection')));
  }

  static open({ port, tls }: Target): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const done = (): void => resolve(new Connection(socket));
      const socket = tls
        ? connectTls({ host: '127.0.0.1', port, ...tls }, done)
        : connectPlain({ host: '127.0.0.1', port }, done);
      socket.once('error', reject);
    });
  }

  request(bytes: Buffer | string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.socket.write(bytes);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#size += chunk.length;
    if (this.#wanted === 0) {
      const all = Buffer.concat(this.#parts);
      this.#parts = [all];
      this.#headEnd = all.indexOf(headEnd);
      if (this.#headEnd < 0) return;
      const length = /content-length: (\d+)/i.exec(all.toString('latin1', 0, this.#headEnd))?.[1];
      this.#wanted = this.#headEnd + 4 + Number(length ?? 0);
    }
    if (this.#size < this.#wanted) return;
    const all = this.#parts.length === 1 && this.#parts[0] ? this.#parts[0] : Buffer.concat(this.#parts);
    const head = all.toString('latin1', 0, this.#headEnd);
    const settle = this.#settle;
    const body = all.subarray(this.#headEnd + 4, this.#wanted);
    this.#parts = [];
    this.#size = 0;
    this.#wanted = 0;
    this.#settle = undefined;
    settle?.resolve({ status: Number(head.slice(9, 12)), head, body });
  }
}

/** The bytes of a request. */
export function requestBytes(
  method: string,
  path: string,
  options: { body?: string; headers?: Readonly<Record<string, string>> } = {},
): Buffer {
  const { body = '', headers = {} } = options;
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: bench'];
  if (body !== '') lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/**
 * Requests a second of so many connections, each waiting for its answer, over `ms` milliseconds. Throws on any answer that is not
 * of class 2xx: failures must not count as speed.
 */
export async function throughput(
  target: Target,
  connections: number,
  ms: number,
  next: () => Buffer,
): Promise<number> {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(target)));
  const began = performance.now();
  const end = began + ms;
  let done = 0;
  await Promise.all(
    open.map(async (connection) => {
      while (performance.now() < end) {
        const { status, body } = await connection.request(next());
        if (status < 200 || status > 299) throw new Error(`${status}: ${body.toString()}`);
        done++;
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  for (const connection of open) connection.close();
  return done / seconds;
}
