/** One resource's objects, sorted by key on demand, and the ring of its latest events. */
import type { KubeObject } from '../../api/object.ts';
import type { StoredRecord, StoreEvent } from './record.ts';

export type Listener = (events: readonly StoreEvent[]) => void;
/** Is told of the newest version of an object, or that it is gone, at once: durable or not, and taken back or not. */
export type Observer = (key: string, record: StoredRecord | undefined) => void;

/** How much of the past is kept for watches that resume. */
export interface RingLimits {
  readonly events: number;
  readonly bytes: number;
}

/** What an event holds in memory, estimated: JSON, the line of a watch stream, the parsed object (twice its JSON). */
function weight(event: StoreEvent): number {
  return event.record.bytes.length * 4 + 500;
}

export class Table {
  readonly name: string;
  /** Events at or below this version are no longer in the ring: watching from before it is impossible. */
  floor: number;
  /** Version of the newest write to this table, committed or not. */
  lastWrite = 0;
  readonly #limits: RingLimits;
  readonly #records = new Map<string, StoredRecord>();
  #ring: StoreEvent[] = [];
  #ringBytes = 0;
  #listeners = new Set<Listener>();
  readonly #observers: Observer[] = [];
  /** Sorted; may still hold removed keys. Keys written since the last read wait in `#fresh`. */
  #keys: string[] = [];
  #fresh: string[] = [];
  #removed = false;

  constructor(name: string, floor: number, limits: RingLimits) {
    this.name = name;
    this.floor = floor;
    this.#limits = limits;
  }

  get size(): number {
    return this.#records.size;
  }

  /** The newest version, committed or not. */
  get(key: string): StoredRecord | undefined {
    return this.#records.get(key);
  }

  set(record: StoredRecord): void {
    if (!this.#records.has(record.key)) this.#fresh.push(record.key);
    this.#records.set(record.key, record);
    for (const observer of this.#observers) observer(record.key, record);
  }

  remove(key: string): void {
    if (!this.#records.delete(key)) return;
    this.#removed = true;
    for (const observer of this.#observers) observer(key, undefined);
  }

  /** The newest versions in key order, of one namespace or of all. */
  records(namespace?: string): StoredRecord[] {
    this.#sort();
    const prefix = namespace ? `${namespace}/` : '';
    const out: StoredRecord[] = [];
    for (let i = prefix ? this.#lowerBound(prefix) : 0; i < this.#keys.length; i++) {
      const key = this.#keys[i] ?? '';
      if (!key.startsWith(prefix)) break;
      const record = this.#records.get(key);
      if (record) out.push(record);
    }
    return out;
  }

  /** The newest objects, of one namespace or of all, in no order: for counting, without the price of sorting. */
  objects(namespace?: string): KubeObject[] {
    const prefix = namespace ? `${namespace}/` : '';
    const out: KubeObject[] = [];
    for (const { key, object } of this.#records.values()) if (key.startsWith(prefix)) out.push(object);
    return out;
  }

  /** Puts committed events on the ring and in front of the listeners. */
  publish(events: readonly StoreEvent[]): void {
    for (const event of events) {
      this.#ring.push(event);
      this.#ringBytes += weight(event);
    }
    this.#forget();
    for (const listener of this.#listeners) listener(events);
  }

  /** Drops the oldest events past the limits, in slabs: one splice per quarter ring instead of one per event. */
  #forget(): void {
    const { events, bytes } = this.#limits;
    if (this.#ring.length <= events * 1.25 && this.#ringBytes <= bytes * 1.25) return;
    let cut = 0;
    for (let last; this.#ring.length - cut > events || this.#ringBytes > bytes; cut++) {
      last = this.#ring[cut];
      if (!last) break;
      this.#ringBytes -= weight(last);
      this.floor = last.resourceVersion;
    }
    this.#ring.splice(0, cut);
  }

  /** Committed events after `version`, or undefined when some of them are gone. */
  since(version: number): StoreEvent[] | undefined {
    if (version < this.floor) return undefined;
    let low = 0;
    let high = this.#ring.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ring[middle]?.resourceVersion ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return this.#ring.slice(low);
  }

  /** For as long as the table lives. */
  observe(observer: Observer): void {
    this.#observers.push(observer);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Merges new keys into the sorted ones: a burst of writes costs one merge at the next list, not a splice each. */
  #sort(): void {
    if (this.#fresh.length === 0 && !this.#removed) return;
    const fresh = this.#fresh.sort();
    const merged: string[] = [];
    let last: string | undefined;
    const take = (key: string): void => {
      if (key !== last && this.#records.has(key)) merged.push(key);
      last = key;
    };
    let f = 0;
    for (const key of this.#keys) {
      for (let next = fresh[f]; next !== undefined && next < key; next = fresh[++f]) take(next);
      take(key);
    }
    for (; f < fresh.length; f++) take(fresh[f] ?? '');
    this.#keys = merged;
    this.#fresh = [];
    this.#removed = false;
  }

  #lowerBound(prefix: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? '') < prefix) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
