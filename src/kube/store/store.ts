/**
 * The store: objects in memory, one writer, group commit. A write is visible at once to the check of the next write
 * (optimistic locking needs that), but readers and watchers meet it only when it is durable.
 */
import { deepFreeze } from '../../base/json.ts';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Backend, LogEntry } from './backend.ts';
import { maxObjectBytes, ObjectTooLarge, plainBytes } from './object-size.ts';
import { LoadedRecord, StoreEvent, type EventType, type StoredRecord } from './record.ts';
import { Table, type RingLimits } from './table.ts';

export interface StoreOptions {
  /** Events kept per resource for watches that resume. Default 10 000. */
  readonly ringSize?: number;
  /** Memory, in bytes, that the events kept for a resource may take together. Default 32 MiB. */
  readonly ringBytes?: number;
}

/** All that a store holds at one moment. */
export interface StoreSnapshot {
  /** At least that of every record. */
  readonly resourceVersion: number;
  /** By the name of the table, in key order. */
  readonly tables: ReadonlyMap<string, readonly StoredRecord[]>;
}

interface PendingWrite {
  readonly table: Table;
  readonly entry: LogEntry;
  readonly event: StoreEvent;
  readonly resolve: (record: StoredRecord) => void;
  readonly reject: (error: unknown) => void;
}

interface Waiter {
  readonly version: number;
  readonly resolve: (kept: boolean) => void;
}

export class Store {
  readonly #backend: Backend;
  readonly #limits: RingLimits;
  readonly #tables = new Map<string, Table>();
  /** Last version given to a write. */
  #assigned = 0;
  #committed = 0;
  /** Version of the newest write that was not taken back. */
  #newest = 0;
  /** Version at opening: what happened before it is not in any ring. */
  #opened = 0;
  #queue: PendingWrite[] = [];
  #waiters: Waiter[] = [];
  #scheduled = false;
  #flushing: Promise<void> | undefined;
  /** Set for good when the backend can no longer be trusted, or when the store is closed. */
  #refusal: KnapsackError | undefined;

  private constructor(backend: Backend, options: StoreOptions) {
    this.#backend = backend;
    this.#limits = { events: options.ringSize ?? 10_000, bytes: options.ringBytes ?? 32 * 1024 * 1024 };
  }

