/**
 * Kubernetes Events about what a controller or the node did. Recording returns at once and never fails: events are written a little
 * later, off the path of the work they tell about, and one that comes again only raises its count.
 */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { events, type Event } from '../../api/kubernetes/events.ts';
import { timestamp, type KubeObject } from '../../api/object.ts';
import { hasReason, isNotFound } from '../api-error.ts';
import type { Client } from '../client/client.ts';
import { EventCorrelator } from './event-correlator.ts';

/** Time for repetitions to gather, and for the work to get the store to itself, ms. */
const gatherMs = 300;
/** An event that comes again after this long is a new one, ms. */
const aggregateMs = 10 * 60_000;
/** Distinct events remembered. */
const remembered = 4096;
/** Events waiting to be written; more are dropped: they would say the same thing many times. */
const maxWaiting = 5000;
/** Longer messages are refused by Kubernetes. */
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

interface Known {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly first: number;
  last: number;
  count: number;
  /** The object in the API has been created. */
  written: boolean;
}

export interface RecorderOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** The source that `kubectl describe` shows under FROM, e.g. `deployment-controller`. */
  readonly component: string;
  readonly host?: string;
}

export class Recorder implements EventRecorder {
  readonly #options: RecorderOptions;
  readonly #correlator: EventCorrelator;
  /** Oldest first. */
  readonly #known = new Map<string, Known>();
  #waiting = new Map<Known, Event>();
  #cancel: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;
  #sequence = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#correlator = new EventCorrelator(options.clock);
  }

  event(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
  ): void {
    if (this.#closed || this.#waiting.size >= maxWaiting) return;
    const correlated = this.#correlator.correlate(about, { type, reason, message }, fieldPath);
    if (!correlated) return;
    const text = correlated.message.slice(0, maxMessageLength);
    const known = this.#count(about, correlated.key);
    this.#waiting.set(known, this.#make(known, about, { type, reason, message: text }, fieldPath));
    this.#cancel ??= this.#options.clock.after(gatherMs, () => void this.flush());
  }

  /** Writes what waits. Calls that come meanwhile share the run. */
  async flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#writing ??= this.#drain().finally(() => (this.#writing = undefined));
    await this.#writing;
  }

  /** Takes no more events and resolves when those that wait are written. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #count(about: KubeObject, key: string): Known {
    const now = this.#options.clock.now();
    const before = this.#known.get(key);
    this.#known.delete(key);
    const known =
      before && now - before.last < aggregateMs
        ? before
        : {
            key,
            // Events about cluster-scoped objects are kept where Kubernetes keeps them.
            namespace: about.metadata.namespace ?? 'default',
            name: `${about.metadata.name}.${this.#suffix(now)}`,
            first: now,
            last: now,
            count: 0,
            written: false,
          };
    known.count++;
    known.last = now;
    this.#known.set(key, known);
    const oldest = this.#known.keys().next();
    if (this.#known.size > remembered && !oldest.done) this.#known.delete(oldest.value);
    return known;
  }

  /** Hexadecimal nanoseconds as in client-go; the sequence keeps two of one millisecond apart. */
  #suffix(now: number): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000;
    return (BigInt(now) * 1_000_000n + BigInt(this.#sequence)).toString(16);
  }

  #make(
    known: Known,
    about: KubeObject,
    what: Pick<Event, 'type' | 'reason' | 'message'>,
    fieldPath: string | undefined,
  ): Event {
    const { component, host } = this.#options;
    const { name, namespace, uid, resourceVersion } = about.metadata;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: known.name, namespace: known.namespace },
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name,
        ...(namespace ? { namespace } : {}),
        ...(uid ? { uid } : {}),
        ...(resourceVersion ? { resourceVersion } : {}),
        ...(fieldPath ? { fieldPath } : {}),
      },
      ...what,
      count: known.count,
      firstTimestamp: timestamp(known.first),
      lastTimestamp: timestamp(known.last),
      source: { component, ...(host ? { host } : {}) },
      reportingComponent: component,
      ...(host ? { reportingInstance: host } : {}),
    };
  }

  async #drain(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = this.#waiting;
      this.#waiting = new Map();
      for (const [known, event] of batch) await this.#write(known, event);
    }
  }

  async #write(known: Known, event: Event): Promise<void> {
    const { client, log } = this.#options;
    try {
      if (known.written) {
        const body = { count: event.count, lastTimestamp: event.lastTimestamp, message: event.message };
        try {
          await client.patch(
            events,
            { namespace: known.namespace, name: known.name },
            { type: 'merge', body },
          );
          return;
        } catch (error) {
          // It was deleted or has expired: it is told again.
          if (!isNotFound(error)) throw error;
        }
      }
      await client.create(events, event);
      known.written = true;
    } catch (error) {
      // The namespace is gone or going, and its events with it.
      if (hasReason(error, 'Forbidden', 'NotFound')) return;
      log.warn(
        { error: messageOf(error), reason: event.reason, about: event.involvedObject },
        'event not written',
      );
    }
  }
}
