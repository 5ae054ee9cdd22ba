/** When to send an event again: pure (knative/eventing pkg/kncloudevents, "retries" of the data plane contract). */

export interface RetryPolicy {
  /** Attempts after the first one. */
  readonly retry: number;
  readonly backoffPolicy?: 'linear' | 'exponential' | undefined;
  /** ms. Policy or delay missing: retries follow at once. */
  readonly backoffDelay?: number | undefined;
  /** Most of a Retry-After answer that is obeyed, ms; undefined does not look at the header. */
  readonly retryAfterMax?: number | undefined;
}

/** How one attempt ended. `status` is undefined when there was no answer: no connection, a broken one, or too late. */
export interface Attempt {
  readonly status: number | undefined;
  /** Value of the Retry-After header. */
  readonly retryAfter?: string | undefined;
}

/** Longest wait that timers can count, ms (about 24 days). */
const maxWaitMs = 2 ** 31 - 1;

export function isRetryable(status: number | undefined): boolean {
  if (status === undefined) return true;
  return status >= 500 || status === 404 || status === 408 || status === 409 || status === 429;
}

/**
 * Milliseconds to wait before the next attempt, or undefined to give up. `retries` is how many retries there have been:
 * 0 after the first attempt. Linear waits are 0, d, 2d…; exponential ones d, 2d, 4d….
 */
export function nextWait(
  policy: RetryPolicy,
  retries: number,
  attempt: Attempt,
  now: number,
): number | undefined {
  if (retries >= policy.retry || !isRetryable(attempt.status)) return undefined;
  return Math.min(maxWaitMs, Math.max(backoff(policy, retries), askedFor(policy, attempt, now)));
}

function backoff({ backoffPolicy, backoffDelay }: RetryPolicy, retries: number): number {
  if (backoffDelay === undefined) return 0;
  if (backoffPolicy === 'linear') return backoffDelay * retries;
  if (backoffPolicy === 'exponential') return backoffDelay * 2 ** retries;
  return 0;
}

/** What Retry-After asks for: seconds or an HTTP date, only with 429 and 503. */
function askedFor({ retryAfterMax }: RetryPolicy, { status, retryAfter }: Attempt, now: number): number {
  if (retryAfterMax === undefined || retryAfter === undefined || (status !== 429 && status !== 503)) return 0;
  const text = retryAfter.trim();
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(wait) ? Math.min(Math.max(0, wait), retryAfterMax) : 0;
}
