/** What a Job reads from its pods, as pure functions (kubernetes pkg/controller/job). */
import type { Job } from '../api/kubernetes/batch.ts';
import type { Pod } from '../api/pods.ts';

/** Keeps a pod that has ended until its Job has counted it. */
export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
/** Annotation and label: the completion index of a pod of an Indexed Job. */
export const indexKey = 'batch.kubernetes.io/job-completion-index';
/** How often pods of this index have failed before this one: those that count, and those that a policy ignores. */
export const failureCountAnnotation = 'batch.kubernetes.io/job-index-failure-count';
export const ignoredCountAnnotation = 'batch.kubernetes.io/job-index-ignored-failure-count';

export function isTracked(pod: Pod): boolean {
  return pod.metadata.finalizers?.includes(trackingFinalizer) ?? false;
}

export function isIndexed(job: Job): boolean {
  return job.spec?.completionMode === 'Indexed';
}

/** The index of a pod, undefined when it has none that the Job knows. */
export function completionIndex(pod: Pod, job: Job): number | undefined {
  const text = pod.metadata.annotations?.[indexKey];
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const index = Number(text);
  return index < (job.spec?.completions ?? 0) ? index : undefined;
}

/** A replacement comes only once a pod has ended, and not when it is told to go. */
export function replacesOnlyFailed(job: Job): boolean {
  return job.spec?.podReplacementPolicy === 'Failed';
}

/** Its node has confirmed that the pod's containers are no more: only the finalizer keeps the object. */
function isOver({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}

/** A pod that was told to go counts as failed, for one without a node would never get there by itself. */
export function isFailed(pod: Pod, job: Job): boolean {
  if (pod.status?.phase === 'Failed') return true;
  if (pod.metadata.deletionTimestamp === undefined || pod.status?.phase === 'Succeeded') return false;
  return isOver(pod) || !replacesOnlyFailed(job);
}

export function isSucceeded(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded';
}

/** When the pod ended, ms since the epoch, by the best evidence there is. */
export function finishedAt(pod: Pod): number {
  const { containerStatuses = [], conditions = [] } = pod.status ?? {};
  const ends = containerStatuses.map((c) => Date.parse(c.state?.terminated?.finishedAt ?? ''));
  const known = ends.filter((end) => !Number.isNaN(end));
  if (known.length > 0 && known.length === ends.length) return Math.max(...known);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata;
  if (deletionTimestamp) return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  const ready = conditions.find((c) => c.type === 'Ready' && c.status === 'False');
  return Date.parse(ready?.lastTransitionTime ?? creationTimestamp ?? '') || 0;
}

function annotatedCount(pod: Pod, annotation: string): number {
  const text = pod.metadata.annotations?.[annotation];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

/** Failures of the pod's index before it that count against `backoffLimitPerIndex`. */
export function indexFailures(pod: Pod): number {
  return annotatedCount(pod, failureCountAnnotation);
}

export function ignoredFailures(pod: Pod): number {
  return annotatedCount(pod, ignoredCountAnnotation);
}
