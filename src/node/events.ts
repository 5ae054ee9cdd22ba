/** Kubernetes events about pods and the node. */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { events } from '../api/kubernetes/events.ts';
import { timestamp, type KubeObject } from '../api/object.ts';
import type { Client } from '../kube/client/client.ts';
import { hasReason, isNotFound } from '../kube/api-error.ts';

type Event = KubernetesTypes['core.v1.Event'];

/** Events wait this long, so that they do not take the store and the CPU from a pod that is starting, ms. */
const delayMs = 300;
/** Distinct events remembered, to count repetitions instead of making new objects. */
const remembered = 1000;
const maxQueued = 5000;
const maxMessageLength = 1024;

export interface EventRecorder {
  event(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
  ): void;
}

interface Pending {
  readonly event: Event;
  /** Repetitions to add to an event that is stored. */
  readonly repeat: { name: string; count: number } | undefined;
}

/** Writes events one after another, in the background; a failure is logged and the event lost. */
export class ApiEventRecorder implements EventRecorder {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #host: string;
  readonly #component: string;
  readonly #seen = new Map<string, { name: string; count: number }>();
  #queue: Pending[] = [];
  #cancel: (() => void) | undefined;
  #flushing: Promise<void> | undefined;
  #closed = false;
  #sequence = 0;

  constructor(options: { client: Client; clock: Clock; log: Logger; host: string; component: string }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#host = options.host;
    this.#component = options.component;
  }

  event(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
  ): void {
    if (this.#closed || this.#queue.length >= maxQueued) return;
    const { uid = '', namespace = 'default', name } = about.metadata;
    const text = message.slice(0, maxMessageLength);
    const key = JSON.stringify([uid, type, reason, text, fieldPath]);
    const before = this.#seen.get(key);
    const now = timestamp(this.#clock.now());
    const known = before ?? { name: `${name}.${this.#uniqueSuffix()}`, count: 0 };
    known.count++;
    this.#seen.delete(key);
    this.#seen.set(key, known);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > remembered && oldest !== undefined) this.#seen.delete(oldest);
    const event: Event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: known.name, namespace },
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name,
        ...(about.metadata.namespace ? { namespace } : {}),
        uid,
        ...(about.metadata.resourceVersion ? { resourceVersion: about.metadata.resourceVersion } : {}),
        ...(fieldPath ? { fieldPath } : {}),
      },
      type,
      reason,
      message: text,
      count: known.count,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: this.#component, host: this.#host },
      reportingComponent: this.#component,
      reportingInstance: this.#host,
    };
    this.#queue.push({ event, repeat: before ? { name: known.name, count: known.count } : undefined });
    this.#cancel ??= this.#clock.after(delayMs, () => void this.flush());
  }

  /** As client-go: hexadecimal nanoseconds; the sequence keeps two of one millisecond apart. */
  #uniqueSuffix(): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000;
    return (BigInt(this.#clock.now()) * 1_000_000n + BigInt(this.#sequence)).toString(16);
  }

  /** Writes what waits. Concurrent calls share one run. */
  async flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#flushing ??= this.#drain().finally(() => (this.#flushing = undefined));
    await this.#flushing;
  }

  /** Writes what waits and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      for (const pending of batch) await this.#write(pending);
    }
  }

  async #write({ event, repeat }: Pending): Promise<void> {
    try {
      if (repeat) {
        const body = { count: repeat.count, lastTimestamp: event.lastTimestamp };
        const key = { namespace: event.metadata.namespace ?? '', name: repeat.name };
        try {
          await this.#client.patch(events, key, { type: 'merge', body });
          return;
        } catch (error) {
          // It has expired meanwhile.
          if (!isNotFound(error)) throw error;
        }
      }
      await this.#client.create(events, event);
    } catch (error) {
      // The namespace is going, as the objects in it are.
      if (hasReason(error, 'Forbidden', 'NotFound')) return;
      this.#log.warn({ error: messageOf(error), reason: event.reason }, 'event not written');
    }
  }
}
