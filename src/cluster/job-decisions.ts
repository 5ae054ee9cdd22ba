/** How a Job stands and what it does next, as pure functions (kubernetes pkg/controller/job `syncJob`, `manageJob`). */
import type { Job } from '../api/kubernetes/batch.ts';
import { isPodReady, type Pod } from '../api/pods.ts';
import { countEnds, remainingWait, type Backoff } from './job-backoff.ts';
import { findTrue, makeCondition, type JobCondition } from './job-conditions.ts';
import {
  countIndexes,
  firstMissing,
  hasIndex,
  indexesOf,
  parseIndexes,
  unionIndexes,
  type Indexes,
} from './job-indexes.ts';
import {
  completionIndex,
  finishedAt,
  ignoredFailures,
  indexFailures,
  isFailed,
  isIndexed,
  isSucceeded,
  isTracked,
  replacesOnlyFailed,
} from './job-pods.ts';
import { judgeFailure, meetsSuccessPolicy } from './job-policies.ts';
import { isActive, isTerminating, rankForDeletion } from './pod-state.ts';

/** Pods created or deleted in one run at most. */
const maxPodsPerRun = 500;

/** What a run of the controller sees. */
interface JobView {
  readonly job: Job;
  /** All pods of the Job. */
  readonly pods: readonly Pod[];
  /** True for a pod whose finalizer this process has removed though the cache still shows it. */
  readonly isReleased: (pod: Pod) => boolean;
  /** True for a pod that this process has told to go though the cache does not show it. */
  readonly isDeleted: (pod: Pod) => boolean;
  readonly backoff: Backoff;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** How the Job stands. Counts include what has ended and is not in the status yet. */
export interface JobState {
  readonly view: JobView;
  readonly active: readonly Pod[];
  readonly terminating: readonly Pod[];
  readonly succeeded: number;
  readonly failed: number;
  /** Of an Indexed Job; `before` is what the status had. */
  readonly succeededIndexes: Indexes;
  readonly succeededBefore: Indexes;
  /** Of a Job with `backoffLimitPerIndex`. */
  readonly failedIndexes: Indexes | undefined;
  /** The last failed pod of indexes that are to be tried again: it stays until its replacement carries its count on. */
  readonly kept: ReadonlyMap<number, Pod>;
  readonly backoff: Backoff;
  /** The decision that the Job is over: `FailureTarget` or `SuccessCriteriaMet`. */
  readonly decision: JobCondition | undefined;
  /** After how many ms the active deadline passes, while it runs. */
  readonly deadlineIn: number | undefined;
}

export function isSuspended(job: Job): boolean {
  return job.spec?.suspend ?? false;
}

function perIndex(job: Job): boolean {
  return isIndexed(job) && job.spec?.backoffLimitPerIndex !== undefined;
}

export function assessJob(view: JobView): JobState {
  const { job, pods, now } = view;
  const { status = {} } = job;
  const counted = {
    succeeded: new Set(status.uncountedTerminatedPods?.succeeded),
    failed: new Set(status.uncountedTerminatedPods?.failed),
  };
  const uid = (pod: Pod): string => pod.metadata.uid ?? '';
  const fresh = pods.filter((pod) => isTracked(pod) && !view.isReleased(pod));
  const newlySucceeded = fresh.filter((pod) => isSucceeded(pod) && !counted.succeeded.has(uid(pod)));
  const newlyFailed = fresh.filter((pod) => isFailed(pod, job) && !counted.failed.has(uid(pod)));
  const countedFailures = newlyFailed.filter((pod) => judgeFailure(job, pod).action !== 'Ignore');
  const failed = (status.failed ?? 0) + countedFailures.length + counted.failed.size;

  const completions = job.spec?.completions ?? 0;
  const succeededBefore = isIndexed(job) ? parseIndexes(status.completedIndexes, completions) : [];
  const newIndexes = newlySucceeded
    .map((pod) => completionIndex(pod, job))
    .filter((index) => index !== undefined);
  const succeededIndexes = isIndexed(job) ? unionIndexes(succeededBefore, indexesOf(newIndexes)) : [];
  const succeeded = isIndexed(job)
    ? countIndexes(succeededIndexes)
    : (status.succeeded ?? 0) + newlySucceeded.length + counted.succeeded.size;
  const failedIndexes = perIndex(job) ? findFailedIndexes(job, fresh, completions) : undefined;
  const active = pods.filter((pod) => isActive(pod) && !view.isDeleted(pod));
  const terminating = pods.filter((pod) => isTerminating(pod) || (isActive(pod) && view.isDeleted(pod)));
  const counts = { active, terminating, succeeded, failed, succeededIndexes, succeededBefore, failedIndexes };
  return {
    ...counts,
    view,
    backoff: countEnds(view.backoff, newlySucceeded, newlyFailed),
    kept: failedIndexes ? findKept(job, fresh, { active, succeededIndexes, failedIndexes }) : new Map(),
    decision: decideEnd(view, counts),
    deadlineIn: deadlineIn(job, now),
  };
}

/** An index fails when its policy says so, or when its failures have used up the limit. */
function findFailedIndexes(job: Job, pods: readonly Pod[], completions: number): Indexes {
  const limit = job.spec?.backoffLimitPerIndex ?? 0;
  const failed = pods.flatMap((pod) => {
    const index = completionIndex(pod, job);
    if (index === undefined || !isFailed(pod, job)) return [];
    const { action } = judgeFailure(job, pod);
    const over = action === 'FailIndex' || (action !== 'Ignore' && indexFailures(pod) >= limit);
    return over ? [index] : [];
  });
  return unionIndexes(parseIndexes(job.status?.failedIndexes, completions), indexesOf(failed));
}

interface IndexCounts {
  readonly active: readonly Pod[];
  readonly succeededIndexes: Indexes;
  readonly failedIndexes: Indexes;
}

function findKept(job: Job, pods: readonly Pod[], counts: IndexCounts): Map<number, Pod> {
  const active = new Set(counts.active.map((pod) => completionIndex(pod, job)));
  const failures = (pod: Pod): number => indexFailures(pod) + ignoredFailures(pod);
  const kept = new Map<number, Pod>();
  for (const pod of pods) {
    const index = completionIndex(pod, job);
    if (index === undefined || !isFailed(pod, job) || active.has(index)) continue;
    if (hasIndex(counts.succeededIndexes, index) || hasIndex(counts.failedIndexes, index)) continue;
    const last = kept.get(index);
    const later =
      !last ||
      failures(pod) > failures(last) ||
      (failures(pod) === failures(last) && finishedAt(pod) >= finishedAt(last));
    if (later) kept.set(index, pod);
  }
  return kept;
}

type Counts = Pick<JobState, 'failed' | 'succeededIndexes' | 'failedIndexes'>;

function decideEnd({ job, pods, now }: JobView, counts: Counts): JobCondition | undefined {
  const decided = findTrue(job, 'SuccessCriteriaMet') ?? findTrue(job, 'FailureTarget');
  if (decided) return decided;
  const fail = (reason: string, message: string): JobCondition =>
    makeCondition('FailureTarget', reason, message, now);
  for (const pod of job.spec?.podFailurePolicy ? pods : []) {
    const verdict = isFailed(pod, job) ? judgeFailure(job, pod) : undefined;
    if (verdict?.message) return fail('PodFailurePolicy', verdict.message);
  }
  if (counts.failed > (job.spec?.backoffLimit ?? 6) || hasRestartedTooOften(job, pods)) {
    return fail('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  }
  if ((deadlineIn(job, now) ?? 1) <= 0) {
    return fail('DeadlineExceeded', 'Job was active longer than specified deadline');
  }
  const { failedIndexes, succeededIndexes } = counts;
  if (failedIndexes) {
    const failed = countIndexes(failedIndexes);
    const { maxFailedIndexes, completions = 0 } = job.spec ?? {};
    if (maxFailedIndexes !== undefined && failed > maxFailedIndexes) {
      const message = 'Job has exceeded the specified maximal number of failed indexes';
      return fail('MaxFailedIndexesExceeded', message);
    }
    if (failed > 0 && failed + countIndexes(succeededIndexes) >= completions) {
      return fail('FailedIndexes', 'Job has failed indexes');
    }
  }
  const message = isIndexed(job) ? meetsSuccessPolicy(job, succeededIndexes) : undefined;
  return message === undefined
    ? undefined
    : makeCondition('SuccessCriteriaMet', 'SuccessPolicy', message, now);
}

/** Where pods restart in place, their restarts count against the limit. */
function hasRestartedTooOften(job: Job, pods: readonly Pod[]): boolean {
  if (job.spec?.template.spec?.restartPolicy !== 'OnFailure') return false;
  const restarts = pods
    .filter((pod) => pod.status?.phase === 'Running' || pod.status?.phase === 'Pending')
    .flatMap(({ status }) => [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])])
    .reduce((sum, container) => sum + container.restartCount, 0);
  const limit = job.spec.backoffLimit ?? 6;
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

function deadlineIn(job: Job, now: number): number | undefined {
  const limit = job.spec?.activeDeadlineSeconds;
  const start = job.status?.startTime;
  if (limit === undefined || start === undefined || isSuspended(job)) return undefined;
  return Date.parse(start) + limit * 1000 - now;
}

/** A pod to create: its index, and the failures of the index so far where they are counted by index. */
export interface WantedPod {
  readonly index?: number;
  readonly failures?: number;
  readonly ignored?: number;
}

export interface JobPlan {
  /** Pods to delete. They are not needed any more, and do not count: their finalizer goes first. */
  readonly remove: readonly Pod[];
  readonly create: readonly WantedPod[];
  /** After how many ms a wait for replacements is over. */
  readonly waitMs: number | undefined;
}

const nothing: JobPlan = { remove: [], create: [], waitMs: undefined };

/** The pods to create or delete while the Job is not over. Never both: deletion comes first. */
export function planJob(state: JobState): JobPlan {
  const { job, now } = state.view;
  const active = state.active.length;
  if (isSuspended(job)) return { ...nothing, remove: state.active };
  const { completions, parallelism = 1 } = job.spec ?? {};
  const wanted =
    completions !== undefined
      ? Math.max(0, Math.min(completions - state.succeeded, parallelism))
      : // Once one has succeeded nothing new is begun; what runs may finish.
        state.succeeded > 0
        ? active
        : parallelism;
  const remove = choosePodsToRemove(state, Math.max(0, active - wanted));
  if (remove.length > 0) return { ...nothing, remove: remove.slice(0, maxPodsPerRun) };
  const leaving = replacesOnlyFailed(job) ? state.terminating.length : 0;
  const missing = Math.min(maxPodsPerRun, wanted - active - leaving);
  if (missing <= 0) return nothing;
  if (!perIndex(job)) {
    const wait = remainingWait(state.backoff, now);
    if (wait > 0) return { ...nothing, waitMs: wait };
  }
  if (!isIndexed(job)) return { ...nothing, create: Array.from({ length: missing }, () => ({})) };
  return planIndexes(state, missing);
}

function planIndexes(state: JobState, missing: number): JobPlan {
  const { job, now } = state.view;
  const busy = replacesOnlyFailed(job) ? [...state.active, ...state.terminating] : state.active;
  const held = busy.map((pod) => completionIndex(pod, job)).filter((index) => index !== undefined);
  const taken = [indexesOf(held), state.succeededIndexes, state.failedIndexes ?? []];
  const indexes = firstMissing(taken, missing, job.spec?.completions ?? 0);
  if (!perIndex(job)) return { ...nothing, create: indexes.map((index) => ({ index })) };
  const create: WantedPod[] = [];
  let waitMs: number | undefined;
  for (const index of indexes) {
    const last = state.kept.get(index);
    if (!last) {
      create.push({ index, failures: 0 });
      continue;
    }
    const ignored = judgeFailure(job, last).action === 'Ignore' ? 1 : 0;
    const failures = indexFailures(last) + ignoredFailures(last) + 1;
    const wait = remainingWait({ failures, lastFailure: finishedAt(last) }, now);
    if (wait > 0) waitMs = Math.min(waitMs ?? wait, wait);
    else {
      const ignoredCount = ignoredFailures(last) + ignored;
      create.push({
        index,
        failures: indexFailures(last) + 1 - ignored,
        ...(ignoredCount > 0 ? { ignored: ignoredCount } : {}),
      });
    }
  }
  return { remove: [], create, waitMs };
}

/** Pods of no index or of one that another pod works on always go; then as many as are too much, the least useful first. */
function choosePodsToRemove(state: JobState, surplus: number): Pod[] {
  const { job, now } = state.view;
  // The most useful pod of an index comes last in the ranking, and is the one to stay.
  const ranked = rankForDeletion(state.active, now);
  const remove = new Set<Pod>();
  if (isIndexed(job)) {
    const seen = new Set<number>();
    for (const pod of [...ranked].reverse()) {
      const index = completionIndex(pod, job);
      if (index === undefined || seen.has(index)) remove.add(pod);
      else seen.add(index);
    }
  }
  for (const pod of ranked) {
    if (remove.size >= surplus) break;
    remove.add(pod);
  }
  return [...remove];
}

export function countReady(pods: readonly Pod[]): number {
  return pods.filter(isPodReady).length;
}
