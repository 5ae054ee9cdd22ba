/** Whether and when a container that ended is started again, and the kubelet's words for it. Pure. */
import type { Pod } from '../api/pods.ts';
import { decideRestart, nextBackoff, type Backoff } from './backoff.ts';
import type { ContainerRecord, Terminated } from './container-record.ts';

export interface Restart {
  readonly backoff: Backoff;
  /** The wait, counted from the end of the container, ms. */
  readonly waitMs: number;
  /** What is left of it, ms; 0 or less: now. */
  readonly remainingMs: number;
}

/** Undefined when the container has ended for good. `now` is ms since the epoch. */
export function planRestart(
  pod: Pod,
  record: ContainerRecord,
  terminated: Terminated,
  now: number,
): Restart | undefined {
  if (!record.replaced && !decideRestart(policyOf(pod, record), terminated.exitCode)) return undefined;
  const finished = Date.parse(terminated.finishedAt ?? '');
  const ran = finished - Date.parse(terminated.startedAt ?? '');
  const { waitMs, next } = nextBackoff(record.backoff, ran);
  // Never longer than the wait itself, should the machine's clock have been put back.
  return { backoff: next, waitMs, remainingMs: Math.min(waitMs, finished + waitMs - now) };
}

function policyOf(pod: Pod, record: ContainerRecord): string {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  if (record.role === 'sidecar') return 'Always';
  if (record.role === 'ephemeral') return 'Never';
  return record.role === 'init' && policy === 'Always' ? 'OnFailure' : policy;
}

/** The message of the waiting state. */
export function backoffMessage(pod: Pod, record: ContainerRecord, waitMs: number): string {
  const { namespace, name, uid } = pod.metadata;
  const seconds = waitMs / 1000;
  const wait = seconds >= 60 ? `${Math.floor(seconds / 60)}m${seconds % 60}s` : `${seconds}s`;
  return `back-off ${wait} restarting failed container=${record.spec.name} pod=${name}_${namespace}(${uid})`;
}

/** The message of the event. */
export function backoffEvent(pod: Pod, record: ContainerRecord): string {
  const { namespace, name, uid } = pod.metadata;
  return `Back-off restarting failed container ${record.spec.name} in pod ${name}_${namespace}(${uid})`;
}
