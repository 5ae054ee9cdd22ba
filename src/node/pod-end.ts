/** How the containers of a pod come to their end, and its object with them. */
import { pods } from '../api/kubernetes/pods.ts';
import type { Pod } from '../api/pods.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Client } from '../kube/client/client.ts';
import { isNotFound } from '../kube/api-error.ts';
import type { ContainerRun } from './container-run.ts';

/** Resolves when no start is under way. */
export async function settled(runs: readonly ContainerRun[]): Promise<void> {
  for (const { record } of runs) await record.activity;
}

/** Main containers first, all together; then sidecars, the last started first. `hurry` resolves when time is up. */
export async function stopAll(
  runs: readonly ContainerRun[],
  clock: Clock,
  graceMs: number,
  hurry: Promise<void>,
): Promise<void> {
  const deadline = clock.now() + graceMs;
  const left = (): number => Math.max(0, deadline - clock.now());
  for (const { record } of runs) {
    record.cancelRetry?.();
    record.cancelRetry = undefined;
  }
  // What is just starting comes to its end first: it sees that the pod is leaving, or runs and is stopped.
  const allSettled = settled(runs);
  await Promise.race([allSettled, hurry]);
  const stop = (run: ContainerRun): Promise<void> => run.stop(left(), 'Killing', hurry);
  await Promise.all(runs.filter((run) => run.record.role !== 'sidecar').map(stop));
  for (const run of runs.filter((run) => run.record.role === 'sidecar').reverse()) await stop(run);
  await allSettled;
}

/** Resolves with `work`, or when the clock has reached `deadline`. */
export async function until(clock: Clock, deadline: number, work: Promise<void>): Promise<void> {
  let cancel = (): void => undefined;
  const timeout = new Promise<void>((resolve) => {
    cancel = clock.after(Math.max(0, deadline - clock.now()), resolve);
  });
  await Promise.race([work, timeout]);
  cancel();
}

/**
 * Deletes the object of a pod that has ended; one that is gone, or of the same name and newer, is left alone. A failure
 * is logged: a later agent finds the pod, and ends it again.
 */
export async function deletePod(
  client: Client,
  { namespace = '', name, uid }: Pod['metadata'],
  log: Logger,
): Promise<void> {
  try {
    await client.delete(
      pods,
      { namespace, name },
      { gracePeriodSeconds: 0, ...(uid ? { preconditions: { uid } } : {}) },
    );
  } catch (error) {
    if (!isNotFound(error)) log.warn({ error: messageOf(error) }, 'pod object not deleted');
  }
}
