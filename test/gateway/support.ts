/** What the gateway tests share: an engine in this thread, apps made of raw sockets, clients that see every byte. */
import assert from 'node:assert/strict';
import { createServer, connect, type Server, type Socket } from 'node:net';
import type { Backend, BackendStats, HostRule } from '../../src/api/routing.ts';
import { ManualClock, type Clock } from '../../src/base/clock.ts';
import { Engine } from '../../src/gateway/engine.ts';
import { defaultOptions, type GatewayOptions } from '../../src/gateway/options.ts';
import { localSlots } from '../../src/gateway/slots.ts';
import { steadyClock } from '../../src/gateway/timer-wheel.ts';
import { HandleTransport } from '../../src/gateway/transport/handles.ts';
import { NetTransport } from '../../src/gateway/transport/net.ts';
import type { Transport } from '../../src/gateway/transport/transport.ts';

export const transports = ['handles', 'net'] as const;
export type TransportName = (typeof transports)[number];
export const HOST = 'app.example.com';

const DEADLINE_MS = 20_000;

export function makeTransport(name: TransportName, faults: unknown[] = []): Transport {
  const onFault = (error: unknown): void => void faults.push(error);
  return name === 'handles' ? new HandleTransport(onFault) : new NetTransport(onFault);
}

export interface Rig extends AsyncDisposable {
  readonly engine: Engine;
  readonly port: number;
  readonly localPort: number;
  readonly wakes: string[];
  readonly firsts: BackendStats[];
  /** Exceptions in handlers: defects. Disposal fails when there are any. */
  readonly faults: unknown[];
}

/** An engine with a public and a local listener. */
export async function startRig(
  transport: TransportName,
  settings: { options?: Partial<GatewayOptions>; clock?: Clock; random?: () => number } = {},
): Promise<Rig> {
  const wakes: string[] = [];
  const firsts: BackendStats[] = [];
  const faults: unknown[] = [];
  const engine = new Engine({
    transport: makeTransport(transport, faults),
    clock: settings.clock ?? steadyClock,
    random: settings.random ?? Math.random,
    slots: localSlots,
    options: { ...defaultOptions, ...settings.options },
    wake: (backend) => wakes.push(backend),
    reportNow: (stats) => firsts.push(stats),
  });
  const port = await engine.listen({ host: '127.0.0.1', port: 0, reusePort: false }, false);
  const localPort = await engine.listen({ host: '127.0.0.1', port: 0, reusePort: false }, true);
  return {
    engine,
    port,
    localPort,
    wakes,
    firsts,
    faults,
    async [Symbol.asyncDispose]() {
      const closed = engine.close(0);
      if (settings.clock instanceof ManualClock) settings.clock.advance(1);
      await closed;
      assert.deepEqual(faults, []);
    },
  };
}

export function backendOf(ports: readonly number[], changes: Partial<Backend> = {}): Backend {
  return {
    key: 'default/app-00001',
    endpoints: ports.map((port) => ({ id: `pod-${port}`, host: '127.0.0.1', port })),
    containerConcurrency: 0,
    wakes: true,
    timeoutMs: 0,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    protocol: 'http1',
    ...changes,
  };
}

export function hostRule(backend: string, changes: Partial<HostRule> = {}): HostRule {
  return {
    visibility: 'public',
    paths: [{ prefix: '/', splits: [{ backend, percent: 100 }] }],
    ...changes,
  };
}

/** Routes HOST to one backend on these ports. */
export function routeTo(rig: Rig, ports: readonly number[], changes: Partial<Backend> = {}): void {
  const backend = backendOf(ports, changes);
  rig.engine.apply({ hosts: { [HOST]: hostRule(backend.key) }, backends: { [backend.key]: backend } }, {});
}

/** An app that sees the bytes of its connections. */
export interface RawApp extends AsyncDisposable {
  readonly port: number;
  /** All bytes of each connection, in order of accept. */
  readonly received: string[];
  readonly sockets: Socket[];
}

export async function rawApp(
  onData: (socket: Socket, all: string, index: number) => void,
  options: { allowHalfOpen?: boolean; port?: number } = {},
): Promise<RawApp> {
  const received: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: options.allowHalfOpen ?? false, noDelay: true }, (socket) => {
    const index = sockets.push(socket) - 1;
    received.push('');
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      received[index] += text;
      onData(socket, received[index] ?? '', index);
    });
  });
  const port = await listening(server, options.port ?? 0);
  return {
    port,
    received,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers each complete request without body, or with Content-Length, by `answer`. */
export function answering(answer: (head: string, body: string, socket: Socket) => string | undefined) {
  const done = new WeakMap<Socket, number>();
  return (socket: Socket, all: string): void => {
    for (;;) {
      const from = done.get(socket) ?? 0;
      const end = all.indexOf('\r\n\r\n', from);
      if (end < 0) return;
      const head = all.slice(from, end + 4);
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (all.length < end + 4 + length) return;
      done.set(socket, end + 4 + length);
      const text = answer(head, all.slice(end + 4, end + 4 + length), socket);
      if (text !== undefined) socket.write(text, 'latin1');
    }
  };
}

export const ok = (body: string, fields = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;

export function listening(server: Server, port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}

/** A client that writes raw bytes and keeps all it reads. */
export class RawClient implements Disposable {
  text = '';
  ended = false;
  closed = false;
  failed: string | undefined;
  readonly socket: Socket;
  readonly #changed = new Set<() => void>();

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: string) => {
      this.text += text;
      this.#tell();
    });
    this.socket.on('end', () => {
      this.ended = true;
      this.#tell();
    });
    this.socket.on('error', (error) => {
      this.failed = error.message;
      this.#tell();
    });
    this.socket.on('close', () => {
      this.closed = true;
      this.#tell();
    });
  }

  write(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Resolves once `test` holds for what was read. */
  async until(test: (client: this) => boolean, what = 'the expected bytes'): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${what} did not come; read so far: ${JSON.stringify(this.text.slice(0, 2000))}`));
      }, DEADLINE_MS);
      const check = (): void => {
        if (!test(this)) return;
        clearTimeout(timer);
        this.#changed.delete(check);
        resolve();
      };
      this.#changed.add(check);
      check();
    });
    return this.text;
  }

  /** The text once it contains `part`. */
  has(part: string): Promise<string> {
    return this.until((client) => client.text.includes(part), JSON.stringify(part));
  }

  /** The text once the gateway has ended the connection. */
  end(): Promise<string> {
    return this.until((client) => client.ended || client.closed, 'the end');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #tell(): void {
    for (const check of this.#changed) check();
  }
}

/** Polls until `test` is true. */
export async function eventually(test: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!test()) {
    if (Date.now() > deadline) assert.fail(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Lets everything that is under way on sockets of this process happen. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

export const get = (path = '/', fields = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${fields}\r\n`;

/** Status codes of the answers in `text` that have a Content-Length. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
}
