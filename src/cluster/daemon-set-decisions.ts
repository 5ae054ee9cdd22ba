/** What a DaemonSet does next and how it stands, as pure functions (kubernetes pkg/controller/daemon). */
import { matchesNode, untoleratedTaint } from '../api/kubernetes/node-fit.ts';
import type { Node } from '../api/kubernetes/nodes.ts';
import type { DaemonSet } from '../api/kubernetes/workloads.ts';
import { isPodReady, type Pod } from '../api/pods.ts';
import { availableIn, byCreation, isAvailable, sooner } from './pod-state.ts';
import { daemonHashLabel, daemonPodSpec, targetNode } from './resources/daemon-set-pod.ts';

/** What a run of the controller sees. */
export interface DaemonView {
  readonly set: DaemonSet;
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** The hash of the present template's revision. */
  readonly hash: string;
  /** True for a pod that this process has told to go though the cache does not show it. */
  readonly isDeleted: (pod: Pod) => boolean;
  /** Nodes where pods have failed of late, and are not to be tried again yet. */
  readonly isResting: (node: string) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

interface DaemonPlan {
  /** Names of the nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Pods, among those to remove, that have ended by themselves. */
  readonly ended: readonly Pod[];
  /** After how many ms a pod becomes available by the passing of time. */
  readonly waitMs: number | undefined;
}

interface Fit {
  readonly shouldRun: boolean;
  /** A pod that is there may stay, though a new one would not come. */
  readonly mayStay: boolean;
}

function fitOf(set: DaemonSet, node: Node): Fit {
  const spec = daemonPodSpec(set);
  if ((spec.nodeName && spec.nodeName !== node.metadata.name) || !matchesNode(spec, node)) {
    return { shouldRun: false, mayStay: false };
  }
  const mayStay = untoleratedTaint(spec, node, ['NoExecute']) === undefined;
  return { shouldRun: untoleratedTaint(spec, node) === undefined, mayStay };
}

/** Pods by the node they are for; those of nodes that are gone are pod collection's to remove. */
function byNode({ pods }: DaemonView): Map<string, Pod[]> {
  const map = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = targetNode(pod);
    if (node === undefined) continue;
    const there = map.get(node);
    if (there) there.push(pod);
    else map.set(node, [pod]);
  }
  return map;
}

function isGoing(view: DaemonView, pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined || view.isDeleted(pod);
}

function isUpToDate(view: DaemonView, pod: Pod): boolean {
  return pod.metadata.labels?.[daemonHashLabel] === view.hash;
}

function isUp(view: DaemonView, pod: Pod): boolean {
  return isAvailable(pod, view.set.spec?.minReadySeconds ?? 0, view.now) && !isGoing(view, pod);
}

export function planDaemonSet(view: DaemonView): DaemonPlan {
  const { set, nodes, now } = view;
  const all = byNode(view);
  const create: string[] = [];
  const remove = new Set<Pod>();
  const ended: Pod[] = [];
  const seconds = set.spec?.minReadySeconds ?? 0;
  let waitMs: number | undefined;
  let desired = 0;
  for (const node of nodes) {
    const { name } = node.metadata;
    const there = all.get(name) ?? [];
    const { shouldRun, mayStay } = fitOf(set, node);
    if (shouldRun) desired++;
    for (const pod of there) waitMs = sooner(waitMs, availableIn(pod, seconds, now));
    if (!mayStay) {
      for (const pod of there) if (!isGoing(view, pod)) remove.add(pod);
      continue;
    }
    const running: Pod[] = [];
    for (const pod of there) {
      if (isGoing(view, pod)) continue;
      const { phase } = pod.status ?? {};
      if (phase !== 'Failed' && phase !== 'Succeeded') running.push(pod);
      else if (phase === 'Succeeded' || !view.isResting(name)) {
        ended.push(pod);
        remove.add(pod);
      }
    }
    // A pod that is there in whatever state keeps the place: its successor comes when it has gone.
    if (shouldRun && there.length === 0) create.push(name);
    else for (const pod of surplusOn(view, running)) remove.add(pod);
  }
  const unavailable = bound(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, desired, Math.ceil);
  const surge = maxSurge(set, desired);
  if (set.spec?.updateStrategy?.type !== 'OnDelete') {
    const rolled = surge > 0 ? planSurge(view, all, surge) : planReplacement(view, all, unavailable, desired);
    create.push(...rolled.create.filter((node) => !create.includes(node)));
    for (const pod of rolled.remove) remove.add(pod);
  }
  return { create, remove: [...remove], ended, waitMs };
}

