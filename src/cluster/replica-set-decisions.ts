/** What a ReplicaSet should do, as pure functions (kubernetes pkg/controller/replicaset and controller_utils). */
import { timestamp } from '../api/object.ts';
import { isPodReady, isPodTerminal, type Pod } from '../api/pods.ts';
import { matchesLabels } from '../api/kubernetes/selectors.ts';
import type { ReplicaSet } from '../api/kubernetes/workloads.ts';

/** Integer, may be negative; pods with a lower one go first. */
export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

/** A pod that counts: neither ended nor told to go. */
export function isActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** When the pod became ready, ms since the epoch; undefined when it is not. */
function readySince(pod: Pod): number | undefined {
  const condition = pod.status?.conditions?.find((c) => c.type === 'Ready' && c.status === 'True');
  return condition ? Date.parse(condition.lastTransitionTime ?? '') || 0 : undefined;
}

/** Ready for at least `minReadySeconds`. */
function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const since = readySince(pod);
  return since !== undefined && (minReadySeconds === 0 || since + minReadySeconds * 1000 <= now);
}

const phases = ['Pending', 'Unknown', 'Running'];

function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.[deletionCostAnnotation];
  return text !== undefined && /^(0|-?[1-9]\d{0,9})$/.test(text) ? Number(text) : 0;
}

function restarts(pod: Pod): number {
  return (pod.status?.containerStatuses ?? []).reduce((max, c) => Math.max(max, c.restartCount), 0);
}

/** Ages compare by order of magnitude, so that victims are spread over pods of about the same age. */
function magnitude(since: number, now: number): number {
  const seconds = Math.floor((now - since) / 1000);
  return seconds <= 0 ? 0 : Math.floor(Math.log2(seconds)) + 1;
}

/** Sorts so that those to be deleted first come first. `now` is milliseconds since the epoch. */
export function rankForDeletion(pods: readonly Pod[], now: number): Pod[] {
  const phaseOf = (pod: Pod): number => phases.indexOf(pod.status?.phase ?? 'Pending');
  return [...pods].sort((a, b) => {
    const readyA = readySince(a);
    const readyB = readySince(b);
    const created = (pod: Pod): number => Date.parse(pod.metadata.creationTimestamp ?? '') || 0;
    return (
      Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName)) ||
      phaseOf(a) - phaseOf(b) ||
      Number(isPodReady(a)) - Number(isPodReady(b)) ||
      deletionCost(a) - deletionCost(b) ||
      (readyA !== undefined && readyB !== undefined ? magnitude(readyA, now) - magnitude(readyB, now) : 0) ||
      restarts(b) - restarts(a) ||
      magnitude(created(a), now) - magnitude(created(b), now) ||
      ((a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1)
    );
  });
}

type Status = NonNullable<ReplicaSet['status']>;

/** `failure`: what kept pods from being created or deleted, if anything did. */
export interface ManageFailure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** The status that the pods make, and when a pod will become available by the passing of time (ms), if one will. */
export function decideStatus(
  set: ReplicaSet,
  pods: readonly Pod[],
  failure: ManageFailure | undefined,
  now: number,
): { status: Status; availableIn: number | undefined } {
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  const templateLabels = set.spec?.template?.metadata?.labels ?? {};
  let fullyLabeledReplicas = 0;
  let readyReplicas = 0;
  let availableReplicas = 0;
  let availableIn: number | undefined;
  const active = pods.filter(isActive);
  for (const pod of active) {
    if (matchesLabels(templateLabels, pod.metadata.labels)) fullyLabeledReplicas++;
    const since = readySince(pod);
    if (since === undefined) continue;
    readyReplicas++;
    if (isAvailable(pod, minReadySeconds, now)) availableReplicas++;
    else
      availableIn = Math.min(availableIn ?? Number.POSITIVE_INFINITY, since + minReadySeconds * 1000 - now);
  }
  const terminatingReplicas = pods.filter(
    (pod) => pod.metadata.deletionTimestamp && !isPodTerminal(pod),
  ).length;
  const conditions = (set.status?.conditions ?? []).filter((c) => c.type !== 'ReplicaFailure');
  if (failure) {
    const before = set.status?.conditions?.find((c) => c.type === 'ReplicaFailure');
    conditions.push({
      type: 'ReplicaFailure',
      status: 'True',
      lastTransitionTime: before?.lastTransitionTime ?? timestamp(now),
      ...failure,
    });
  }
  const status: Status = {
    replicas: active.length,
    // Go leaves zeroes out, and so does the server: writing them would look like a change each time.
    ...(fullyLabeledReplicas ? { fullyLabeledReplicas } : {}),
    ...(readyReplicas ? { readyReplicas } : {}),
    ...(availableReplicas ? { availableReplicas } : {}),
    ...(terminatingReplicas ? { terminatingReplicas } : {}),
    ...(set.metadata.generation ? { observedGeneration: set.metadata.generation } : {}),
    ...(conditions.length ? { conditions } : {}),
  };
  return { status, availableIn };
}
