/**
 * How many replicas a metric asks for (kubernetes pkg/controller/podautoscaler `ReplicaCalculator`). Pure. Throws Error
 * with upstream's words when the figures do not allow an answer.
 */
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import { parseQuantity } from '../../api/kubernetes/quantity.ts';
import type { Container, Pod } from '../../api/pods.ts';
import { groupPods, withoutPods, type Figures, type PodFigure } from './pod-groups.ts';

/** A ratio of 1 ± this changes nothing. */
export const defaultTolerance = 0.1;

export interface Tolerances {
  readonly up: number;
  readonly down: number;
}

export interface Measured {
  readonly pods: readonly Pod[];
  readonly figures: Figures;
  readonly resource: string;
  readonly currentReplicas: number;
  readonly tolerances: Tolerances;
  readonly now: number;
}

export interface Proposal {
  readonly replicas: number;
  readonly current: KubernetesTypes['autoscaling.v2.MetricValueStatus'];
}

/** For a target that is a share (percent) of what the pods, or their container of this name, request. */
export function replicasForUtilization(measured: Measured, target: number, container?: string): Proposal {
  const { pods, resource } = measured;
  const requests = podRequests(pods, resource, container);
  const ratioOf = (figures: Figures): Ratio => utilizationRatio(figures, requests, target);
  const fallback = Math.max(100, target) / 100;
  const { replicas, first } = decide(measured, ratioOf, (name) => (requests.get(name) ?? 0) * fallback);
  return {
    replicas,
    current: { averageUtilization: first.percent ?? 0, averageValue: formatMilli(first.average) },
  };
}

/** For a target that is an amount per pod. */
export function replicasForAverage(measured: Measured, target: number): Proposal {
  const ratioOf = (figures: Figures): Ratio => {
    const average = sum([...figures.values()].map(({ value }) => value)) / figures.size;
    return { ratio: average / target, average };
  };
  const { replicas, first } = decide(measured, ratioOf, () => target);
  return { replicas, current: { averageValue: formatMilli(first.average) } };
}

interface Ratio {
  /** Used over wanted. */
  readonly ratio: number;
  /** Percent of the request. */
  readonly percent?: number;
  /** Used per pod, in base units. */
  readonly average: number;
}

/**
 * The ratio of the pods that count decides the direction. Pods without a figure are then taken for what speaks against it:
 * as using `fallback` before a scale down, and nothing before a scale up; pods that are not ready as using nothing.
 */
function decide(
  measured: Measured,
  ratioOf: (figures: Figures) => Ratio,
  fallback: (pod: string) => number,
): { replicas: number; first: Ratio } {
  const { pods, resource, currentReplicas, tolerances, now } = measured;
  if (pods.length === 0) throw new Error('no pods returned by selector while calculating replica count');
  const { readyCount, unready, missing, ignored } = groupPods(pods, measured.figures, resource, now);
  const known = new Set(pods.map((pod) => pod.metadata.name));
  const figures = withoutPods(measured.figures, ignored, unready);
  for (const name of figures.keys()) if (!known.has(name)) figures.delete(name);
  if (figures.size === 0) {
    throw new Error('did not receive metrics for targeted pods (pods might be unready)');
  }
  const first = ratioOf(figures);
  const scalesUpUnready = unready.size > 0 && first.ratio > 1;
  if (!scalesUpUnready && missing.size === 0) {
    if (isWithin(first.ratio, tolerances)) return { replicas: currentReplicas, first };
    return { replicas: Math.ceil(round(first.ratio * readyCount)), first };
  }
  const assume = (name: string, value: number): Map<string, PodFigure> =>
    figures.set(name, { value, at: now, windowMs: 0 });
  if (first.ratio < 1) for (const name of missing) assume(name, fallback(name));
  if (first.ratio > 1) for (const name of missing) assume(name, 0);
  if (scalesUpUnready) for (const name of unready) assume(name, 0);
  const { ratio } = ratioOf(figures);
  const turned = (first.ratio < 1 && ratio > 1) || (first.ratio > 1 && ratio < 1);
  if (turned || isWithin(ratio, tolerances)) return { replicas: currentReplicas, first };
  const replicas = Math.ceil(round(ratio * figures.size));
  const backwards = (ratio < 1 && replicas > currentReplicas) || (ratio > 1 && replicas < currentReplicas);
  return { replicas: backwards ? currentReplicas : replicas, first };
}

function isWithin(ratio: number, { up, down }: Tolerances): boolean {
  return ratio >= round(1 - down) && ratio <= round(1 + up);
}

/** Takes the dust of binary fractions off, so that 2.0000000000000004 pods are two. */
function round(value: number): number {
  return Number(value.toPrecision(12));
}

function utilizationRatio(figures: Figures, requests: ReadonlyMap<string, number>, target: number): Ratio {
  let used = 0;
  let requested = 0;
  let count = 0;
  for (const [name, { value }] of figures) {
    const request = requests.get(name);
    if (request === undefined) continue;
    used += value;
    requested += request;
    count++;
  }
  if (requested === 0) throw new Error('no metrics returned matched known pods');
  const percent = Math.trunc(round((used * 100) / requested));
  return { ratio: percent / target, percent, average: used / count };
}

/** What each pod requests of a resource, by name. */
function podRequests(
  pods: readonly Pod[],
  resource: string,
  container: string | undefined,
): Map<string, number> {
  const requests = new Map<string, number>();
  for (const pod of pods) {
    const sidecars = (pod.spec?.initContainers ?? []).filter((one) => one.restartPolicy === 'Always');
    const counted = [...(pod.spec?.containers ?? []), ...sidecars].filter(
      (one) => container === undefined || one.name === container,
    );
    requests.set(pod.metadata.name, sum(counted.map((one) => requestOf(pod, one, resource))));
  }
  return requests;
}

function requestOf(pod: Pod, container: Container, resource: string): number {
  const text = container.resources?.requests?.[resource];
  const value = text === undefined ? undefined : parseQuantity(text);
  if (value === undefined) {
    throw new Error(
      `missing request for ${resource} in container ${container.name} of Pod ${pod.metadata.name}`,
    );
  }
  return value;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** As a quantity of whole thousandths: `250m`, `3`, `52428800`. */
function formatMilli(value: number): string {
  const milli = Math.trunc(round(value * 1000));
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`;
}
