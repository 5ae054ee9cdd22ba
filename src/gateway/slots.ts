/**
 * Requests in flight per endpoint against `containerConcurrency`. One worker counts plainly; several count in shared
 * memory, so that the limit of a pod holds for all of them together.
 */
import { at } from './http1/bytes.ts';

/** An endpoint as far as slots are concerned. */
export interface Slotted {
  /** Requests that this worker has in flight there. */
  inFlight: number;
  /** Where all workers count it together. */
  readonly slot: number;
}

export interface Slots {
  /** Takes a slot when fewer than `limit` are taken (0: no limit). */
  take(endpoint: Slotted, limit: number): boolean;
  give(endpoint: Slotted): void;
  /** How many are taken, by anyone. */
  taken(endpoint: Slotted): number;
}

/** Counts of the only worker. */
export const localSlots: Slots = {
  take(endpoint, limit) {
    if (limit > 0 && endpoint.inFlight >= limit) return false;
    endpoint.inFlight++;
    return true;
  },
  give(endpoint) {
    endpoint.inFlight--;
  },
  taken: (endpoint) => endpoint.inFlight,
};

/** Endpoints that shared memory has room for. */
export const SHARED_SLOTS = 65_536;

/** Memory for the counts of `workers` workers: one table for all together, and one for each. */
export function makeSharedSlots(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((1 + workers) * SHARED_SLOTS * Int32Array.BYTES_PER_ELEMENT);
}

function tableOf(memory: SharedArrayBuffer, worker: number): Int32Array {
  return new Int32Array(memory, (1 + worker) * SHARED_SLOTS * Int32Array.BYTES_PER_ELEMENT, SHARED_SLOTS);
}

/** Counts over all workers, in memory that they share. */
export class SharedSlots implements Slots {
  readonly #counts: Int32Array;
  /** What this worker has taken, so that it can be given back should the worker die. */
  readonly #own: Int32Array;
  readonly #onGive: () => void;

  /** `worker` is the index of this one; `onGive` tells the others that a slot is free. */
  constructor(memory: SharedArrayBuffer, worker: number, onGive: () => void) {
    this.#counts = tableOf(memory, -1);
    this.#own = tableOf(memory, worker);
    this.#onGive = onGive;
  }

  take(endpoint: Slotted, limit: number): boolean {
    for (;;) {
      const count = Atomics.load(this.#counts, endpoint.slot);
      if (limit > 0 && count >= limit) return false;
      if (Atomics.compareExchange(this.#counts, endpoint.slot, count, count + 1) === count) break;
    }
    endpoint.inFlight++;
    this.#own[endpoint.slot] = at(this.#own, endpoint.slot) + 1;
    return true;
  }

  give(endpoint: Slotted): void {
    endpoint.inFlight--;
    this.#own[endpoint.slot] = at(this.#own, endpoint.slot) - 1;
    Atomics.sub(this.#counts, endpoint.slot, 1);
    this.#onGive();
  }

  taken(endpoint: Slotted): number {
    return Atomics.load(this.#counts, endpoint.slot);
  }
}

/** Gives back all that a dead worker had taken. */
export function reclaimSlots(memory: SharedArrayBuffer, worker: number): void {
  const counts = tableOf(memory, -1);
  const own = tableOf(memory, worker);
  own.forEach((count, slot) => {
    if (count !== 0) Atomics.sub(counts, slot, count);
  });
  own.fill(0);
}
