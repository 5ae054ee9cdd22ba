/**
 * Keeps events from flooding the API (client-go tools/record `EventCorrelator`): an object that is talked about without
 * end is heard rarely, and many events that differ only in their message become one.
 */
import type { Clock } from '../../base/clock.ts';
import type { KubeObject } from '../../api/object.ts';

/** Events about one object at once; after them one each five minutes. */
const burst = 25;
const refillMs = 5 * 60_000;
/** From this many different messages of one reason within the interval they are combined. */
const maxSimilar = 10;
const similarMs = 10 * 60_000;
/** Objects and reasons remembered. */
const remembered = 4096;

const combinedPrefix = '(combined from similar events): ';

export interface Correlated {
  /** Events of the same key are one. */
  readonly key: string;
  readonly message: string;
}

interface Bucket {
  tokens: number;
  at: number;
}

interface Similar {
  readonly messages: Set<string>;
  at: number;
}

export class EventCorrelator {
  readonly #clock: Clock;
  /** Least recently used first, both. */
  readonly #buckets = new Map<string, Bucket>();
  readonly #similar = new Map<string, Similar>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined when the event is to be dropped. */
  correlate(
    about: KubeObject,
    event: { readonly type: string; readonly reason: string; readonly message: string },
    fieldPath: string | undefined,
  ): Correlated | undefined {
    const { type, reason, message } = event;
    const { name, namespace, uid } = about.metadata;
    const object = JSON.stringify([about.apiVersion, about.kind, namespace, name, uid]);
    if (!this.#take(object)) return undefined;
    const group = JSON.stringify([object, type, reason]);
    if (this.#isOneOfMany(group, message)) return { key: group, message: `${combinedPrefix}${message}` };
    return { key: JSON.stringify([group, message, fieldPath]), message };
  }

  #take(object: string): boolean {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(object) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) / refillMs);
    bucket.at = now;
    keepLatest(this.#buckets, object, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  #isOneOfMany(group: string, message: string): boolean {
    const now = this.#clock.now();
    const before = this.#similar.get(group);
    const similar =
      before && now - before.at <= similarMs ? before : { messages: new Set<string>(), at: now };
    similar.at = now;
    keepLatest(this.#similar, group, similar);
    if (similar.messages.size >= maxSimilar - 1 && !similar.messages.has(message)) return true;
    similar.messages.add(message);
    return false;
  }
}

function keepLatest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next();
  if (map.size > remembered && !oldest.done) map.delete(oldest.value);
}
