/** The conditions of a Job: `FailureTarget` and `SuccessCriteriaMet` are the decision, `Failed` and `Complete` the end. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Job } from '../api/kubernetes/batch.ts';
import { timestamp } from '../api/object.ts';

export type JobCondition = KubernetesTypes['batch.v1.JobCondition'];
export type JobConditionType = 'Complete' | 'Failed' | 'Suspended' | 'FailureTarget' | 'SuccessCriteriaMet';

export function makeCondition(
  type: JobConditionType,
  reason: string,
  message: string,
  now: number,
  status: 'True' | 'False' = 'True',
): JobCondition {
  const at = timestamp(now);
  return { type, status, lastProbeTime: at, lastTransitionTime: at, reason, message };
}

/** The condition when it holds. */
export function findTrue(job: Job, type: JobConditionType): JobCondition | undefined {
  return job.status?.conditions?.find((c) => c.type === type && c.status === 'True');
}

/** The Job has come to its end, one way or the other. */
export function isFinished(job: Job): boolean {
  return findTrue(job, 'Complete') !== undefined || findTrue(job, 'Failed') !== undefined;
}

/** When it came to its end, ms since the epoch; undefined before. */
export function finishTime(job: Job): number | undefined {
  const end = findTrue(job, 'Complete') ?? findTrue(job, 'Failed');
  return end ? Date.parse(end.lastTransitionTime ?? '') || 0 : undefined;
}

/** The end that a decision leads to. */
export function endOf(decision: JobCondition, now: number): JobCondition {
  const type = decision.type === 'FailureTarget' ? 'Failed' : 'Complete';
  return makeCondition(type, decision.reason ?? '', decision.message ?? '', now);
}

/** The list with `next` in the place of the condition of its type; the same list when it says the same. */
export function withCondition(list: readonly JobCondition[], next: JobCondition): readonly JobCondition[] {
  const before = list.find((c) => c.type === next.type);
  if (before?.status === next.status && before.reason === next.reason && before.message === next.message) {
    return list;
  }
  return before ? list.map((c) => (c === before ? next : c)) : [...list, next];
}
