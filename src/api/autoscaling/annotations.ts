/** The scaling annotations of a revision: keys, reading, faults (knative/serving pkg/apis/autoscaling). */
import { parseDuration } from '../../base/duration.ts';
import { fault, invalidKey, invalidValue, join, outOfBounds } from '../knative/field-errors.ts';
import type { Issue } from '../resource.ts';
import type { AutoscalerConfig } from '../serving/config/autoscaler.ts';

const autoscalingGroup = 'autoscaling.knative.dev';
export const kpaClass = 'kpa.autoscaling.knative.dev';
export const hpaClass = 'hpa.autoscaling.knative.dev';

type Annotations = Readonly<Record<string, string>>;

/** Each annotation with the names it may be written by; the first is the one to write. */
const names = {
  class: ['class'],
  metric: ['metric'],
  target: ['target'],
  window: ['window'],
  minScale: ['min-scale', 'minScale'],
  maxScale: ['max-scale', 'maxScale'],
  initialScale: ['initial-scale', 'initialScale'],
  activationScale: ['activation-scale'],
  scaleDownDelay: ['scale-down-delay', 'scaleDownDelay'],
  targetUtilization: ['target-utilization-percentage', 'targetUtilizationPercentage'],
  targetBurstCapacity: ['target-burst-capacity', 'targetBurstCapacity'],
  panicWindow: ['panic-window-percentage', 'panicWindowPercentage'],
  panicThreshold: ['panic-threshold-percentage', 'panicThresholdPercentage'],
  retentionPeriod: ['scale-to-zero-pod-retention-period', 'scaleToZeroPodRetentionPeriod'],
  metricAggregation: ['metric-aggregation-algorithm', 'metricAggregationAlgorithm'],
} as const;

type Name = keyof typeof names;

export function autoscalingKey(name: Name): string {
  return `${autoscalingGroup}/${names[name][0]}`;
}

function find(annotations: Annotations, name: Name): { key: string; text: string } | undefined {
  for (const alias of names[name]) {
    const key = `${autoscalingGroup}/${alias}`;
    const text = annotations[key];
    if (text !== undefined) return { key, text };
  }
  return undefined;
}

