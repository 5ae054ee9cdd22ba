/**
 * Lets news rest that nobody acts on, before a status tells them: what comes right after makes them old, and while pods
 * start the store and the processor belong to those.
 */
import type { Clock } from '../base/clock.ts';
import { deepEqual } from '../base/json.ts';

/** How long a status rests, ms. */
const restMs = 60;

export class StatusRest {
  readonly #clock: Clock;
  /** By key of the object: since when its status has not been what it should be, ms since the epoch. */
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * How long a status has still to rest before it is written, ms; 0 when it may be, or is already. `isNews`: somebody
   * acts on this change.
   */
  left(key: string, before: object = {}, after: object, isNews: boolean): number {
    if (isNews || deepEqual(before, after)) {
      this.forget(key);
      return 0;
    }
    const now = this.#clock.now();
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    // A clock that was set back must not prolong it.
    const left = Math.min(restMs, since + restMs - now);
    if (left > 0) return left;
    this.forget(key);
    return 0;
  }

  forget(key: string): void {
    this.#since.delete(key);
  }
}

/** The members that show how many pods are ready, in statuses of the workload kinds. */
interface Readiness {
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
}

/** Whether pods became ready, or ceased to be. */
export function changesReadiness(before: Readiness = {}, after: Readiness): boolean {
  return (
    (after.readyReplicas ?? 0) !== (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) !== (before.availableReplicas ?? 0)
  );
}
