/**
 * Writes a pod's status in the background: always the newest, one write at a time, never in the way of the pod. While a pod
 * starts its status rests before it is written: most of it is out of date a moment later, and each write takes the
 * processor from the app that somebody may be waiting for.
 */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import { pods } from '../api/kubernetes/pods.ts';
import type { Pod } from '../api/pods.ts';
import type { Client } from '../kube/client/client.ts';
import { hasReason } from '../kube/api-error.ts';
import { isStarting, type PodStatus } from './status.ts';

const retryMs = [50, 200, 1000, 5000];

/** How long the status of a starting pod rests, ms. */
const startingMs = 60;
/** How long the node's name and the port map rest, ms: until the container is on its way. */
const metaMs = 15;

/** Holds something back for a while. */
class Rest {
  /** What rests may be written. */
  isOver = false;
  readonly #clock: Clock;
  readonly #onOver: () => void;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  /** A rest that has begun already goes on. */
  begin(ms: number): void {
    if (this.isOver) return;
    this.#cancel ??= this.#clock.after(ms, () => this.end());
  }

  end(): void {
    this.reset();
    this.isOver = true;
    this.#onOver();
  }

  /** Nothing is there that would rest. */
  reset(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.isOver = false;
  }
}

export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #key: { namespace: string; name: string };
  #known: PodStatus;
  #wanted: PodStatus | undefined;
  /** Members outside of the status, written before the next status. */
  #meta: { annotations?: { [key: string]: string }; nodeName?: string } | undefined;
  /** The newest status: written, being written, or resting. */
  #latest: PodStatus;
  readonly #metaRest: Rest;
  readonly #statusRest: Rest;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: { client: Client; clock: Clock; log: Logger }, pod: Pod) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#key = { namespace: pod.metadata.namespace ?? '', name: pod.metadata.name };
    this.#known = pod.status ?? {};
    this.#latest = this.#known;
    const kick = (): void => this.#kick();
    this.#metaRest = new Rest(options.clock, kick);
    this.#statusRest = new Rest(options.clock, kick);
  }

  /** Binds the pod to the node and sets annotations, in a moment but before any status that is set later. */
  setMeta(meta: { annotations?: { [key: string]: string }; nodeName?: string }): void {
    if (this.#stopped) return;
    this.#meta = { ...this.#meta, ...meta };
    this.#metaRest.begin(metaMs);
  }

  set(status: PodStatus): void {
    if (this.#stopped) return;
    if (!this.#wanted && !this.#running && deepEqual(status, this.#known)) return;
    const before = this.#latest;
    this.#latest = status;
    this.#wanted = status;
    if (isStarting(before, status)) this.#statusRest.begin(startingMs);
    else this.#statusRest.end();
  }

  /** Resolves when everything set so far is written, or cannot be. */
  async flush(): Promise<void> {
    if (this.#meta) this.#metaRest.end();
    if (this.#wanted) this.#statusRest.end();
    while (this.#running) await this.#running;
  }

  stop(): void {
    this.#stopped = true;
    this.#metaRest.reset();
    this.#statusRest.reset();
  }

  get #hasWork(): boolean {
    return !this.#stopped && (this.#metaRest.isOver || this.#statusRest.isOver);
  }

  #kick(): void {
    if (this.#running || !this.#hasWork) return;
    // Not before whoever set it has gone on: a request may wait for what it does next.
    this.#running = Promise.resolve()
      .then(() => this.#drain())
      .finally(() => {
        this.#running = undefined;
        this.#kick();
      });
  }

  async #drain(): Promise<void> {
    let failures = 0;
    while (this.#hasWork) {
      try {
        await this.#writeNext();
        failures = 0;
      } catch (error) {
        // The pod is gone, or its namespace: nobody waits for this status.
        if (hasReason(error, 'NotFound')) return this.stop();
        this.#log.warn({ error: messageOf(error) }, 'pod status not written');
        await this.#pause(retryMs[Math.min(failures++, retryMs.length - 1)] ?? 0);
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }

  async #writeNext(): Promise<void> {
    const meta = this.#meta;
    if (meta) {
      const body = {
        ...(meta.annotations ? { metadata: { annotations: meta.annotations } } : {}),
        ...(meta.nodeName ? { spec: { nodeName: meta.nodeName } } : {}),
      };
      await this.#client.patch(pods, this.#key, { type: 'merge', body });
      if (this.#meta === meta) this.#meta = undefined;
    }
    if (!this.#meta) this.#metaRest.reset();
    if (!this.#statusRest.isOver) return;
    this.#statusRest.reset();
    const status = this.#wanted;
    this.#wanted = undefined;
    if (!status) return;
    if (deepEqual(status, this.#known)) return;
    try {
      const body = { status: { ...nulls(this.#known, status), ...status } };
      await this.#client.patch(pods, this.#key, { type: 'merge', body }, { subresource: 'status' });
      this.#known = status;
    } catch (error) {
      this.#wanted ??= status;
      this.#statusRest.end();
      throw error;
    }
  }
}

/** A merge patch removes a member by null. */
function nulls(old: PodStatus, next: PodStatus): Record<string, null> {
  const result: Record<string, null> = {};
  for (const key of Object.keys(old)) if (!(key in next)) result[key] = null;
  return result;
}
