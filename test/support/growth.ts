/** How the work of something grows with its input, told by CPU time: busy neighbours do not lengthen it. */
import assert from 'node:assert/strict';

/** By how much the larger input is larger. Linear work takes as many times longer, quadratic work the square of it. */
const factor = 8;
/** Halfway between both, as factors go. */
const limit = 32;
/** CPU milliseconds, below which a measurement says little: what the square of it would be is still no long wait. */
const least = 4;

/** CPU of this thread, in milliseconds, that the quickest of three runs takes. */
export async function cpuOf(run: () => unknown): Promise<number> {
  let quickest = Infinity;
  for (let i = 0; i < 3; i++) {
    const before = process.threadCpuUsage();
    await run();
    const { user, system } = process.threadCpuUsage(before);
    quickest = Math.min(quickest, (user + system) / 1000);
  }
  return quickest;
}

/**
 * Fails when an input eight times as long takes as many times longer as by the square of its length. `make` prepares a
 * run for a length, which may be run three times.
 */
export async function assertNotQuadratic(
  make: (length: number) => () => unknown,
  length: number,
): Promise<void> {
  await cpuOf(make(length));
  const short = await cpuOf(make(length));
  const long = await cpuOf(make(length * factor));
  assert.ok(
    long < Math.max(least, short) * limit,
    `${length} took ${short.toFixed(1)} ms, ${length * factor} ${long.toFixed(1)} ms`,
  );
}
