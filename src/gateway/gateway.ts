/** The gateway as the main thread holds it: starts the workers, hands them the routing, merges what they report. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { Backend, BackendStats, HostRule, RequestPath, RoutingUpdate } from '../api/routing.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { SlotIndexes } from './engine.ts';
import type { FromWorker, ListenAddress, ToWorker, WorkerStart } from './messages.ts';
import { defaultOptions, type GatewayOptions } from './options.ts';
import { assertSafe } from './routing-table.ts';
import { SHARED_SLOTS, makeSharedSlots, reclaimSlots } from './slots.ts';
import type { TransportChoice } from './transport/select.ts';

export interface GatewayStart {
  /** Where clients come in. Port 0 picks a free one. */
  readonly public: ListenAddress;
  /** Where pods and dispatchers come in: hosts with visibility `local` are served there as well. */
  readonly local?: ListenAddress;
  /** Threads; more than one share the ports. */
  readonly workers?: number;
  readonly log: Logger;
  /** `auto` tests at start whether `handles` works here. */
  readonly transport?: TransportChoice;
  readonly options?: Partial<GatewayOptions>;
}

/** The running request path. */
export interface Gateway extends RequestPath {
  readonly publicAddress: ListenAddress;
  readonly localAddress: ListenAddress | undefined;
  readonly transport: 'handles' | 'net';
  /**
   * Sends nothing new to the endpoint, ever again, and resolves when it has no request in flight, or after `timeoutMs`.
   * For a pod that is about to end.
   */
  drain(endpointId: string, timeoutMs: number): Promise<void>;
  /**
   * Serves cluster-local names at a further address, and resolves with where that is. Throws as {@link startGateway}
   * does.
   */
  listenLocal(address: ListenAddress): Promise<ListenAddress>;
  /** Accepts no more, finishes requests for up to `graceMs`, ends the workers. */
  close(graceMs: number): Promise<void>;
}

const REPORT_MS = 1000;
const RESPAWN_MS = 1000;
const defaultWorker = new URL(
  import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js',
  import.meta.url,
);

type ListenAnswer = Pick<
  Extract<FromWorker, { readonly type: 'listening-local' }>,
  'port' | 'code' | 'message'
>;

/** One worker thread and what is waited for from it. */
interface Thread {
  readonly worker: Worker;
  readonly index: number;
  readonly applied: Map<number, () => void>;
  readonly quiet: Map<number, () => void>;
  readonly reports: Map<number, (stats: readonly BackendStats[]) => void>;
  readonly listens: Map<number, (answer: ListenAnswer) => void>;
  onClosed: () => void;
}

/**
 * Starts the gateway. Throws CLI_PORT_TAKEN naming the address when a port is taken, and the system's error when it
 * cannot be listened on for another reason. `workerFile` is for tests.
 */
export async function startGateway(start: GatewayStart, workerFile = defaultWorker): Promise<Gateway> {
  const gateway = new GatewayThreads(start, workerFile);
  await gateway.open();
  return gateway;
}

class GatewayThreads implements Gateway {
  publicAddress: ListenAddress;
  localAddress: ListenAddress | undefined;
  transport: 'handles' | 'net' = 'net';
  readonly #start: GatewayStart;
  readonly #workerFile: URL;
  readonly #log: Logger;
  readonly #count: number;
  readonly #slots: SharedArrayBuffer | undefined;
  readonly #slotOf = new Map<string, number>();
  readonly #threads = new Set<Thread>();
  /** All that was applied, for a worker that has to be started again. */
  readonly #hosts = new Map<string, HostRule>();
  readonly #backends = new Map<string, Backend>();
  readonly #statsListeners: ((stats: readonly BackendStats[]) => void)[] = [];
  readonly #wakeListeners: ((backend: string) => void)[] = [];
  readonly #wokeAt = new Map<string, number>();
  readonly #moreLocal: ListenAddress[] = [];
  #nextSlot = 0;
  #sequence = 0;
  #reporter: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(start: GatewayStart, workerFile: URL) {
    this.#workerFile = workerFile;
    this.#start = start;
    this.#log = start.log;
    this.#count = Math.max(1, start.workers ?? 1);
    this.publicAddress = start.public;
    this.localAddress = start.local;
    if (this.#count > 1) this.#slots = makeSharedSlots(this.#count);
  }

