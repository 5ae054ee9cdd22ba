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

/** Counts over all workers, in memory that they share. */
export class SharedSlots implements Slots {
  readonly #counts: Int32Array;
  readonly #onGive: () => void;

  /** `onGive` tells the other workers that a slot is free. */
  constructor(memory: SharedArrayBuffer, onGive: () => void) {
    this.#counts = new Int32Array(memory);
    this.#onGive = onGive;
  }

  take(endpoint: Slotted, limit: number): boolean {
    for (;;) {
      const count = Atomics.load(this.#counts, endpoint.slot);
      if (limit > 0 && count >= limit) return false;
      if (Atomics.compareExchange(this.#counts, endpoint.slot, count, count + 1) === count) break;
    }
    endpoint.inFlight++;
    return true;
  }

  give(endpoint: Slotted): void {
    endpoint.inFlight--;
    Atomics.sub(this.#counts, endpoint.slot, 1);
    this.#onGive();
  }

  taken(endpoint: Slotted): number {
    return at(this.#counts, endpoint.slot);
  }
}
