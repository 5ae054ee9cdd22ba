/** Which pods of a target count, and for what (kubernetes pkg/controller/podautoscaler `groupPods`). Pure. */
import type { Pod } from '../../api/pods.ts';

/** A young pod's CPU is the work of its start, ms. */
const cpuInitializationMs = 5 * 60_000;
/** A pod that was never ready this long after its start has a Ready condition from then, ms. */
const initialReadinessDelayMs = 30_000;

/** What one pod uses of one resource. */
export interface PodFigure {
  /** In base units: cores, bytes. */
  readonly value: number;
  /** End of the time over which it was measured, ms since the epoch. */
  readonly at: number;
  readonly windowMs: number;
}

/** By pod name. */
export type Figures = ReadonlyMap<string, PodFigure>;

export interface PodGroups {
  /** Measured, and the figure means something. */
  readonly readyCount: number;
  readonly unready: ReadonlySet<string>;
  /** Running without a figure. */
  readonly missing: ReadonlySet<string>;
  /** On their way out, or failed. */
  readonly ignored: ReadonlySet<string>;
}

export function groupPods(pods: readonly Pod[], figures: Figures, resource: string, now: number): PodGroups {
  const unready = new Set<string>();
  const missing = new Set<string>();
  const ignored = new Set<string>();
  let readyCount = 0;
  for (const pod of pods) {
    const { name } = pod.metadata;
    const figure = figures.get(name);
    if (pod.metadata.deletionTimestamp || pod.status?.phase === 'Failed') ignored.add(name);
    else if ((pod.status?.phase ?? 'Pending') === 'Pending') unready.add(name);
    else if (!figure) missing.add(name);
    else if (resource === 'cpu' && isUnready(pod, figure, now)) unready.add(name);
    else readyCount++;
  }
  return { readyCount, unready, missing, ignored };
}

function isUnready(pod: Pod, figure: PodFigure, now: number): boolean {
  const ready = pod.status?.conditions?.find((condition) => condition.type === 'Ready');
  const started = pod.status?.startTime;
  if (!ready || !started) return true;
  const startedAt = Date.parse(started);
  const changedAt = Date.parse(ready.lastTransitionTime ?? started);
  if (startedAt + cpuInitializationMs > now) {
    return ready.status === 'False' || figure.at < changedAt + figure.windowMs;
  }
  return ready.status === 'False' && startedAt + initialReadinessDelayMs > changedAt;
}

/** The figures of pods that are in none of the sets. */
export function withoutPods(
  figures: Figures,
  ...sets: readonly ReadonlySet<string>[]
): Map<string, PodFigure> {
  return new Map([...figures].filter(([name]) => !sets.some((set) => set.has(name))));
}
