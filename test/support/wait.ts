import { setTimeout as delay } from 'node:timers/promises';

/**
 * Polls until `check` gives a value other than undefined or false, and returns it. Fails after `timeoutMs` with what was
 * waited for and the last failure. For conditions outside this process that cannot be subscribed to.
 */
export async function waitFor<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let failure = '';
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      failure = String(error);
    }
    if (Date.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms for ${what}${failure && `; last: ${failure}`}`);
    await delay(20);
  }
}
