/** The status of a Deployment from its ReplicaSets, as pure functions (kubernetes pkg/controller/deployment). */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { timestamp } from '../api/object.ts';
import type { Deployment, ReplicaSet } from '../api/kubernetes/workloads.ts';
import { deepEqual } from '../base/json.ts';
import { rolloutBounds } from './rollout-decisions.ts';
import { changesReadiness } from './status-rest.ts';

type Condition = KubernetesTypes['apps.v1.DeploymentCondition'];
export type DeploymentStatus = NonNullable<Deployment['status']>;

interface Counts {
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
  readonly terminating: number;
}

function count(current: ReplicaSet | undefined, sets: readonly ReplicaSet[]): Counts {
  const sum = (of: (status: NonNullable<ReplicaSet['status']>) => number | undefined): number =>
    sets.reduce((total, set) => total + (set.status ? (of(set.status) ?? 0) : 0), 0);
  return {
    replicas: sum((status) => status.replicas),
    updated: current?.status?.replicas ?? 0,
    ready: sum((status) => status.readyReplicas),
    available: sum((status) => status.availableReplicas),
    terminating: sum((status) => status.terminatingReplicas),
  };
}

/** Whether somebody acts on the change of a status. That pods are on their way shows in those of their sets. */
export function isNews(before: DeploymentStatus = {}, after: DeploymentStatus): boolean {
  const ofRollout = ({ conditions = [] }: DeploymentStatus): Condition[] =>
    conditions.filter(({ type }) => type !== 'Available');
  return changesReadiness(before, after) || !deepEqual(ofRollout(before), ofRollout(after));
}

/** Everything wanted runs with the newest template and nothing else does. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const total = deployment.spec?.replicas ?? 1;
  return (
    (status.updatedReplicas ?? 0) === total &&
    (status.replicas ?? 0) === total &&
    (status.availableReplicas ?? 0) === total &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

/** Times move as Kubernetes moves them: transition with the status, update with status or reason. */
function setCondition(
  conditions: Condition[],
  next: Omit<Condition, 'lastUpdateTime' | 'lastTransitionTime'>,
  now: number,
): void {
  const before = conditions.find((c) => c.type === next.type);
  if (before && before.status === next.status && before.reason === next.reason) return;
  const lastTransitionTime =
    before?.status === next.status && before.lastTransitionTime ? before.lastTransitionTime : timestamp(now);
  const index = before ? conditions.indexOf(before) : conditions.length;
  conditions[index] = { ...next, lastUpdateTime: timestamp(now), lastTransitionTime };
}

/**
 * The status now, and after how many ms the progress deadline will have to be looked at, if it is running.
 * `created`: this run made the new set.
 */
export function decideDeploymentStatus(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  sets: readonly ReplicaSet[],
  now: number,
  created = false,
): { status: DeploymentStatus; deadlineIn: number | undefined } {
  const counts = count(current, sets);
  const total = deployment.spec?.replicas ?? 1;
  const before = deployment.status ?? {};
  const conditions = [...(before.conditions ?? [])].map((condition) => ({ ...condition }));
  const status: DeploymentStatus = {
    ...(before.collisionCount ? { collisionCount: before.collisionCount } : {}),
    ...(deployment.metadata.generation ? { observedGeneration: deployment.metadata.generation } : {}),
    ...nonZero('replicas', counts.replicas),
    ...nonZero('updatedReplicas', counts.updated),
    ...nonZero('readyReplicas', counts.ready),
    ...nonZero('availableReplicas', counts.available),
    ...nonZero('unavailableReplicas', Math.max(0, Math.max(total, counts.replicas) - counts.available)),
    ...nonZero('terminatingReplicas', counts.terminating),
  };
  const minimum = counts.available >= total - rolloutBounds(deployment).maxUnavailable;
  setCondition(
    conditions,
    {
      type: 'Available',
      status: minimum ? 'True' : 'False',
      reason: minimum ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: minimum
        ? 'Deployment has minimum availability.'
        : 'Deployment does not have minimum availability.',
    },
    now,
  );
  const deadlineIn = setProgress(deployment, { current, created, before, status, conditions, now });
  setFailure(conditions, current ? [current, ...sets] : sets, now);
  return { status: { ...status, ...(conditions.length ? { conditions } : {}) }, deadlineIn };
}

