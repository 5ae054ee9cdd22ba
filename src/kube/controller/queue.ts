/**
 * The work queue of a controller: a key waits at most once, is never handed out twice at the same time, and comes back
 * after the delay that was asked for or that its failures earned (client-go `workqueue`).
 */
import type { Clock } from '../../base/clock.ts';

/** Back-off of a failing key, ms: 5, 10, 20 … at most five minutes. */
const baseDelayMs = 5;
const maxDelayMs = 5 * 60_000;

export class WorkQueue {
  /** Insertion order is the order of service. */
  readonly #ready = new Set<string>();
  readonly #running = new Set<string>();
  /** Keys that changed while running: they go back to ready when done. */
  readonly #dirty = new Set<string>();
  readonly #delayed = new Map<string, { at: number; cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #clock: Clock;
  readonly #onReady: () => void;
  #closed = false;

  /** `onReady` is called whenever a key may be taken. */
  constructor(clock: Clock, onReady: () => void) {
    this.#clock = clock;
    this.#onReady = onReady;
  }

  /** Keys ready to be taken. */
  get depth(): number {
    return this.#ready.size;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#running.has(key)) {
      this.#dirty.add(key);
      return;
    }
    if (this.#ready.has(key)) return;
    this.#ready.add(key);
    this.#onReady();
  }

  /** Adds after `ms`; of several pending delays of a key the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) return this.add(key);
    const at = this.#clock.now() + ms;
    const pending = this.#delayed.get(key);
    if (pending && pending.at <= at) return;
    pending?.cancel();
    const cancel = this.#clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, cancel });
  }

  /** Adds with the next back-off of the key. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(baseDelayMs * 2 ** failures, maxDelayMs));
  }

  /** Resets the back-off of a key. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, which counts as running until {@link done}; undefined when none is ready. */
  take(): string | undefined {
    for (const key of this.#ready) {
      this.#ready.delete(key);
      this.#running.add(key);
      return key;
    }
    return undefined;
  }

  done(key: string): void {
    this.#running.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#dirty.clear();
  }
}