  /** Loads everything into memory. Throws what the backend's `load` throws (`STORE_IN_USE`…). */
  static async open(backend: Backend, options: StoreOptions = {}): Promise<Store> {
    const store = new Store(backend, options);
    const version = await backend.load((entry) => {
      store.table(entry.table).set(new LoadedRecord(entry.key, entry.resourceVersion, entry.bytes));
    });
    // Version 0 means "any" to clients, so an empty store starts at 1.
    store.#assigned = Math.max(1, version);
    store.#committed = store.#assigned;
    store.#newest = store.#assigned;
    store.#opened = store.#assigned;
    for (const table of store.#tables.values()) table.floor = store.#assigned;
    return store;
  }

  /** The newest durable version. */
  get resourceVersion(): number {
    return this.#committed;
  }

  /** The table of a resource, by its qualified name (`deployments.apps`). Made when first asked for. */
  table(name: string): Table {
    let table = this.#tables.get(name);
    if (!table) {
      table = new Table(name, this.#opened, this.#limits);
      this.#tables.set(name, table);
    }
    return table;
  }

  /**
   * Stores a new version of an object, or its first. Takes ownership: sets `metadata.resourceVersion` and freezes.
   * Check-then-write is safe as long as nothing is awaited between `table.get` and this call.
   * Resolves when durable; rejects with {@link ObjectTooLarge}, and with `STORE_FULL`, `STORE_FAILED` or `STORE_CLOSED` when
   * nothing was kept.
   */
  put(table: Table, key: string, object: KubeObject): Promise<StoredRecord> {
    return this.#write(table, key, object, table.get(key) ? 'MODIFIED' : 'ADDED');
  }

  /** Removes an object. `object` is its last state, as the DELETED event shows it, at the deletion's own version. */
  remove(table: Table, key: string, object: KubeObject): Promise<StoredRecord> {
    return this.#write(table, key, object, 'DELETED');
  }

  /**
   * Every object as of one moment, once that moment is durable, by table. Takes no copies: records never change. Rejects
   * with `STORE_CLOSED` or `STORE_FAILED` when the moment never became durable and no later one can.
   */
  async snapshot(): Promise<StoreSnapshot> {
    for (;;) {
      const resourceVersion = this.#newest;
      const tables = new Map([...this.#tables].map(([name, table]) => [name, table.records()]));
      if ((await this.durable(resourceVersion)) !== false) return { resourceVersion, tables };
      if (this.#refusal) throw this.#refusal;
    }
  }

  /**
   * Undefined when everything up to `version` is durable. Otherwise resolves true once it is, or false when the writes
   * failed and were taken back: then what was read is void and must be read again.
   */
  durable(version: number): Promise<boolean> | undefined {
    if (version <= this.#committed) return undefined;
    return new Promise((resolve) => this.#waiters.push({ version, resolve }));
  }

  /** Refuses further writes, finishes those under way and closes the backend. */
  async close(): Promise<void> {
    this.#refusal ??= new KnapsackError('STORE_CLOSED', 'The store is closed.');
    while (this.#queue.length > 0 || this.#flushing) await (this.#flushing ?? this.#flush());
    await this.#backend.close();
  }

  #write(table: Table, key: string, object: KubeObject, type: EventType): Promise<StoredRecord> {
    if (this.#refusal) return Promise.reject(this.#refusal);
    const resourceVersion = this.#assigned + 1;
    object.metadata.resourceVersion = String(resourceVersion);
    const json = JSON.stringify(object);
    // What an older release let grow may shrink, and be deleted, which begins with a note in it.
    const grows = type !== 'DELETED' && object.metadata.deletionTimestamp === undefined;
    const allowed = Math.max(maxObjectBytes, table.get(key)?.bytes.length ?? 0);
    if (grows && json.length > allowed && plainBytes(object) > allowed) {
      return Promise.reject(new ObjectTooLarge());
    }
    this.#assigned = resourceVersion;
    const record = { key, resourceVersion, object: deepFreeze(object), bytes: Buffer.from(json) };
    const event = new StoreEvent(type, record, table.get(key));
    if (type === 'DELETED') table.remove(key);
    else table.set(record);
    table.lastWrite = resourceVersion;
    this.#newest = resourceVersion;
    const entry = { table: table.name, key, resourceVersion, json: type === 'DELETED' ? null : json };
    return new Promise((resolve, reject) => {
      this.#queue.push({ table, entry, event, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#flushing || this.#scheduled) return;
    this.#scheduled = true;
    // After the poll phase: every request that arrived in this turn of the loop shares the commit.
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#flushing) void this.#flush();
    });
  }

  #flush(): Promise<void> {
    this.#flushing = this.#drain().finally(() => {
      this.#flushing = undefined;
      // Whoever was just acknowledged may have written again before this ran.
      if (this.#queue.length > 0) this.#schedule();
    });
    return this.#flushing;
  }

  /** Commits batch after batch until the queue is empty. Never rejects: each write carries its own outcome. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      try {
        const commit = this.#backend.commit(batch.map((write) => write.entry));
        if (commit) await commit;
      } catch (error) {
        this.#fail(batch, error);
        continue;
      }
      this.#publish(batch);
    }
  }

  #publish(batch: readonly PendingWrite[]): void {
    this.#committed = batch.at(-1)?.event.resourceVersion ?? this.#committed;
    const byTable = new Map<Table, StoreEvent[]>();
    for (const { table, event } of batch) {
      const events = byTable.get(table);
      if (events) events.push(event);
      else byTable.set(table, [event]);
    }
    for (const [table, events] of byTable) table.publish(events);
    for (const write of batch) write.resolve(write.event.record);
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.version > this.#committed) return true;
      waiter.resolve(true);
      return false;
    });
  }

  /**
   * Takes back the failed batch and everything queued behind it: those writes were checked against a state that will
   * never be. Their versions are not given out again.
   */
  #fail(batch: readonly PendingWrite[], error: unknown): void {
    const failure =
      error instanceof KnapsackError
        ? error
        : new KnapsackError('STORE_FAILED', `The store cannot write: ${messageOf(error)}.`, { cause: error });
    if (failure.code !== 'STORE_FULL') this.#refusal = failure;
    const undone = [...batch, ...this.#queue];
    this.#queue = [];
    for (const { table, event } of undone.toReversed()) {
      if (event.prev) table.set(event.prev);
      else table.remove(event.record.key);
    }
    this.#newest = this.#committed;
    for (const { table } of undone) table.lastWrite = Math.min(table.lastWrite, this.#committed);
    for (const write of undone) write.reject(failure);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve(false);
  }
}