function maxSurge(set: DaemonSet, desired: number): number {
  if (set.spec?.updateStrategy?.type === 'OnDelete') return 0;
  return bound(set.spec?.updateStrategy?.rollingUpdate?.maxSurge ?? 0, desired, Math.ceil);
}

function bound(value: number | string, total: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  return round(((Number.parseInt(value, 10) || 0) * total) / 100);
}

/**
 * Of several running pods on a node the oldest stays. While a rollout surges, so does an old pod that still serves beside
 * a new one that does not yet.
 */
function surplusOn(view: DaemonView, running: readonly Pod[]): Pod[] {
  const sorted = [...running].sort(byCreation);
  if (maxSurge(view.set, 1) === 0) return sorted.slice(1);
  const next = sorted.find((pod) => isUpToDate(view, pod));
  const old = sorted.find((pod) => !isUpToDate(view, pod));
  const keep = new Set<Pod | undefined>();
  if (!next || !old) keep.add(next ?? old);
  else {
    keep.add(next);
    if (isPodReady(old) && !isUp(view, next)) keep.add(old);
  }
  return sorted.filter((pod) => !keep.has(pod));
}

type Step = Pick<DaemonPlan, 'create' | 'remove'>;

/** Old pods make room first: those that do not serve at once, others as far as the bound allows. */
function planReplacement(
  view: DaemonView,
  all: ReadonlyMap<string, readonly Pod[]>,
  maxUnavailable: number,
  desired: number,
): Step {
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  let available = 0;
  for (const node of view.nodes) {
    if (!fitOf(view.set, node).shouldRun) continue;
    const [pod, ...others] = (all.get(node.metadata.name) ?? []).filter((other) => !isGoing(view, other));
    // None, or several: that is mended first.
    if (!pod || others.length > 0) continue;
    const up = isUp(view, pod);
    if (up) available++;
    if (isUpToDate(view, pod)) continue;
    (up ? candidates : broken).push(pod);
  }
  const room = Math.max(0, maxUnavailable - (desired - available));
  return { create: [], remove: [...broken, ...candidates.slice(0, room)] };
}

/** New pods come beside the old ones, which go when the new ones serve. */
function planSurge(view: DaemonView, all: ReadonlyMap<string, readonly Pod[]>, surge: number): Step {
  const urgent: string[] = [];
  const candidates: string[] = [];
  const remove: Pod[] = [];
  let surging = 0;
  for (const node of view.nodes) {
    if (!fitOf(view.set, node).shouldRun) continue;
    const { name } = node.metadata;
    const there = (all.get(name) ?? []).filter((pod) => !isGoing(view, pod));
    const old = there.find((pod) => !isUpToDate(view, pod));
    const next = there.find((pod) => isUpToDate(view, pod));
    if (!old) continue;
    if (next) {
      if (isUp(view, next)) remove.push(old);
      else surging++;
    } else (isUp(view, old) ? candidates : urgent).push(name);
  }
  const room = Math.max(0, surge - surging);
  return { create: [...urgent, ...candidates.slice(0, room)], remove };
}

export type DaemonSetStatus = NonNullable<DaemonSet['status']>;

export function decideDaemonStatus(view: DaemonView, collisionCount: number): DaemonSetStatus {
  const { set, nodes, now } = view;
  const all = byNode(view);
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const node of nodes) {
    const there = [...(all.get(node.metadata.name) ?? [])].sort(byCreation);
    // Beside an old pod that is being replaced the new one tells how the node stands.
    const pod = there.find((other) => isUpToDate(view, other) && isPodReady(other)) ?? there[0];
    if (!fitOf(set, node).shouldRun) {
      if (pod) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    if (!pod) continue;
    counts.current++;
    if (there.some((other) => isUpToDate(view, other))) counts.updated++;
    if (!isPodReady(pod)) continue;
    counts.ready++;
    if (isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)) counts.available++;
  }
  const { conditions } = set.status ?? {};
  return {
    currentNumberScheduled: counts.current,
    numberMisscheduled: counts.misscheduled,
    desiredNumberScheduled: counts.desired,
    numberReady: counts.ready,
    ...(set.metadata.generation ? { observedGeneration: set.metadata.generation } : {}),
    ...nonZero('updatedNumberScheduled', counts.updated),
    ...nonZero('numberAvailable', counts.available),
    ...nonZero('numberUnavailable', counts.desired - counts.available),
    ...(collisionCount > 0 ? { collisionCount } : {}),
    ...(conditions ? { conditions } : {}),
  };
}

/** Go leaves zeroes out, and so does the server: writing them would look like a change each time. */
function nonZero<K extends string>(name: K, value: number): { [P in K]?: number } {
  return value === 0 ? {} : ({ [name]: value } as { [P in K]: number });
}
