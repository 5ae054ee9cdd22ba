/** How a Deployment shares its replicas among its ReplicaSets, as pure functions (kubernetes pkg/controller/deployment). */
import { deepEqual } from '../base/json.ts';
import type { PodTemplateSpec } from '../api/kubernetes/pod-defaults.ts';
import type { Deployment, ReplicaSet } from '../api/kubernetes/workloads.ts';

export const hashLabel = 'pod-template-hash';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
/** What the Deployment wanted when a set was last scaled. */
export const desiredAnnotation = 'deployment.kubernetes.io/desired-replicas';
/** Desired and surge. */
export const maxAnnotation = 'deployment.kubernetes.io/max-replicas';

export const replicasOf = (set: ReplicaSet): number => set.spec?.replicas ?? 1;
const availableOf = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0;
const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + of(set), 0);

/** A count or a percentage of `total`. */
function resolve(value: number | string | undefined, total: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = Number.parseInt(value ?? '0', 10);
  return Number.isNaN(percent) ? 0 : round((percent * total) / 100);
}

/** How far a rolling update may go over and under the wanted number of pods. Never both zero. */
export function rolloutBounds(deployment: Deployment): { maxSurge: number; maxUnavailable: number } {
  const total = deployment.spec?.replicas ?? 1;
  const strategy = deployment.spec?.strategy;
  if (strategy?.type === 'Recreate') return { maxSurge: 0, maxUnavailable: 0 };
  const maxSurge = resolve(strategy?.rollingUpdate?.maxSurge, total, Math.ceil);
  const maxUnavailable = Math.min(resolve(strategy?.rollingUpdate?.maxUnavailable, total, Math.floor), total);
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

/** A template without the label that the Deployment adds to its ReplicaSets. */
function withoutHash(template: PodTemplateSpec | undefined): unknown {
  const { [hashLabel]: _hash, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels } };
}

/** The set that has the Deployment's template; the oldest, should there be several. */
export function findNewSet(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const wanted = withoutHash(deployment.spec?.template);
  return byAge(sets).find((set) => deepEqual(withoutHash(set.spec?.template), wanted));
}

/** Oldest first. */
function byAge(sets: readonly ReplicaSet[]): ReplicaSet[] {
  const key = (set: ReplicaSet): string => `${set.metadata.creationTimestamp ?? ''} ${set.metadata.name}`;
  return [...sets].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The number in the revision annotation, 0 when there is none. */
export function revisionOf(set: ReplicaSet): number {
  return Number.parseInt(set.metadata.annotations?.[revisionAnnotation] ?? '0', 10) || 0;
}

/** How many pods a new set starts with. */
export function initialReplicas(deployment: Deployment, old: readonly ReplicaSet[]): number {
  const total = deployment.spec?.replicas ?? 1;
  if (deployment.spec?.strategy?.type === 'Recreate') return hasPods(old) ? 0 : total;
  const room = total + rolloutBounds(deployment).maxSurge - sum(old, replicasOf);
  return Math.max(0, Math.min(room, total));
}

/** Pods of these sets exist, or may still come because a set has not been looked at since it was changed. */
function hasPods(sets: readonly ReplicaSet[]): boolean {
  return sets.some(
    (set) =>
      replicasOf(set) > 0 ||
      (set.status?.replicas ?? 0) > 0 ||
      (set.status?.terminatingReplicas ?? 0) > 0 ||
      (set.status?.observedGeneration ?? 0) < (set.metadata.generation ?? 0),
  );
}

/**
 * The next step: set name → replicas, only where they change. Empty when there is nothing to do until pods change.
 * `current` is undefined while a paused Deployment has no set for its template.
 */
export function planRollout(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Map<string, number> {
  const plan = new Map<string, number>();
  const total = deployment.spec?.replicas ?? 1;
  if (deployment.spec?.paused) {
    planPaused(plan, total, current, old);
  } else if (current) {
    if (deployment.spec?.strategy?.type === 'Recreate') planRecreate(plan, total, current, old);
    else planRolling(plan, deployment, current, old);
  }
  for (const set of current ? [current, ...old] : old) {
    if (plan.get(set.metadata.name) === replicasOf(set)) plan.delete(set.metadata.name);
  }
  return plan;
}

/** Nothing rolls; the youngest set that has pods takes up the difference. */
function planPaused(
  plan: Map<string, number>,
  total: number,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): void {
  const sets = [...byAge(old), ...(current ? [current] : [])];
  const active = sets.filter((set) => replicasOf(set) > 0);
  const last = active.at(-1) ?? sets.at(-1);
  if (!last) return;
  const others = active.filter((set) => set !== last);
  plan.set(last.metadata.name, Math.max(0, total - sum(others, replicasOf)));
}

/** All old pods go before the first new one comes. */
function planRecreate(
  plan: Map<string, number>,
  total: number,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
): void {
  for (const set of old) if (replicasOf(set) > 0) plan.set(set.metadata.name, 0);
  if (!hasPods(old)) plan.set(current.metadata.name, total);
}

function planRolling(
  plan: Map<string, number>,
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
): void {
  const total = deployment.spec?.replicas ?? 1;
  const { maxSurge, maxUnavailable } = rolloutBounds(deployment);
  const all = sum([current, ...old], replicasOf);
  const now = replicasOf(current);
  if (now > total) {
    plan.set(current.metadata.name, total);
  } else if (now < total && all < total + maxSurge) {
    // One step at a time: the old sets shrink when this one's pods have come.
    plan.set(current.metadata.name, now + Math.min(total + maxSurge - all, total - now));
    return;
  }
  shrinkOld(plan, { total, maxUnavailable, all, current, old });
}

interface Shrink {
  readonly total: number;
  readonly maxUnavailable: number;
  /** Replicas of all sets. */
  readonly all: number;
  readonly current: ReplicaSet;
  readonly old: readonly ReplicaSet[];
}

/** Pods that do not work go first; then as many as the new set's available pods make up for. */
function shrinkOld(plan: Map<string, number>, { total, maxUnavailable, all, current, old }: Shrink): void {
  const minAvailable = total - maxUnavailable;
  const newUnavailable = Math.max(0, replicasOf(current) - availableOf(current));
  let broken = all - minAvailable - newUnavailable;
  if (broken <= 0) return;
  const left = new Map(byAge(old).map((set) => [set, replicasOf(set)]));
  for (const [set, replicas] of left) {
    const unavailable = Math.min(Math.max(0, replicas - availableOf(set)), broken);
    broken -= unavailable;
    left.set(set, replicas - unavailable);
  }
  let spare = sum([current, ...old], availableOf) - minAvailable;
  for (const [set, replicas] of left) {
    const fewer = Math.max(0, Math.min(replicas, spare));
    spare -= fewer;
    plan.set(set.metadata.name, replicas - fewer);
  }
}

/** Old sets that can be deleted: without pods, and more than the history keeps. */
export function surplusHistory(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const keep = deployment.spec?.revisionHistoryLimit ?? 10;
  const candidates = old.filter((set) => !set.metadata.deletionTimestamp);
  const excess = candidates.length - keep;
  if (excess <= 0) return [];
  return [...candidates]
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, excess)
    .filter((set) => !hasPods([set]));
}
