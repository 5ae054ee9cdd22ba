/** One watcher: what the store publishes, through a filter, as a stream that nobody can make grow without bound. */
import type { Clock } from '../../../base/clock.ts';
import type { KubeObject } from '../../../api/object.ts';
import { eventLine, StoreEvent } from '../../store/record.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { expired } from './errors.ts';
import type { ServedEvent } from './requests.ts';

/** A watcher that falls this far behind, in events or in bytes of their objects, is ended with 410; its client lists anew. */
const maxQueued = 20_000;
const maxQueuedBytes = 32 * 1024 * 1024;
const bookmarkEveryMs = 60_000;

export interface WatchSetup {
  readonly store: Store;
  readonly table: Table;
  readonly clock: Clock;
  readonly apiVersion: string;
  readonly kind: string;
  /** Undefined: everything matches. */
  readonly filter: ((record: StoredRecord) => boolean) | undefined;
  /** Deliver changes after this version. */
  readonly after: number;
  /** Objects delivered as ADDED before anything else. */
  readonly initial: readonly StoredRecord[];
  /** Mark the end of the initial objects with an annotated bookmark. */
  readonly markInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

export class WatchStream implements AsyncIterableIterator<ServedEvent> {
  readonly #setup: WatchSetup;
  #queue: ServedEvent[] = [];
  /** Read position in `#queue`: shifting an array of thousands costs too much. */
  #next = 0;
  /** Of the objects in the queue that can still be read. */
  #queuedBytes = 0;
  /** Of the objects that were there at the beginning: they may wait whatever their size. */
  #initialBytes = 0;
  #waiting: ((result: IteratorResult<ServedEvent>) => void) | undefined;
  #rejectWaiting: ((error: unknown) => void) | undefined;
  #failure: Error | undefined;
  #ended = false;
  readonly #cleanup: (() => void)[] = [];

  /** Subscribes at once. Throws 410 when the ring no longer reaches back to `after`. */
  constructor(setup: WatchSetup) {
    this.#setup = setup;
    const { table, signal, clock } = setup;
    const missed = table.since(setup.after);
    if (!missed) {
      throw expired(`too old resource version: ${setup.after} (${table.floor})`);
    }
    for (const record of setup.initial) {
      this.#queue.push(new StoreEvent('ADDED', record, undefined));
      this.#initialBytes += record.bytes.length;
    }
    this.#queuedBytes = this.#initialBytes;
    if (setup.markInitialEnd) this.#queue.push(this.#bookmark(setup.after, true));
    this.#take(missed);
    this.#cleanup.push(table.subscribe((events) => this.#take(events)));
    if (signal) {
      const stop = (): void => this.#end();
      if (signal.aborted) this.#end();
      signal.addEventListener('abort', stop, { once: true });
      this.#cleanup.push(() => signal.removeEventListener('abort', stop));
    }
    if (this.#ended) return;
    if (setup.bookmarks) this.#bookmarkRegularly();
    if (setup.timeoutMs !== undefined) {
      this.#cleanup.push(clock.after(setup.timeoutMs, () => this.#timeout()));
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ServedEvent>> {
    const event = this.#queue[this.#next];
    if (event) {
      this.#next++;
      this.#queuedBytes -= sizeOf(event);
      if (this.#next === this.#queue.length) this.#drop();
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = resolve;
      this.#rejectWaiting = reject;
    });
  }

  return(): Promise<IteratorResult<ServedEvent>> {
    this.#drop();
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Events that can be read without waiting. */
  get ready(): number {
    return this.#queue.length - this.#next;
  }

  #take(events: readonly StoreEvent[]): void {
    const { filter, after } = this.#setup;
    for (const event of events) {
      if (event.resourceVersion <= after) continue;
      const seen = filter ? seenThrough(filter, event) : event;
      if (seen) this.#push(seen);
      if (this.#ended) return;
    }
  }

  #push(event: ServedEvent): void {
    const waiting = this.#waiting;
    if (waiting) {
      this.#waiting = undefined;
      waiting({ done: false, value: event });
      return;
    }
    this.#queue.push(event);
    this.#queuedBytes += sizeOf(event);
    const { initial } = this.#setup;
    if (
      this.ready <= maxQueued + initial.length &&
      this.#queuedBytes <= maxQueuedBytes + this.#initialBytes
    ) {
      return;
    }
    this.#drop();
    this.#failure = expired('the watcher fell too far behind; list again');
    this.#end();
  }

  #drop(): void {
    this.#queue = [];
    this.#next = 0;
    this.#queuedBytes = 0;
  }

  #timeout(): void {
    if (this.#setup.bookmarks) this.#push(this.#bookmark(this.#setup.store.resourceVersion, false));
    this.#end();
  }

  #bookmarkRegularly(): void {
    let cancel: () => void = () => undefined;
    const schedule = (): void => {
      cancel = this.#setup.clock.after(bookmarkEveryMs, () => {
        // Everything up to this version is in the queue already: publishing and queueing are one step.
        this.#push(this.#bookmark(Math.max(this.#setup.after, this.#setup.store.resourceVersion), false));
        if (!this.#ended) schedule();
      });
    };
    schedule();
    this.#cleanup.push(() => cancel());
  }

  #bookmark(version: number, initialEnd: boolean): ServedEvent {
    const { apiVersion, kind } = this.#setup;
    const annotations = initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
    // A bookmark has no name: it is not an object, only its version counts.
    const object = {
      kind,
      apiVersion,
      metadata: { resourceVersion: String(version), creationTimestamp: null, ...annotations },
    } as unknown as KubeObject;
    return { type: 'BOOKMARK', object, line: eventLine('BOOKMARK', Buffer.from(JSON.stringify(object))) };
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const clean of this.#cleanup) clean();
    const waiting = this.#waiting;
    const reject = this.#rejectWaiting;
    this.#waiting = undefined;
    if (!waiting) return;
    if (this.#failure === undefined) waiting({ done: true, value: undefined });
    else reject?.(this.#failure);
  }
}

function sizeOf(event: ServedEvent): number {
  return event instanceof StoreEvent ? event.record.bytes.length : 0;
}

/** What a watcher with a filter sees of an event: entering is ADDED, leaving is DELETED. */
function seenThrough(filter: (record: StoredRecord) => boolean, event: StoreEvent): StoreEvent | undefined {
  const before = event.prev !== undefined && filter(event.prev);
  if (event.type === 'DELETED') return before ? event : undefined;
  const now = filter(event.record);
  if (now) return before || event.type === 'ADDED' ? event : event.entered;
  return before ? event.left : undefined;
}
