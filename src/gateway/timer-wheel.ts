/**
 * Deadlines for many connections with one timer. Each connection owns one entry; it moves only when a deadline comes
 * nearer. When an entry falls due its owner says when to look again, so that activity costs a time stamp and no more.
 */
import type { Clock } from '../base/clock.ts';

/** Time that never jumps. */
export const steadyClock: Clock = {
  now: () => performance.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Resolution, ms: a deadline fires at most this much late. */
const TICK_MS = 25;
const SLOTS = 1024;

/** Asked when the entry is due: returns the next time to ask (ms on the wheel's clock), or Infinity for none. */
export type OnDue = (now: number) => number;

export class TimerEntry {
  readonly onDue: OnDue;
  due = Infinity;
  slot = -1;
  next: TimerEntry | null = null;
  previous: TimerEntry | null = null;
  constructor(onDue: OnDue) {
    this.onDue = onDue;
  }
}

export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: (TimerEntry | null)[] = Array.from({ length: SLOTS }, () => null);
  /** Last tick that was handled. */
  #tick: number;
  #armedTick = Infinity;
  #disarm: (() => void) | null = null;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tick = Math.floor(clock.now() / TICK_MS);
  }

  now(): number {
    return this.#clock.now();
  }

  /** Makes sure that `entry` is asked at `due` or before. An entry that is already asked earlier stays. */
  ensure(entry: TimerEntry, due: number): void {
    if (due >= entry.due) return;
    this.#unlink(entry);
    this.#link(entry, due);
  }

  cancel(entry: TimerEntry): void {
    this.#unlink(entry);
    if (this.#count === 0) this.stop();
  }

  /** Stops the underlying timer; entries stay and are asked when another is added. */
  stop(): void {
    this.#disarm?.();
    this.#disarm = null;
    this.#armedTick = Infinity;
  }

  #link(entry: TimerEntry, due: number): void {
    if (due === Infinity) return;
    if (this.#count === 0) this.#tick = Math.floor(this.#clock.now() / TICK_MS);
    // Beyond the horizon: asked once at its end and put back.
    const tick = Math.min(Math.max(Math.ceil(due / TICK_MS), this.#tick + 1), this.#tick + SLOTS - 1);
    const slot = tick % SLOTS;
    const head = this.#slots[slot] ?? null;
    entry.due = due;
    entry.slot = slot;
    entry.previous = null;
    entry.next = head;
    if (head) head.previous = entry;
    this.#slots[slot] = entry;
    this.#count++;
    if (tick < this.#armedTick) this.#arm(tick);
  }

  #unlink(entry: TimerEntry): void {
    if (entry.slot < 0) return;
    if (entry.previous) entry.previous.next = entry.next;
    else this.#slots[entry.slot] = entry.next;
    if (entry.next) entry.next.previous = entry.previous;
    entry.next = null;
    entry.previous = null;
    entry.slot = -1;
    entry.due = Infinity;
    this.#count--;
  }

  #arm(tick: number): void {
    this.#disarm?.();
    this.#armedTick = tick;
    this.#disarm = this.#clock.after(Math.max(1, tick * TICK_MS - this.#clock.now()), () => this.#fire());
  }

  #fire(): void {
    this.#disarm = null;
    this.#armedTick = Infinity;
    const now = this.#clock.now();
    const last = Math.floor(now / TICK_MS);
    // A clock that jumped further than the wheel is long visits each slot once.
    const first = Math.max(this.#tick + 1, last - SLOTS + 1);
    const due: TimerEntry[] = [];
    for (let tick = first; tick <= last; tick++) {
      for (let entry = this.#slots[tick % SLOTS] ?? null; entry; entry = entry.next) due.push(entry);
    }
    this.#tick = Math.max(this.#tick, last);
    for (const entry of due) {
      // An owner that was asked before may have cancelled or moved this one.
      if (entry.slot < 0) continue;
      const planned = entry.due;
      this.#unlink(entry);
      const again = planned > now ? planned : entry.onDue(now);
      if (entry.slot < 0) this.#link(entry, again);
    }
    // Also when an owner's answer has armed it: others may be due before that.
    if (this.#count > 0) this.#armNext();
  }

  #armNext(): void {
    for (let tick = this.#tick + 1; tick < this.#tick + SLOTS; tick++) {
      if (this.#slots[tick % SLOTS]) return this.#arm(tick);
    }
  }
}
