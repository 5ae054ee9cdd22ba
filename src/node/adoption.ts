/** Taking over containers that an earlier agent started. */
import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcess, type ProcessIdentity } from '../base/process.ts';
import type { ContainerRun } from './container-run.ts';
import type { Driver, Sandbox } from './drivers/driver.ts';
import type { SavedPod } from './saved-pod.ts';

/** Restores what is on record of a container, and follows it on when it runs and its pod still has its network. */
export async function adoptRun(
  run: ContainerRun,
  saved: SavedPod,
  sandbox: Sandbox | undefined,
  driver: Driver,
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
  if (old.handle === undefined || old.id === undefined) return;
  if (sandbox) {
    run.adopt(driver.adopt(old.id, old.handle), sandbox, old.startedAt ?? saved.startTime ?? '');
  } else {
    await endSaved(saved, driver, record.spec.name);
  }
}

/** Ends containers on record that nobody wants any more: all of the pod, or the named one. */
export async function endSaved(saved: SavedPod, driver: Driver, name?: string): Promise<void> {
  for (const container of saved.containers) {
    if (container.id === undefined || container.handle === undefined) continue;
    if (name !== undefined && container.name !== name) continue;
    if (saved.driver !== driver.name) {
      await endForeign(container.handle);
      continue;
    }
    const handle = driver.adopt(container.id, container.handle);
    handle.signal('SIGKILL');
    await handle.exited;
    await handle.remove();
  }
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
