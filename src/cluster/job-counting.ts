/**
 * Counting the pods of a Job exactly once, as pure functions. A pod that has ended is first written down in the status by
 * uid (an index, in an Indexed Job), then loses its finalizer, and only then moves into the counters: wherever the
 * controller is interrupted, what is written tells how far each pod has come (kubernetes pkg/controller/job
 * `trackJobStatusAndRemoveFinalizers`).
 */
import type { Job } from '../api/kubernetes/batch.ts';
import type { Pod } from '../api/pods.ts';
import type { JobCondition } from './job-conditions.ts';
import type { JobState } from './job-decisions.ts';
import { hasIndex, indexesOf, unionIndexes, type Indexes } from './job-indexes.ts';
import { completionIndex, isFailed, isIndexed, isSucceeded, isTracked } from './job-pods.ts';
import { judgeFailure } from './job-policies.ts';

export type JobStatus = NonNullable<Job['status']>;

/** Pods written down at once; the rest waits for the next run, so that the status stays small. */
const maxUncounted = 500;

export interface Counting {
  /** Uids to write down; of an Indexed Job only failures have to be. */
  readonly succeeded: readonly string[];
  readonly failed: readonly string[];
  /** The indexes to write down. */
  readonly indexes: Indexes;
  /** Pods whose finalizer goes once this is written. */
  readonly release: readonly Pod[];
  /** Nothing is left for another run. */
  readonly complete: boolean;
}

/** `decision`: the Job is over, and pods that it does not wait for are let go. */
export function decideCounting(state: JobState, decision: JobCondition | undefined): Counting {
  const { job, pods, isReleased } = state.view;
  const { uncountedTerminatedPods: uncounted } = job.status ?? {};
  const known = { succeeded: new Set(uncounted?.succeeded), failed: new Set(uncounted?.failed) };
  const kept = new Set(decision ? [] : state.kept.values());
  const succeeded: string[] = [];
  const failed: string[] = [];
  const indexes: number[] = [];
  const release: Pod[] = [];
  const isOver = decision !== undefined || job.metadata.deletionTimestamp !== undefined;
  let written = known.succeeded.size + known.failed.size;
  for (const pod of pods) {
    if (!isTracked(pod) || isReleased(pod)) continue;
    const hasFailed = isFailed(pod, job);
    if (!isOver && !hasFailed && !isSucceeded(pod)) continue;
    if (kept.has(pod)) continue;
    if (written >= maxUncounted) return { ...made(), complete: false };
    const uid = pod.metadata.uid ?? '';
    const index = completionIndex(pod, job);
    release.push(pod);
    if (isSucceeded(pod) && !known.failed.has(uid)) {
      if (isIndexed(job)) {
        if (index !== undefined && !hasIndex(state.succeededBefore, index)) indexes.push(index);
      } else if (!known.succeeded.has(uid)) {
        succeeded.push(uid);
        written++;
      }
    } else if (hasFailed || decision?.type === 'FailureTarget') {
      if (known.failed.has(uid) || (isIndexed(job) && index === undefined)) continue;
      if (judgeFailure(job, pod).action === 'Ignore') continue;
      failed.push(uid);
      written++;
    }
  }
  return { ...made(), complete: true };

  function made(): Omit<Counting, 'complete'> {
    return {
      succeeded,
      failed,
      indexes: unionIndexes(state.succeededBefore, indexesOf(indexes)),
      release,
    };
  }
}

/** The status with pods that have lost their finalizer moved from the lists into the counters. */
export function settleUncounted(status: JobStatus, isStillTracked: (uid: string) => boolean): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const left = { succeeded: succeeded.filter(isStillTracked), failed: failed.filter(isStillTracked) };
  return {
    ...status,
    ...count('succeeded', (status.succeeded ?? 0) + succeeded.length - left.succeeded.length),
    ...count('failed', (status.failed ?? 0) + failed.length - left.failed.length),
    uncountedTerminatedPods: lists(left),
  };
}

/** The status with more pods written down. */
export function addUncounted(status: JobStatus, more: Pick<Counting, 'succeeded' | 'failed'>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  return {
    ...status,
    uncountedTerminatedPods: lists({
      succeeded: [...succeeded, ...more.succeeded],
      failed: [...failed, ...more.failed],
    }),
  };
}

export function hasUncounted({ uncountedTerminatedPods: lists }: JobStatus): boolean {
  return Boolean(lists?.succeeded?.length || lists?.failed?.length);
}

/** Go leaves empty lists and zeroes out, and so does the server: writing them would look like a change each time. */
function lists(from: { succeeded: string[]; failed: string[] }): {
  succeeded?: string[];
  failed?: string[];
} {
  return {
    ...(from.succeeded.length > 0 ? { succeeded: from.succeeded } : {}),
    ...(from.failed.length > 0 ? { failed: from.failed } : {}),
  };
}

function count<K extends 'succeeded' | 'failed' | 'active'>(name: K, value: number): { [P in K]?: number } {
  return value === 0 ? {} : ({ [name]: value } as { [P in K]: number });
}
