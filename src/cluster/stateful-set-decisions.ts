/** What a StatefulSet does next and how it stands, as pure functions (kubernetes pkg/controller/statefulset). */
import type { StatefulSet } from '../api/kubernetes/workloads.ts';
import { isPodReady, isPodTerminal, type Pod } from '../api/pods.ts';
import { availableIn, isAvailable, sooner } from './pod-state.ts';
import { identityLabels, ordinalOf, revisionLabel } from './resources/stateful-set-pod.ts';

/** What a run of the controller sees. */
export interface StatefulView {
  readonly set: StatefulSet;
  readonly pods: readonly Pod[];
  /** Names of the revisions: that of the pods before the rollout, and that of the present template. */
  readonly current: string;
  readonly update: string;
  /** True for a pod that this process has told to go though the cache does not show it. */
  readonly isDeleted: (pod: Pod) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type StatefulAction =
  /** `revision` is the name of `current` or `update`. */
  | { readonly type: 'create'; readonly ordinal: number; readonly revision: string }
  /** `why`: it has ended and begins anew, it is beyond the replicas, or it has an old revision. */
  | { readonly type: 'delete'; readonly pod: Pod; readonly why: 'ended' | 'condemned' | 'outdated' }
  /** Its labels do not say who it is. */
  | { readonly type: 'label'; readonly pod: Pod; readonly ordinal: number };

interface StatefulPlan {
  readonly actions: readonly StatefulAction[];
  /** After how many ms a pod becomes available by the passing of time. */
  readonly waitMs: number | undefined;
}

const startOf = (set: StatefulSet): number => set.spec?.ordinals?.start ?? 0;
const replicasOf = (set: StatefulSet): number => set.spec?.replicas ?? 1;

/** Whether the pod of an ordinal is beyond what the set wants. */
export function isCondemned(set: StatefulSet, ordinal: number): boolean {
  return ordinal < startOf(set) || ordinal >= startOf(set) + replicasOf(set);
}

export function revisionOf(pod: Pod): string | undefined {
  return pod.metadata.labels?.[revisionLabel];
}

/**
 * The next actions. An ordered set does one thing at a time and waits until every pod before has come; a parallel one does
 * everything at once.
 */
export function planStatefulSet(view: StatefulView): StatefulPlan {
  const { set, now } = view;
  const ordered = set.spec?.podManagementPolicy !== 'Parallel';
  const { replicas, condemned } = placePods(view);
  const seconds = set.spec?.minReadySeconds ?? 0;
  const waitMs = view.pods.reduce<number | undefined>(
    (wait, pod) => sooner(wait, availableIn(pod, seconds, now)),
    undefined,
  );
  const actions: StatefulAction[] = [];
  const done = (): StatefulPlan => ({ actions, waitMs });
  for (const [i, pod] of replicas.entries()) {
    const ordinal = startOf(set) + i;
    if (!pod) {
      actions.push({ type: 'create', ordinal, revision: revisionFor(view, i) });
      if (ordered) return done();
      continue;
    }
    if (isPodTerminal(pod)) {
      // The new pod comes when the old one has gone: they have the same name.
      if (!isGoing(view, pod)) actions.push({ type: 'delete', pod, why: 'ended' });
      if (ordered) return done();
      continue;
    }
    if (!hasIdentity(set, pod, ordinal)) actions.push({ type: 'label', pod, ordinal });
    if (ordered && !isUp(view, pod)) return done();
  }
  const unhealthy = firstUnhealthy(view, replicas, condemned);
  for (const pod of condemned) {
    // One that has ended will not become well again; one that may waits for those below it to be well.
    const waits = !isUp(view, pod) && pod !== unhealthy && !isPodTerminal(pod);
    if (ordered && (isGoing(view, pod) || waits)) return done();
    if (!isGoing(view, pod)) actions.push({ type: 'delete', pod, why: 'condemned' });
    if (ordered) return done();
  }
  if (set.spec?.updateStrategy?.type !== 'OnDelete') actions.push(...planUpdate(view, replicas));
  return done();
}

interface Placed {
  /** By ordinal, from the first. */
  readonly replicas: (Pod | undefined)[];
  /** Highest ordinal first. */
  readonly condemned: Pod[];
}

function placePods({ set, pods }: StatefulView): Placed {
  const replicas = Array.from<Pod | undefined>({ length: replicasOf(set) }).fill(undefined);
  const condemned: { ordinal: number; pod: Pod }[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (isCondemned(set, ordinal)) condemned.push({ ordinal, pod });
    else replicas[ordinal - startOf(set)] = pod;
  }
  condemned.sort((a, b) => b.ordinal - a.ordinal);
  return { replicas, condemned: condemned.map(({ pod }) => pod) };
}

/** Pods below the partition stay at, and come back with, the revision from before. */
function revisionFor({ set, current, update }: StatefulView, index: number): string {
  const strategy = set.spec?.updateStrategy;
  if (strategy?.type === 'OnDelete') return update;
  return index < (strategy?.rollingUpdate?.partition ?? 0) ? current : update;
}

function isGoing(view: StatefulView, pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined || view.isDeleted(pod);
}

function isRunning(pod: Pod): boolean {
  return pod.status?.phase === 'Running';
}

/** Running, ready, for long enough, and not told to go. */
function isUp(view: StatefulView, pod: Pod): boolean {
  const seconds = view.set.spec?.minReadySeconds ?? 0;
  return isRunning(pod) && isAvailable(pod, seconds, view.now) && !isGoing(view, pod);
}

function hasIdentity(set: StatefulSet, { metadata: { labels } }: Pod, ordinal: number): boolean {
  return Object.entries(identityLabels(set, ordinal)).every(([key, value]) => labels?.[key] === value);
}

/** The lowest pod that is not well: the only one of the unwell that may be deleted out of turn. */
function firstUnhealthy(
  view: StatefulView,
  replicas: readonly (Pod | undefined)[],
  condemned: readonly Pod[],
): Pod | undefined {
  const unwell = (pod: Pod | undefined): pod is Pod =>
    pod !== undefined && !(isRunning(pod) && isPodReady(pod) && !isGoing(view, pod));
  return replicas.find(unwell) ?? condemned.findLast(unwell);
}

/** A count or a percentage of the replicas, rounded down; at least one. */
function maxUnavailable(set: StatefulSet): number {
  const value = set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
  const count =
    typeof value === 'number' ? value : Math.floor((Number.parseInt(value, 10) * replicasOf(set)) / 100);
  return Math.max(1, Number.isNaN(count) ? 1 : count);
}

/**
 * Old pods to delete, from the highest ordinal down to the partition. One that is not available costs nothing; one that
 * is may go as long as no more than allowed are not available.
 */
function planUpdate(view: StatefulView, replicas: readonly (Pod | undefined)[]): StatefulAction[] {
  const { set, update } = view;
  const allowed = maxUnavailable(set);
  const isDown = (pod: Pod | undefined): boolean => pod === undefined || !isUp(view, pod);
  let down = replicas.filter(isDown).length;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const actions: StatefulAction[] = [];
  // Of the new pods and the ones on their way out; when they use up what is allowed, the rollout waits for them.
  let pending = 0;
  for (let i = replicas.length - 1; i >= partition && pending < allowed; i--) {
    const pod = replicas[i];
    if (!pod) pending++;
    else if (revisionOf(pod) === update || isGoing(view, pod)) pending += isDown(pod) ? 1 : 0;
    else if (isDown(pod) || down < allowed) {
      if (!isDown(pod)) down++;
      pending++;
      actions.push({ type: 'delete', pod, why: 'outdated' });
    }
  }
  return actions;
}

export type StatefulSetStatus = NonNullable<StatefulSet['status']>;

export function decideStatefulStatus(view: StatefulView, collisionCount: number): StatefulSetStatus {
  const { set, pods, current, update, now } = view;
  const seconds = set.spec?.minReadySeconds ?? 0;
  const own = pods.filter((pod) => ordinalOf(set, pod) !== undefined);
  const ready = own.filter((pod) => isRunning(pod) && isPodReady(pod));
  const standing = own.filter((pod) => !isGoing(view, pod));
  const available = ready.filter((pod) => isAvailable(pod, seconds, now)).length;
  const counts = {
    replicas: own.length,
    ready: ready.length,
    current: standing.filter((pod) => revisionOf(pod) === current).length,
    updated: standing.filter((pod) => revisionOf(pod) === update).length,
  };
  const total = replicasOf(set);
  // The rollout is through: what was new is what there is.
  const complete =
    set.spec?.updateStrategy?.type !== 'OnDelete' &&
    [counts.updated, counts.ready, counts.replicas].every((count) => count === total);
  const { conditions } = set.status ?? {};
  return {
    ...(set.metadata.generation ? { observedGeneration: set.metadata.generation } : {}),
    replicas: counts.replicas,
    ...nonZero('readyReplicas', counts.ready),
    availableReplicas: available,
    ...nonZero('currentReplicas', complete ? counts.updated : counts.current),
    ...nonZero('updatedReplicas', counts.updated),
    currentRevision: complete ? update : current,
    updateRevision: update,
    collisionCount,
    ...(conditions ? { conditions } : {}),
  };
}

/** Go leaves zeroes out, and so does the server: writing them would look like a change each time. */
function nonZero<K extends string>(name: K, value: number): { [P in K]?: number } {
  return value === 0 ? {} : ({ [name]: value } as { [P in K]: number });
}
