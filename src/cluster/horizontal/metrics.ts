/** What each metric of an autoscaler asks for, from the figures of the target's pods. */
import type { MetricSpec, MetricStatus, MetricTarget } from '../../api/kubernetes/autoscaling-defaults.ts';
import type { PodMetrics } from '../../api/kubernetes/metrics.ts';
import { parseQuantity } from '../../api/kubernetes/quantity.ts';
import type { Figures, PodFigure } from './pod-groups.ts';
import { replicasForAverage, replicasForUtilization, type Measured, type Proposal } from './replicas.ts';

/** A metric that gives no answer: the reason of its event and condition, and why. */
export class MetricFailure extends Error {
  override name = 'MetricFailure';
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface MetricAnswer {
  readonly replicas: number;
  /** As it stands in `above target`. */
  readonly name: string;
  readonly status: MetricStatus;
}

export type MetricInput = Omit<Measured, 'figures' | 'resource'> & {
  /** Of the namespace; pods that the selector does not choose are passed over. */
  readonly metrics: readonly PodMetrics[];
  readonly namespace: string;
};

/** Throws {@link MetricFailure}. */
export function evaluateMetric(metric: MetricSpec, input: MetricInput): MetricAnswer {
  switch (metric.type) {
    case 'Resource': {
      const { name, target } = metric.resource ?? missingSource(metric);
      const { replicas, current, text } = evaluateResource(input, name, target, undefined);
      return { replicas, name: text, status: { type: metric.type, resource: { name, current } } };
    }
    case 'ContainerResource': {
      const { name, target, container } = metric.containerResource ?? missingSource(metric);
      const { replicas, current, text } = evaluateResource(input, name, target, container);
      return {
        replicas,
        name: text,
        status: { type: metric.type, containerResource: { name, container, current } },
      };
    }
    default:
      throw unavailable(metric, input.namespace);
  }
}

function missingSource(metric: MetricSpec): never {
  throw new MetricFailure('InvalidMetricSourceType', `unknown metric source type "${metric.type}"`);
}

function evaluateResource(
  input: MetricInput,
  resource: string,
  target: MetricTarget,
  container: string | undefined,
): Proposal & { readonly text: string } {
  const reason = container === undefined ? 'FailedGetResourceMetric' : 'FailedGetContainerResourceMetric';
  const ofContainer = container === undefined ? '' : ` container`;
  try {
    const measured = { ...input, resource, figures: figuresOf(input, resource, container) };
    const where = container === undefined ? '' : `container ${container} `;
    if (target.averageValue !== undefined) {
      const proposal = replicasForAverage(measured, parseQuantity(target.averageValue) ?? 0);
      return { ...proposal, text: `${resource} ${where}resource` };
    }
    const proposal = replicasForUtilization(measured, target.averageUtilization ?? 0, container);
    const share =
      container === undefined ? 'resource utilization (percentage of request)' : 'resource utilization';
    return { ...proposal, text: `${resource} ${where}${share}` };
  } catch (error) {
    if (error instanceof MetricFailure) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const what = target.averageValue === undefined ? 'utilization' : 'usage';
    throw new MetricFailure(
      reason,
      `failed to get ${resource}${ofContainer} resource metric value: failed to get ${resource} ${what}: ${why}`,
    );
  }
}

/** Sums the containers of each pod, or takes the one of that name. Throws Error when there is nothing at all. */
function figuresOf({ metrics, pods }: MetricInput, resource: string, container: string | undefined): Figures {
  const wanted = new Set(pods.map((pod) => pod.metadata.name));
  const figures = new Map<string, PodFigure>();
  const chosen = metrics.filter(({ metadata }) => wanted.has(metadata.name));
  if (chosen.length === 0) {
    throw new Error(
      `unable to get metrics for resource ${resource}: no metrics returned from resource metrics API`,
    );
  }
  for (const one of chosen) {
    const counted = one.containers.filter(({ name }) => container === undefined || name === container);
    if (container !== undefined && counted.length === 0) {
      throw new Error(
        `unable to get metrics for resource ${resource}: container ${container} not present in metrics for pod ${one.metadata.namespace}/${one.metadata.name}`,
      );
    }
    const values = counted.map(({ usage }) => parseQuantity(usage[resource] ?? ''));
    if (values.some((value) => value === undefined)) continue;
    figures.set(one.metadata.name, {
      value: values.reduce<number>((total, value) => total + (value ?? 0), 0),
      at: Date.parse(one.timestamp),
      windowMs: durationMs(one.window),
    });
  }
  return figures;
}

/** A Go duration of hours, minutes and seconds. */
function durationMs(text: string): number {
  const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000 };
  let total = 0;
  for (const [, count = '0', unit = 's'] of text.matchAll(/([\d.]+)([hms])/g)) {
    total += Number(count) * (units[unit] ?? 0);
  }
  return total;
}

/** No metrics but those of cpu and memory are served: said as a cluster says it that has no adapter for them. */
function unavailable(metric: MetricSpec, namespace: string): MetricFailure {
  const custom = 'no custom metrics API (custom.metrics.k8s.io) registered';
  switch (metric.type) {
    case 'Pods': {
      const name = metric.pods?.metric.name ?? '';
      return new MetricFailure(
        'FailedGetPodsMetric',
        `failed to get pods metric value: unable to get metric ${name}: ${custom}`,
      );
    }
    case 'Object': {
      const { describedObject, metric: identifier } = metric.object ?? {};
      const { kind = '', name = '' } = describedObject ?? {};
      return new MetricFailure(
        'FailedGetObjectMetric',
        `failed to get object metric value: unable to get metric ${identifier?.name}: ${kind} on ${namespace} ${name}/${custom}`,
      );
    }
    case 'External': {
      const name = metric.external?.metric.name ?? '';
      return new MetricFailure(
        'FailedGetExternalMetric',
        `failed to get ${name} external metric: unable to get external metric ${namespace}/${name}: no external metrics API (external.metrics.k8s.io) registered`,
      );
    }
    default:
      return missingSource(metric);
  }
}
