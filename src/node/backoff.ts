/** How long to wait before a container is started, or an image pulled, again (kubelet's defaults). */

const firstMs = 10_000;
const maxMs = 300_000;

/** A container that ran this long starts its back-off anew. */
const forgetAfterMs = 2 * maxMs;

export interface Backoff {
  /** The wait that the next failure meets, ms; 0 when the next failure is the first. */
  readonly delayMs: number;
}

export const noBackoff: Backoff = { delayMs: 0 };

/** The back-off after one more failure, and the wait before the next try: none at first, then 10 s doubling to 5 min. */
export function nextBackoff(previous: Backoff, ranMs: number): { waitMs: number; next: Backoff } {
  const delayMs = ranMs >= forgetAfterMs ? 0 : previous.delayMs;
  return { waitMs: delayMs, next: { delayMs: Math.min(delayMs === 0 ? firstMs : delayMs * 2, maxMs) } };
}

/** Whether a container that ended is started again (kubelet `ShouldContainerBeRestarted`). */
export function decideRestart(policy: string | undefined, exitCode: number | undefined): boolean {
  if (policy === 'Never') return false;
  return policy === 'OnFailure' ? exitCode !== 0 : true;
}
