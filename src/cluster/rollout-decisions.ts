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

/** The number in the revision annotation, 0 when there is none. A 64-bit integer, which a JavaScript number is not. */
export function revisionOf(set: ReplicaSet): bigint {
  const text = set.metadata.annotations?.[revisionAnnotation] ?? '';
  return /^\d{1,18}$|^[1-8]\d{18}$/.test(text) ? BigInt(text) : 0n;
}

/** The revision after those of all these sets. */
export function nextRevision(sets: readonly ReplicaSet[]): bigint {
  return sets.map(revisionOf).reduce((newest, revision) => (revision > newest ? revision : newest), 0n) + 1n;
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

/** What a set was told when it was last scaled; undefined for one that never was. */
function noted(set: ReplicaSet, annotation: string): number | undefined {
  const text = set.metadata.annotations?.[annotation];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** The wanted number has changed since the sets with pods were last scaled. */
function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  const total = deployment.spec?.replicas ?? 1;
  return sets.some((set) => replicasOf(set) > 0 && (noted(set, desiredAnnotation) ?? total) !== total);
}

/**
 * The next step: set name → replicas, only where they change, or where a set has to note what is wanted now. Empty when
 * there is nothing to do until pods change. `current` is undefined while a paused Deployment has no set for its template.
 */
export function planRollout(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Map<string, number> {
  const plan = new Map<string, number>();
  const total = deployment.spec?.replicas ?? 1;
  const all = current ? [current, ...old] : old;
  const recreates = deployment.spec?.strategy?.type === 'Recreate';
  if (deployment.spec?.paused || (!recreates && isScaling(deployment, all))) {
    planScale(plan, deployment, current, old);
  } else if (current) {
    if (recreates) planRecreate(plan, total, current, old);
    else planRolling(plan, deployment, current, old);
  }
  for (const set of all) {
    const same = plan.get(set.metadata.name) === replicasOf(set);
    if (same && (replicasOf(set) === 0 || (noted(set, desiredAnnotation) ?? total) === total)) {
      plan.delete(set.metadata.name);
    }
  }
  return plan;
}

/** Nothing rolls: the sets take up the difference to what is wanted. */
function planScale(
  plan: Map<string, number>,
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): void {
  const total = deployment.spec?.replicas ?? 1;
  const sets = [...byAge(old), ...(current ? [current] : [])];
  const active = sets.filter((set) => replicasOf(set) > 0);
  const [only, second] = active;
  const single = second ? undefined : (only ?? sets.at(-1));
  if (single) {
    plan.set(single.metadata.name, total);
  } else if (current && isSaturated(current, total)) {
    for (const set of active) plan.set(set.metadata.name, set === current ? total : 0);
  } else {
    planProportional(plan, deployment, active);
  }
}

/** All that is wanted runs in this set. */
function isSaturated(set: ReplicaSet, total: number): boolean {
  return replicasOf(set) === total && noted(set, desiredAnnotation) === total && availableOf(set) === total;
}

/**
 * In the midst of a rollout each set grows or shrinks by its share, so that a bad template does not get all new pods and
 * a good one does not lose all. What rounding leaves goes to the largest set.
 */
function planProportional(
  plan: Map<string, number>,
  deployment: Deployment,
  active: readonly ReplicaSet[],
): void {
  const total = deployment.spec?.replicas ?? 1;
  const most = total > 0 ? total + rolloutBounds(deployment).maxSurge : 0;
  const difference = most - sum(active, replicasOf);
  // Of sets of one size the newer grow first, and the older shrink first.
  const ages = byAge(active);
  const age = (set: ReplicaSet): number => ages.indexOf(set) * (difference > 0 ? -1 : 1);
  const sorted = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || age(a) - age(b));
  let given = 0;
  for (const set of sorted) {
    const share = difference === 0 ? 0 : shareOf(set, deployment, most);
    const left = difference - given;
    const change = difference > 0 ? clamp(share, 0, left) : clamp(share, left, 0);
    given += change;
    plan.set(set.metadata.name, replicasOf(set) + change);
  }
  for (const { metadata } of sorted) {
    const size = plan.get(metadata.name) ?? 0;
    const next = Math.max(0, size + difference - given);
    given += next - size;
    plan.set(metadata.name, next);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}

/** By how much a set changes so that it keeps its part of the whole. */
function shareOf(set: ReplicaSet, deployment: Deployment, most: number): number {
  const before = replicasOf(set);
  if ((deployment.spec?.replicas ?? 1) === 0) return -before;
  const mostBefore = noted(set, maxAnnotation) ?? deployment.status?.replicas ?? 0;
  return mostBefore === 0 ? 0 : Math.round((before * most) / mostBefore) - before;
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

/** A status that does not know yet that its set has shrunk counts pods that are about to go. */
function stayingAvailable(set: ReplicaSet): number {
  return Math.min(availableOf(set), replicasOf(set));
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
  let spare = sum([current, ...old], stayingAvailable) - minAvailable;
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
    .sort((a, b) => Number(revisionOf(a) - revisionOf(b)))
    .slice(0, excess)
    .filter((set) => !hasPods([set]));
}
