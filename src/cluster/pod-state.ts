/** What controllers of pods read from a pod, as pure functions (kubernetes pkg/controller/controller_utils, pkg/api/v1/pod). */
import { isPodReady, isPodTerminal, type Pod } from '../api/pods.ts';

/** A pod that counts: neither ended nor told to go. */
export function isActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** Told to go, and its containers have not ended yet. */
export function isTerminating(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp !== undefined;
}

/** When the pod became ready, ms since the epoch; undefined when it is not. */
export function readySince(pod: Pod): number | undefined {
  const condition = pod.status?.conditions?.find((c) => c.type === 'Ready' && c.status === 'True');
  return condition ? Date.parse(condition.lastTransitionTime ?? '') || 0 : undefined;
}

/** Ready for at least `minReadySeconds`. `now` is ms since the epoch. */
export function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const since = readySince(pod);
  return since !== undefined && (minReadySeconds === 0 || since + minReadySeconds * 1000 <= now);
}

/** After how many ms a ready pod becomes available by the passing of time; undefined when it is, or is not ready. */
export function availableIn(pod: Pod, minReadySeconds: number, now: number): number | undefined {
  const since = readySince(pod);
  if (since === undefined || isAvailable(pod, minReadySeconds, now)) return undefined;
  return since + minReadySeconds * 1000 - now;
}

/** The earlier of two waits, ms; undefined is never. */
export function sooner(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** Milliseconds since the epoch of the creation; 0 when unknown. */
export function createdAt(pod: Pod): number {
  return Date.parse(pod.metadata.creationTimestamp ?? '') || 0;
}

/** Oldest first; names decide between pods of the same second. */
export function byCreation(a: Pod, b: Pod): number {
  return createdAt(a) - createdAt(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

const phases = ['Pending', 'Unknown', 'Running'];

/** Integer, may be negative; pods with a lower one go first. */
export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

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
    return (
      Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName)) ||
      phaseOf(a) - phaseOf(b) ||
      Number(isPodReady(a)) - Number(isPodReady(b)) ||
      deletionCost(a) - deletionCost(b) ||
      (readyA !== undefined && readyB !== undefined ? magnitude(readyA, now) - magnitude(readyB, now) : 0) ||
      restarts(b) - restarts(a) ||
      magnitude(createdAt(a), now) - magnitude(createdAt(b), now) ||
      ((a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1)
    );
  });
}
