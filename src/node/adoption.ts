/** Taking over containers that an earlier agent started. */
import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcess, type ProcessIdentity } from '../base/process.ts';
import { timestamp } from '../api/object.ts';
import { unknownEnd, type ContainerRecord } from './container-record.ts';
import type { ContainerRun } from './container-run.ts';
import type { Driver, Sandbox } from './drivers/driver.ts';
import type { SavedPod } from './saved-pod.ts';

/**
 * Restores what is on record of a container, and follows it on when it runs and its pod still has its network. `now`: ms
 * since the epoch.
 */
export async function adoptRun(
  run: ContainerRun,
  saved: SavedPod,
  sandbox: Sandbox | undefined,
  driver: Driver,
  now: number,
): Promise<void> {
  const { record } = run;
  const old = saved.containers.find((container) => container.name === record.spec.name);
  if (!old) return;
  record.restartCount = old.restartCount;
  record.attempted = old.attempted;
  record.imageID = old.imageID;
  record.containerID = old.containerID;
  record.stopSignal = old.stopSignal;
  record.backoff = { delayMs: old.backoffMs };
  record.lastTerminated = old.lastTerminated;
  if (old.terminated) record.state = { kind: 'terminated', terminated: old.terminated };
  const startedAt = old.startedAt ?? saved.startTime ?? '';
  if (old.wasLost) return lose(record, startedAt, now);
  if (old.handle === undefined || old.id === undefined) return;
  if (sandbox) return run.adopt(driver.adopt(old.id, old.handle), sandbox, startedAt);
  await endSaved(saved, driver, record.spec.name);
  lose(record, startedAt, now);
}

/** It ran and is gone: whether it runs again is for the pod's restart policy to say. */
function lose(record: ContainerRecord, startedAt: string, now: number): void {
  const { containerID } = record;
  const terminated = { ...unknownEnd, startedAt, finishedAt: timestamp(now), containerID };
  record.state = { kind: 'terminated', terminated };
}

/** Ends containers on record that nobody wants any more: all of the pod, or the named one. */
export async function endSaved(saved: SavedPod, driver: Driver, name?: string): Promise<void> {
  const wanted = saved.containers.filter((container) => name === undefined || container.name === name);
  await Promise.all(
    wanted.map(async ({ id, handle: state }) => {
      if (id === undefined || state === undefined) return;
      if (saved.driver !== driver.name) return endForeign(state);
      const handle = driver.adopt(id, state);
      handle.signal('SIGKILL');
      await handle.exited;
      await handle.remove();
    }),
  );
}

/** How long the end of a killed process is waited for, ms. */
const endTimeoutMs = 5000;

/** Ends a container of whatever driver ran before: every driver records its main process the same way. */
export async function endForeign(handle: unknown): Promise<void> {
  const { process: main } = handle as { process?: ProcessIdentity };
  if (!main || !isSameProcess(main)) return;
  for (const target of [-main.pid, main.pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // No such group, or it has ended meanwhile.
    }
  }
  for (const deadline = Date.now() + endTimeoutMs; isSameProcess(main) && Date.now() < deadline;)
    await delay(10);
}