function nonZero<K extends keyof DeploymentStatus>(name: K, value: number): { [P in K]?: number } {
  return value === 0 ? {} : ({ [name]: value } as { [P in K]: number });
}

interface Progress {
  readonly current: ReplicaSet | undefined;
  readonly created: boolean;
  readonly before: DeploymentStatus;
  readonly status: DeploymentStatus;
  readonly conditions: Condition[];
  readonly now: number;
}

/** The condition tells of a finished rollout, of this set or (`same` false) of another. */
function isOver(condition: Condition, named: string, same: boolean): boolean {
  return (
    condition.reason === 'NewReplicaSetAvailable' &&
    (condition.message ?? '').startsWith(`${named} `) === same
  );
}

/** Kubernetes' own value for "no deadline". */
const noDeadline = 2147483647;

function setProgress(deployment: Deployment, progress: Progress): number | undefined {
  const { current, created, before, status, conditions, now } = progress;
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 600;
  if (seconds === noDeadline) {
    const index = conditions.findIndex((c) => c.type === 'Progressing');
    if (index >= 0) conditions.splice(index, 1);
    return undefined;
  }
  const set = (value: 'True' | 'False' | 'Unknown', reason: string, message: string): void =>
    setCondition(conditions, { type: 'Progressing', status: value, reason, message }, now);
  const known = conditions.find((c) => c.type === 'Progressing');
  const named = current
    ? `ReplicaSet "${current.metadata.name}"`
    : `Deployment "${deployment.metadata.name}"`;
  if (deployment.spec?.paused) {
    if (known?.reason !== 'DeploymentPaused') set('Unknown', 'DeploymentPaused', 'Deployment is paused');
    return undefined;
  }
  if (known?.reason === 'DeploymentPaused') set('Unknown', 'DeploymentResumed', 'Deployment is resumed');
  if (created)
    set('True', 'NewReplicaSetCreated', `Created new replica set ${JSON.stringify(current?.metadata.name)}`);
  else if (current && (!known || isOver(known, named, false))) {
    set('True', 'FoundNewReplicaSet', `Found new replica set ${JSON.stringify(current.metadata.name)}`);
  }
  // A finished rollout stays finished when pods come and go: only a new template starts another.
  if (known && !created && isOver(known, named, true)) return undefined;
  if (isComplete(deployment, status)) {
    set('True', 'NewReplicaSetAvailable', `${named} has successfully progressed.`);
    return undefined;
  }
  if (hasProgressed(before, status)) {
    // The deadline counts from here, so the time moves even when the reason does not.
    const index = conditions.findIndex((c) => c.type === 'Progressing');
    const last = conditions[index];
    conditions[index < 0 ? conditions.length : index] = {
      type: 'Progressing',
      status: 'True',
      reason: 'ReplicaSetUpdated',
      message: `${named} is progressing.`,
      lastUpdateTime: timestamp(now),
      lastTransitionTime:
        last?.status === 'True' ? (last.lastTransitionTime ?? timestamp(now)) : timestamp(now),
    };
    return seconds * 1000;
  }
  const latest = conditions.find((c) => c.type === 'Progressing');
  if (!latest || latest.reason === 'ProgressDeadlineExceeded') return undefined;
  const left = Date.parse(latest.lastUpdateTime ?? '') + seconds * 1000 - now;
  if (left > 0) return left;
  set('False', 'ProgressDeadlineExceeded', `${named} has timed out progressing.`);
  return undefined;
}

/** A set that cannot make its pods shows up here: quota, a missing service account… */
function setFailure(conditions: Condition[], sets: readonly ReplicaSet[], now: number): void {
  const failed = sets
    .flatMap((set) => set.status?.conditions ?? [])
    .find((c) => c.type === 'ReplicaFailure' && c.status === 'True');
  const index = conditions.findIndex((c) => c.type === 'ReplicaFailure');
  if (!failed) {
    if (index >= 0) conditions.splice(index, 1);
    return;
  }
  const { reason = 'FailedCreate', message = '' } = failed;
  setCondition(conditions, { type: 'ReplicaFailure', status: 'True', reason, message }, now);
}