function numberOf(annotations: Annotations, name: Name): number | undefined {
  const found = find(annotations, name);
  const value = found && Number(found.text);
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

function durationOf(annotations: Annotations, name: Name): number | undefined {
  const found = find(annotations, name);
  return found && parseDuration(found.text);
}

/** Everything that decides a revision's scale: annotations over settings. */
export interface ScalingSpec {
  readonly class: string;
  readonly metric: string;
  /** Load that a pod is meant to take at most: requests in flight, or requests a second. */
  readonly total: number;
  /** Load per pod that the autoscaler steers to: `total` × utilization. */
  readonly target: number;
  readonly stableWindowMs: number;
  readonly panicWindowMs: number;
  /** Multiple of the ready pods' capacity from which on it panics. */
  readonly panicThreshold: number;
  /** -1 unlimited, 0 none. */
  readonly targetBurstCapacity: number;
  readonly activationScale: number;
  readonly minScale: number;
  /** 0 means no limit. */
  readonly maxScale: number;
  readonly initialScale: number;
  readonly scaleDownDelayMs: number;
  readonly maxScaleUpRate: number;
  readonly maxScaleDownRate: number;
  readonly enableScaleToZero: boolean;
  readonly retentionPeriodMs: number;
  readonly gracePeriodMs: number;
  readonly exponentialAverage: boolean;
}

/** Reads a (validated) revision's or pod autoscaler's annotations. */
export function readScalingSpec(
  annotations: Annotations,
  containerConcurrency: number,
  config: AutoscalerConfig,
): ScalingSpec {
  const metric = find(annotations, 'metric')?.text ?? 'concurrency';
  const wanted = numberOf(annotations, 'target');
  const utilization = numberOf(annotations, 'targetUtilization');
  const stableWindowMs = durationOf(annotations, 'window') ?? config.stableWindowMs;
  const panicPercentage = numberOf(annotations, 'panicWindow') ?? config.panicWindowPercentage;
  let fraction = utilization === undefined ? config.targetUtilization : utilization / 100;
  let total: number;
  if (metric === 'rps') total = wanted ?? config.rpsTarget;
  else {
    total = containerConcurrency > 0 ? containerConcurrency : config.concurrencyTarget;
    if (wanted !== undefined)
      total = containerConcurrency > 0 ? Math.min(wanted, containerConcurrency) : wanted;
  }
  // A pod of concurrency 1 cannot be 70 % busy: either it has a request or not.
  if (!(fraction > 0)) fraction = 1;
  const aggregation = find(annotations, 'metricAggregation')?.text ?? config.metricAggregation;
  return {
    class: find(annotations, 'class')?.text ?? config.podAutoscalerClass,
    metric,
    total,
    target: Math.max(0.01, total * fraction),
    stableWindowMs,
    panicWindowMs: Math.max(1000, Math.round((stableWindowMs * panicPercentage) / 100 / 1000) * 1000),
    panicThreshold: (numberOf(annotations, 'panicThreshold') ?? config.panicThresholdPercentage) / 100,
    targetBurstCapacity: numberOf(annotations, 'targetBurstCapacity') ?? config.targetBurstCapacity,
    activationScale: numberOf(annotations, 'activationScale') ?? 1,
    minScale: numberOf(annotations, 'minScale') ?? config.minScale,
    maxScale: numberOf(annotations, 'maxScale') ?? config.maxScale,
    initialScale: numberOf(annotations, 'initialScale') ?? config.initialScale,
    scaleDownDelayMs: durationOf(annotations, 'scaleDownDelay') ?? config.scaleDownDelayMs,
    maxScaleUpRate: config.maxScaleUpRate,
    maxScaleDownRate: config.maxScaleDownRate,
    enableScaleToZero: config.enableScaleToZero,
    retentionPeriodMs: durationOf(annotations, 'retentionPeriod') ?? config.scaleToZeroPodRetentionPeriodMs,
    gracePeriodMs: config.scaleToZeroGracePeriodMs,
    exponentialAverage: aggregation !== 'linear',
  };
}

/** What of the annotations a HorizontalPodAutoscaler is made of; undefined where its own default is to hold. */
export function readHpaTarget(annotations: Annotations): {
  readonly metric: string;
  readonly target: number | undefined;
  readonly windowMs: number | undefined;
} {
  return {
    metric: find(annotations, 'metric')?.text ?? 'cpu',
    target: numberOf(annotations, 'target'),
    windowMs: durationOf(annotations, 'window'),
  };
}

const hour = 3_600_000;

/** Faults of the scaling annotations at `path` (`spec.template.metadata.annotations`). */
export function validateScalingAnnotations(
  annotations: Annotations,
  config: AutoscalerConfig,
  path: string,
): Issue[] {
  const issues: Issue[] = [];
  const int = (name: Name, low: number, high: number): number | undefined => {
    const found = find(annotations, name);
    if (!found) return undefined;
    if (!/^[+-]?\d+$/.test(found.text)) {
      issues.push(invalidValue(found.text, join(path, found.key)));
      return undefined;
    }
    const value = Number(found.text);
    if (value < low || value > high) issues.push(outOfBounds(value, low, high, join(path, found.key)));
    return value;
  };
  const float = (name: Name, low: number, high: number): void => {
    const found = find(annotations, name);
    if (!found) return;
    const value = found.text.trim() === '' ? NaN : Number(found.text);
    if (!Number.isFinite(value)) issues.push(invalidValue(found.text, join(path, found.key)));
    else if (value < low || value > high) {
      issues.push(outOfBounds(found.text, low, high, join(path, found.key)));
    }
  };
  const span = (name: Name, low: number, high: number, bounds: readonly [string, string]): void => {
    const found = find(annotations, name);
    if (!found) return;
    const ms = parseDuration(found.text);
    if (ms === undefined) issues.push(invalidValue(found.text, join(path, found.key)));
    else if (ms < low || ms > high) {
      issues.push(outOfBounds(found.text, bounds[0], bounds[1], join(path, found.key)));
    } else if (ms % 1000 !== 0) {
      issues.push(
        fault(`${names[name][0]} must be specified with at most second precision`, join(path, found.key)),
      );
    }
  };

  const min = int('minScale', 0, maxInt32);
  const maxLimit = config.maxScaleLimit > 0 ? config.maxScaleLimit : maxInt32;
  const max = int('maxScale', config.maxScaleLimit > 0 ? 1 : 0, maxLimit);
  if (min !== undefined && max !== undefined && max !== 0 && max < min) {
    const key = find(annotations, 'maxScale')?.key ?? '';
    const minKey = find(annotations, 'minScale')?.key ?? '';
    issues.push({
      type: 'Invalid',
      path: [join(path, key), join(path, minKey)].join(', '),
      detail: `max-scale=${max} is less than min-scale=${min}`,
    });
  }
  const initial = int('initialScale', 0, maxInt32);
  if (initial === 0 && !config.allowZeroInitialScale) {
    const { key = '', text = '' } = find(annotations, 'initialScale') ?? {};
    issues.push(fault(`invalid value: ${text}`, join(path, key)));
  }
  int('activationScale', 2, maxInt32);
  float('target', 0.01, Number.MAX_VALUE);
  float('targetUtilization', 1, 100);
  float('panicWindow', 1, 100);
  float('panicThreshold', 110, 1000);
  burstCapacity(annotations, path, issues);
  span('window', 6000, hour, ['6s', '1h0m0s']);
  span('scaleDownDelay', 0, hour, ['0s', '1h0m0s']);
  span('retentionPeriod', 0, hour, ['0s', '1h0m0s']);
  metricAndClass(annotations, config, path, issues);
  return issues;
}

const maxInt32 = 2_147_483_647;

function burstCapacity(annotations: Annotations, path: string, issues: Issue[]): void {
  const found = find(annotations, 'targetBurstCapacity');
  if (!found) return;
  const value = found.text.trim() === '' ? NaN : Number(found.text);
  if (!Number.isFinite(value) || (value < 0 && value !== -1)) {
    issues.push(invalidValue(found.text, join(path, found.key)));
  }
}

function metricAndClass(
  annotations: Annotations,
  config: AutoscalerConfig,
  path: string,
  issues: Issue[],
): void {
  const scalerClass = find(annotations, 'class')?.text ?? config.podAutoscalerClass;
  const metric = find(annotations, 'metric');
  if (scalerClass.endsWith('.knative.dev') && scalerClass !== kpaClass && scalerClass !== hpaClass) {
    issues.push(invalidValue(scalerClass, join(path, autoscalingKey('class'))));
  }
  if (metric && scalerClass === kpaClass && metric.text !== 'concurrency' && metric.text !== 'rps') {
    issues.push(invalidValue(metric.text, join(path, metric.key)));
  }
  const aggregation = find(annotations, 'metricAggregation');
  if (aggregation && !['linear', 'weighted-exponential', 'weightedExponential'].includes(aggregation.text)) {
    issues.push(invalidValue(aggregation.text, join(path, aggregation.key)));
  }
}

/** Scaling annotations belong on the template: on the object itself they would do nothing. */
export function misplacedScalingAnnotations(annotations: Annotations): Issue[] {
  return Object.keys(annotations)
    .filter((key) => key.startsWith(`${autoscalingGroup}/`))
    .map((key) =>
      invalidKey(
        key,
        `metadata.annotations.${key}`,
        'autoscaling annotations must be put under "spec.template.metadata.annotations" to work',
      ),
    );
}