  async open(): Promise<void> {
    this.publicAddress = await resolved(this.#start.public);
    if (this.#start.local) this.localAddress = await resolved(this.#start.local);
    try {
      // One after the other: the first finds the free ports that the others share.
      for (let i = 0; i < this.#count; i++) await this.#spawn(i);
    } catch (error) {
      await Promise.all([...this.#threads].map((thread) => thread.worker.terminate()));
      throw error;
    }
    this.#reporter = setInterval(() => void this.#report(), REPORT_MS);
    this.#reporter.unref();
    this.#log.info(
      {
        public: this.publicAddress,
        local: this.localAddress,
        workers: this.#count,
        transport: this.transport,
      },
      'gateway listening',
    );
  }

  async apply(update: RoutingUpdate): Promise<void> {
    assertSafe(update);
    remember(this.#hosts, update.hosts);
    remember(this.#backends, update.backends);
    const slots = this.#slotIndexes(update);
    const version = ++this.#sequence;
    await Promise.all(
      [...this.#threads].map((thread) =>
        this.#ask(thread.applied, version, thread, { type: 'apply', version, update, slots }),
      ),
    );
  }

  drain(endpointId: string, timeoutMs: number): Promise<void> {
    return this.#quiet('drain', endpointId, timeoutMs);
  }

  untilIdle(endpointId: string, timeoutMs: number): Promise<void> {
    return this.#quiet('idle', endpointId, timeoutMs);
  }

  /** Resolves when every worker has said that nothing is in flight there, or after `timeoutMs`. */
  async #quiet(type: 'drain' | 'idle', endpoint: string, timeoutMs: number): Promise<void> {
    const id = ++this.#sequence;
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    const all = Promise.all(
      [...this.#threads].map((thread) => this.#ask(thread.quiet, id, thread, { type, id, endpoint })),
    );
    await Promise.race([all, over]);
    clearTimeout(timer);
    for (const thread of this.#threads) thread.quiet.delete(id);
  }

  async listenLocal(address: ListenAddress): Promise<ListenAddress> {
    const { host, port: wanted } = await resolved(address);
    let port = wanted;
    // One after the other, as at the start.
    for (const thread of this.#threads) {
      const id = ++this.#sequence;
      const answer = await new Promise<ListenAnswer>((resolve) => {
        thread.listens.set(id, resolve);
        post(thread, { type: 'listen-local', id, address: { host, port } });
      });
      thread.listens.delete(id);
      if (answer.port === undefined) throw listenError({ ...answer, address: { host, port } });
      port = answer.port;
    }
    this.#moreLocal.push({ host, port });
    return { host, port };
  }

  onStats(listener: (stats: readonly BackendStats[]) => void): void {
    this.#statsListeners.push(listener);
  }

  onWake(listener: (backend: string) => void): void {
    this.#wakeListeners.push(listener);
  }

  async close(graceMs: number): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#reporter);
    await Promise.all(
      [...this.#threads].map(async (thread) => {
        await new Promise<void>((resolve) => {
          thread.onClosed = resolve;
          post(thread, { type: 'close', graceMs });
        });
        await thread.worker.terminate();
      }),
    );
  }

  /** Starts one worker and gives it the routing as it is. */
  async #spawn(index: number): Promise<void> {
    const data: WorkerStart = {
      public: this.publicAddress,
      local: this.localAddress,
      moreLocal: this.#moreLocal,
      reusePort: this.#count > 1,
      transport: this.#start.transport ?? 'auto',
      options: { ...defaultOptions, ...this.#start.options },
      slots: this.#slots,
      index,
    };
    const worker = new Worker(this.#workerFile, {
      workerData: data,
      name: 'gateway',
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 },
    });
    const thread: Thread = {
      worker,
      index,
      applied: new Map(),
      quiet: new Map(),
      reports: new Map(),
      listens: new Map(),
      onClosed: () => {},
    };
    await new Promise<void>((resolve, reject) => {
      const early = (error: unknown): void =>
        reject(error instanceof Error ? error : new Error(String(error)));
      worker.once('error', early);
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'listening') {
          worker.removeListener('error', early);
          this.publicAddress = { ...this.publicAddress, port: message.publicPort };
          if (this.localAddress) this.localAddress = { ...this.localAddress, port: message.localPort };
          this.transport = message.transport;
          resolve();
        } else if (message.type === 'failed') {
          void worker.terminate();
          reject(listenError(message));
        } else this.#onMessage(thread, message);
      });
    });
    worker.on('error', (error) => this.#log.error({ err: error }, 'gateway worker failed'));
    worker.once('exit', (code) => this.#onExit(thread, code));
    this.#threads.add(thread);
    const update = { hosts: Object.fromEntries(this.#hosts), backends: Object.fromEntries(this.#backends) };
    const version = ++this.#sequence;
    const slots = this.#slotIndexes(update);
    await this.#ask(thread.applied, version, thread, { type: 'apply', version, update, slots });
  }

  /** A worker that ended by itself is replaced; nobody waits for it any more. */
  #onExit(thread: Thread, code: number): void {
    this.#threads.delete(thread);
    for (const done of [...thread.applied.values(), ...thread.quiet.values()]) done();
    for (const done of thread.reports.values()) done([]);
    for (const done of thread.listens.values())
      done({ port: undefined, code: undefined, message: 'the gateway worker ended' });
    thread.onClosed();
    if (this.#slots) reclaimSlots(this.#slots, thread.index);
    if (this.#closing) return;
    for (const other of this.#threads) post(other, { type: 'slot-free' });
    this.#log.error({ code }, 'gateway worker ended, starting another');
    this.#respawn(thread.index);
  }

  #respawn(index: number): void {
    this.#spawn(index).catch((error: unknown) => {
      if (this.#closing) return;
      this.#log.error({ err: error }, 'gateway worker cannot be started, trying again');
      setTimeout(() => this.#respawn(index), RESPAWN_MS).unref();
    });
  }

  #onMessage(thread: Thread, message: FromWorker): void {
    switch (message.type) {
      case 'applied':
        return thread.applied.get(message.version)?.();
      case 'quiet':
        return thread.quiet.get(message.id)?.();
      case 'listening-local':
        if (message.id === 0 && message.port === undefined)
          this.#log.error(
            { fault: message.message },
            'gateway worker does not serve a cluster-local address',
          );
        return thread.listens.get(message.id)?.(message);
      case 'stats':
        return thread.reports.get(message.id)?.(message.stats);
      case 'first':
        return this.#tellStats([message.stats]);
      case 'wake':
        return this.#tellWake(message.backend);
      case 'slot-free':
        for (const other of this.#threads) if (other !== thread) post(other, message);
        return undefined;
      case 'fault':
        return this.#log.error({ fault: message.message }, 'gateway connection failed by a defect');
      case 'closed':
        return thread.onClosed();
      default:
        return undefined;
    }
  }

  #tellStats(stats: readonly BackendStats[]): void {
    if (stats.length === 0) return;
    for (const listener of this.#statsListeners) listener(stats);
  }

  /** Each worker holds its own wake-ups apart; several workers together must, too. */
  #tellWake(backend: string): void {
    const interval = this.#start.options?.wakeIntervalMs ?? defaultOptions.wakeIntervalMs;
    const now = performance.now();
    if (this.#count > 1 && now - (this.#wokeAt.get(backend) ?? -Infinity) < interval) return;
    if (this.#count > 1) this.#wokeAt.set(backend, now);
    for (const listener of this.#wakeListeners) listener(backend);
  }

  async #report(): Promise<void> {
    const id = ++this.#sequence;
    const all = await Promise.all(
      [...this.#threads].map(
        (thread) =>
          new Promise<readonly BackendStats[]>((resolve) => {
            thread.reports.set(id, (stats) => {
              thread.reports.delete(id);
              resolve(stats);
            });
            post(thread, { type: 'report', id });
          }),
      ),
    );
    this.#tellStats(mergeStats(all.flat()));
  }

  /** Sends a message and resolves when the worker acknowledged `id`, or is gone. */
  #ask(waiting: Map<number, () => void>, id: number, thread: Thread, message: ToWorker): Promise<void> {
    return new Promise((resolve) => {
      waiting.set(id, () => {
        waiting.delete(id);
        resolve();
      });
      post(thread, message);
    });
  }

  /** Where endpoints are counted in shared memory: each new one gets the next place, old places come around late. */
  #slotIndexes(update: RoutingUpdate): SlotIndexes {
    if (!this.#slots) return {};
    const indexes: Record<string, number> = {};
    if (Object.values(update.backends ?? {}).length > 0) this.#forgetSlots();
    for (const backend of Object.values(update.backends ?? {})) {
      for (const { id } of backend?.endpoints ?? []) {
        let index = this.#slotOf.get(id);
        if (index === undefined) {
          index = this.#nextSlot;
          this.#nextSlot = (this.#nextSlot + 1) % SHARED_SLOTS;
          this.#slotOf.set(id, index);
        }
        indexes[id] = index;
      }
    }
    return indexes;
  }

  /** Endpoints that no backend names any more lose their place. */
  #forgetSlots(): void {
    const named = new Set(
      [...this.#backends.values()].flatMap(({ endpoints }) => endpoints.map(({ id }) => id)),
    );
    for (const id of this.#slotOf.keys()) if (!named.has(id)) this.#slotOf.delete(id);
  }
}

function post(thread: Thread, message: ToWorker): void {
  thread.worker.postMessage(message);
}

function remember<T>(known: Map<string, T>, changes: { readonly [key: string]: T | null } | undefined): void {
  for (const [key, value] of Object.entries(changes ?? {})) {
    if (value === null) known.delete(key);
    else known.set(key, value);
  }
}

/** Sums what several workers report of the same backend. */
export function mergeStats(stats: readonly BackendStats[]): BackendStats[] {
  const merged = new Map<string, BackendStats>();
  for (const one of stats) {
    const other = merged.get(one.key);
    merged.set(
      one.key,
      other === undefined
        ? one
        : {
            key: one.key,
            intervalMs: Math.max(one.intervalMs, other.intervalMs),
            averageConcurrency: one.averageConcurrency + other.averageConcurrency,
            queued: one.queued + other.queued,
            inFlight: one.inFlight + other.inFlight,
            arrived: one.arrived + other.arrived,
          },
    );
  }
  return [...merged.values()];
}

async function resolved(address: ListenAddress): Promise<ListenAddress> {
  if (isIP(address.host) !== 0) return address;
  return { host: (await lookup(address.host)).address, port: address.port };
}

function listenError(message: Omit<FromWorker & { type: 'failed' }, 'type'>): Error {
  const where = message.address ? `${message.address.host}:${message.address.port}` : 'its address';
  if (message.code === 'EADDRINUSE') {
    return new KnapsackError('CLI_PORT_TAKEN', `the gateway cannot listen on ${where}: the port is taken`);
  }
  return new Error(`the gateway cannot listen on ${where}: ${message.code ?? messageOf(message.message)}`);
}
