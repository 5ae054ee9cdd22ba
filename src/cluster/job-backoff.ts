/** How long a Job waits before it replaces pods that fail, as pure functions (kubernetes pkg/controller/job/backoff_utils). */
import type { Pod } from '../api/pods.ts';
import { finishedAt } from './job-pods.ts';

/** First wait after a failure, and the longest, ms. */
const baseMs = 10_000;
const maxMs = 600_000;

/** What a Job remembers of the pods that it has counted. Lost at a restart: then the next failure waits the first wait. */
export interface Backoff {
  /** Failures since the last success. */
  readonly failures: number;
  /** When the last of them ended, ms since the epoch. */
  readonly lastFailure: number;
}

export const noBackoff: Backoff = { failures: 0, lastFailure: 0 };

/** The record after pods that have just ended. A success forgives the failures before it. */
export function countEnds(record: Backoff, succeeded: readonly Pod[], failed: readonly Pod[]): Backoff {
  const lastSuccess = succeeded.length > 0 ? Math.max(...succeeded.map(finishedAt)) : undefined;
  const ends = failed.map(finishedAt).filter((end) => lastSuccess === undefined || end > lastSuccess);
  const before = lastSuccess === undefined ? record : noBackoff;
  if (ends.length === 0) return before;
  return { failures: before.failures + ends.length, lastFailure: Math.max(before.lastFailure, ...ends) };
}

/** What is left of the wait, ms; 0: none. */
export function remainingWait({ failures, lastFailure }: Backoff, now: number): number {
  if (failures === 0) return 0;
  const wait = Math.min(baseMs * 2 ** Math.min(failures - 1, 30), maxMs);
  return Math.max(0, lastFailure + wait - now);
}
