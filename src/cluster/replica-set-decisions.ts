/** What a ReplicaSet should do, as pure functions (kubernetes pkg/controller/replicaset and controller_utils). */
import { timestamp } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { matchesLabels } from '../api/kubernetes/selectors.ts';
import type { ReplicaSet } from '../api/kubernetes/workloads.ts';
import { deepEqual } from '../base/json.ts';
import { availableIn, isActive, isAvailable, isTerminating, readySince, sooner } from './pod-state.ts';
import { changesReadiness } from './status-rest.ts';

export type ReplicaSetStatus = NonNullable<ReplicaSet['status']>;

/** `failure`: what kept pods from being created or deleted, if anything did. */
export interface ManageFailure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** Whether somebody acts on the change of a status. How many pods there are that are not ready yet concerns nobody. */
export function isNews(before: ReplicaSetStatus = { replicas: 0 }, after: ReplicaSetStatus): boolean {
  return (
    changesReadiness(before, after) ||
    (before.terminatingReplicas ?? 0) !== (after.terminatingReplicas ?? 0) ||
    !deepEqual(before.conditions ?? [], after.conditions ?? [])
  );
}

/** The status that the pods make, and when a pod will become available by the passing of time (ms), if one will. */
export function decideStatus(
  set: ReplicaSet,
  pods: readonly Pod[],
  failure: ManageFailure | undefined,
  now: number,
): { status: ReplicaSetStatus; availableIn: number | undefined } {
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  const templateLabels = set.spec?.template?.metadata?.labels ?? {};
  let fullyLabeledReplicas = 0;
  let readyReplicas = 0;
  let availableReplicas = 0;
  let nextIn: number | undefined;
  const active = pods.filter(isActive);
  for (const pod of active) {
    if (matchesLabels(templateLabels, pod.metadata.labels)) fullyLabeledReplicas++;
    if (readySince(pod) === undefined) continue;
    readyReplicas++;
    if (isAvailable(pod, minReadySeconds, now)) availableReplicas++;
    else nextIn = sooner(nextIn, availableIn(pod, minReadySeconds, now));
  }
  const terminatingReplicas = pods.filter(isTerminating).length;
  const conditions = (set.status?.conditions ?? []).filter((c) => c.type !== 'ReplicaFailure');
  if (failure) {
    // The first failure stays: its successors name other pods, and telling each would be a change each time.
    const before = set.status?.conditions?.find((c) => c.type === 'ReplicaFailure');
    conditions.push(
      before ?? { type: 'ReplicaFailure', status: 'True', lastTransitionTime: timestamp(now), ...failure },
    );
  }
  const status: ReplicaSetStatus = {
    replicas: active.length,
    // Go leaves zeroes out, and so does the server: writing them would look like a change each time.
    ...(fullyLabeledReplicas ? { fullyLabeledReplicas } : {}),
    ...(readyReplicas ? { readyReplicas } : {}),
    ...(availableReplicas ? { availableReplicas } : {}),
    ...(terminatingReplicas ? { terminatingReplicas } : {}),
    ...(set.metadata.generation ? { observedGeneration: set.metadata.generation } : {}),
    ...(conditions.length ? { conditions } : {}),
  };
  return { status, availableIn: nextIn };
}
