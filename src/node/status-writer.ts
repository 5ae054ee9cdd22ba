/** Writes a pod's status in the background: always the newest, one write at a time, never in the way of the pod. */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import { pods } from '../api/kubernetes/pods.ts';
import type { Pod } from '../api/pods.ts';
import type { Client } from '../kube/client/client.ts';
import { hasReason } from '../kube/api-error.ts';
import type { PodStatus } from './status.ts';

const retryMs = [50, 200, 1000, 5000];

export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #key: { namespace: string; name: string };
  #known: PodStatus;
  #wanted: PodStatus | undefined;
  /** Members outside of the status, written before the next status. */
  #meta: { annotations?: { [key: string]: string }; nodeName?: string } | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: { client: Client; clock: Clock; log: Logger }, pod: Pod) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#key = { namespace: pod.metadata.namespace ?? '', name: pod.metadata.name };
    this.#known = pod.status ?? {};
  }

  /** Binds the pod to the node and sets annotations, before any status that is set later. */
  setMeta(meta: { annotations?: { [key: string]: string }; nodeName?: string }): void {
    this.#meta = { ...this.#meta, ...meta };
    this.#kick();
  }

  set(status: PodStatus): void {
    if (!this.#wanted && !this.#running && deepEqual(status, this.#known)) return;
    this.#wanted = status;
    this.#kick();
  }

  /** Resolves when everything set so far is written, or cannot be. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running;
  }

  stop(): void {
    this.#stopped = true;
  }

  #kick(): void {
    if (this.#stopped) return;
    this.#running ??= this.#drain().finally(() => (this.#running = undefined));
  }

  async #drain(): Promise<void> {
    let failures = 0;
    while (!this.#stopped && (this.#wanted || this.#meta)) {
      try {
        await this.#writeNext();
        failures = 0;
      } catch (error) {
        // The pod is gone, or its namespace: nobody waits for this status.
        if (hasReason(error, 'NotFound')) return;
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
    const status = this.#wanted;
    if (!status) return;
    this.#wanted = undefined;
    if (deepEqual(status, this.#known)) return;
    try {
      const body = { status: { ...nulls(this.#known, status), ...status } };
      await this.#client.patch(pods, this.#key, { type: 'merge', body }, { subresource: 'status' });
      this.#known = status;
    } catch (error) {
      this.#wanted ??= status;
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
