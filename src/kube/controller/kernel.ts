/** Runs controllers: informers feed queues, queues feed reconcilers, four outcomes decide what is next. */
import { randomUUID } from 'node:crypto';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { apiVersionOf } from '../../api/resource.ts';
import { controllerOf, keyOf, type KubeObject } from '../../api/object.ts';
import { isConflict } from '../api-error.ts';
import type { ObjectKey } from '../client/client.ts';
import {
  TerminalError,
  type Controller,
  type ControllerEnv,
  type Outcome,
  type ReconcileContext,
} from './controller.ts';
import { WorkQueue } from './queue.ts';

/** A run that takes longer is aborted, counted, and tried again. */
const runTimeoutMs = 60_000;
const timedOut = new Error('reconcile timed out');

export type OutcomeName = 'success' | 'requeue_after' | 'requeue' | 'error' | 'terminal_error' | 'timeout';

/** Counters of one controller since start. */
export interface ControllerStats {
  readonly name: string;
  readonly outcomes: Readonly<Record<OutcomeName, number>>;
  /** Sum of run times, ms. */
  readonly busyMs: number;
  /** Keys waiting now. */
  readonly depth: number;
}

class Runner {
  readonly #controller: Controller;
  readonly #env: ControllerEnv;
  readonly #queue: WorkQueue;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #unsubscribe: (() => void)[] = [];
  readonly #outcomes: Record<OutcomeName, number> = {
    success: 0,
    requeue_after: 0,
    requeue: 0,
    error: 0,
    terminal_error: 0,
    timeout: 0,
  };
  #busyMs = 0;
  #started = false;

  constructor(controller: Controller, env: ControllerEnv) {
    this.#controller = controller;
    this.#env = { ...env, log: env.log.child({ controller: controller.name }) };
    this.#queue = new WorkQueue(env.clock, () => this.#pump());
    this.#subscribe();
  }

  async start(): Promise<void> {
    const { root, owns = [], watches = [] } = this.#controller;
    const sources = [root, ...owns, ...watches.map((source) => source.resource)];
    await Promise.all(sources.map((def) => this.#env.informers.for(def).synced()));
    this.#started = true;
    this.#pump();
  }

  /** Stops taking keys and resolves when the runs under way have ended. */
  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#queue.close();
    this.#abort.abort();
    await Promise.allSettled(this.#running);
  }

  stats(): ControllerStats {
    return {
      name: this.#controller.name,
      outcomes: { ...this.#outcomes },
      busyMs: this.#busyMs,
      depth: this.#queue.depth,
    };
  }

  #subscribe(): void {
    const { root, owns = [], watches = [] } = this.#controller;
    const { informers } = this.#env;
    const enqueue = (key: string): void => this.#queue.addAfter(key, this.#controller.restMs ?? 0);
    this.#unsubscribe.push(informers.for(root).onChange((change) => enqueue(keyOf(change.object))));
    const rootVersion = apiVersionOf(root);
    const enqueueOwner = (object: KubeObject): void => {
      const owner = controllerOf(object);
      if (owner?.kind !== root.kind || owner.apiVersion !== rootVersion) return;
      const { namespace } = object.metadata;
      enqueue(root.namespaced && namespace ? `${namespace}/${owner.name}` : owner.name);
    };
    for (const def of owns) {
      this.#unsubscribe.push(
        informers.for(def).onChange((change) => {
          enqueueOwner(change.object);
          if (change.old) enqueueOwner(change.old);
        }),
      );
    }
    for (const source of watches) {
      this.#unsubscribe.push(
        informers.for(source.resource).onChange((change) => {
          for (const key of source.keys(change.object)) enqueue(key);
          if (change.old && change.old !== change.object) {
            for (const key of source.keys(change.old)) enqueue(key);
          }
        }),
      );
    }
  }

  #pump(): void {
    if (!this.#started) return;
    const limit = this.#controller.concurrency ?? 4;
    while (this.#running.size < limit) {
      const key = this.#queue.take();
      if (key === undefined) return;
      const run = this.#process(key).finally(() => {
        this.#running.delete(run);
        this.#queue.done(key);
        this.#pump();
      });
      this.#running.add(run);
    }
  }

  async #process(key: string): Promise<void> {
    const started = performance.now();
    const context = new RunContext(this.#env.log, key, this.#abort.signal);
    const expiry = Promise.withResolvers<never>();
    const cancelExpiry = this.#env.clock.after(runTimeoutMs, () => {
      context.abort();
      expiry.reject(timedOut);
    });
    try {
      const run = this.#controller.reconcile(parseKey(key), context);
      this.#settle(key, await Promise.race([run, expiry.promise]));
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#fail(key, error, context.log);
    } finally {
      cancelExpiry();
      context.close();
      this.#busyMs += performance.now() - started;
    }
  }

  #fail(key: string, error: unknown, log: Logger): void {
    if (error === timedOut) {
      this.#outcomes.timeout++;
      this.#queue.addRateLimited(key);
      log.error({ timeoutMs: runTimeoutMs }, 'reconcile timed out');
    } else if (error instanceof TerminalError) {
      this.#outcomes.terminal_error++;
      this.#queue.forget(key);
      log.error({ error: error.message }, 'reconcile failed for good');
    } else {
      this.#outcomes.error++;
      this.#queue.addRateLimited(key);
      // A conflict only says that the cache was behind: normal, and mended by the retry.
      log[isConflict(error) ? 'debug' : 'warn']({ error: messageOf(error) }, 'reconcile failed, will retry');
    }
  }

  #settle(key: string, outcome: Outcome): void {
    if (outcome && 'requeueAfter' in outcome) {
      this.#outcomes.requeue_after++;
      this.#queue.forget(key);
      this.#queue.addAfter(key, outcome.requeueAfter);
    } else if (outcome) {
      this.#outcomes.requeue++;
      this.#queue.addRateLimited(key);
    } else {
      this.#outcomes.success++;
      this.#queue.forget(key);
    }
  }
}

/** What a run may ask for, made when it does: most runs find nothing to do. */
class RunContext implements ReconcileContext {
  readonly #parentLog: Logger;
  readonly #key: string;
  readonly #stopping: AbortSignal;
  #log: Logger | undefined;
  #id: string | undefined;
  #abort: AbortController | undefined;
  #aborted = false;
  readonly #stop = (): void => this.abort();

  constructor(log: Logger, key: string, stopping: AbortSignal) {
    this.#parentLog = log;
    this.#key = key;
    this.#stopping = stopping;
  }

  get reconcileId(): string {
    this.#id ??= randomUUID();
    return this.#id;
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({ key: this.#key, reconcileId: this.reconcileId });
    return this.#log;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#aborted || this.#stopping.aborted) this.#abort.abort();
      else this.#stopping.addEventListener('abort', this.#stop);
    }
    return this.#abort.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#abort?.abort();
  }

  /** The run is over. */
  close(): void {
    if (this.#abort) this.#stopping.removeEventListener('abort', this.#stop);
  }
}

function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** A set of running controllers. */
export interface Kernel {
  stats(): ControllerStats[];
  /** Ends all controllers; resolves when no reconcile is under way. */
  stop(): Promise<void>;
}

/** Starts controllers and resolves once each has its caches and takes keys. */
export async function startControllers(
  controllers: readonly Controller[],
  env: ControllerEnv,
): Promise<Kernel> {
  const runners = controllers.map((controller) => new Runner(controller, env));
  await Promise.all(runners.map((runner) => runner.start()));
  return {
    stats: () => runners.map((runner) => runner.stats()),
    async stop() {
      await Promise.all(runners.map((runner) => runner.stop()));
    },
  };
}
