/** ConfigMap config-autoscaler: defaults of every revision's scaling; annotations of a revision override them. */
import {
  boolean,
  choice,
  duration,
  integer,
  number,
  readFields,
  text,
  type ConfigData,
  type Values,
} from './fields.ts';

/** A percentage: 70 and 0.7 both mean 70 %, as numbers up to 1 are read as fractions. */
const fraction = (value: number): number => (value > 1 ? value / 100 : value);

export const autoscalerFields = {
  targetPercentage: number(
    'container-concurrency-target-percentage',
    70,
    'How full a pod may be on average, in percent of its target, before another one is added.',
    { min: 0.01, max: 100 },
  ),
  concurrencyTarget: number(
    'container-concurrency-target-default',
    100,
    'Requests in flight that a pod is meant to hold when its revision says nothing.',
    { min: 0.01 },
  ),
  rpsTarget: number(
    'requests-per-second-target-default',
    200,
    'Requests a second that a pod is meant to take when its revision scales on rps and says nothing.',
    { min: 0.01 },
  ),
  targetBurstCapacity: number(
    'target-burst-capacity',
    211,
    'Spare capacity to keep for bursts. 0: none, -1: unlimited. The gateway queues in either case.',
    { min: -1 },
  ),
  stableWindowMs: duration('stable-window', 60_000, 'Time over which load is averaged in calm times.'),
  panicWindowPercentage: number(
    'panic-window-percentage',
    10,
    'The panic window, in percent of the stable window.',
    { min: 1, max: 100 },
  ),
  panicThresholdPercentage: number(
    'panic-threshold-percentage',
    200,
    'Load in percent of what the ready pods are meant to take, from which on the autoscaler panics.',
    { min: 110, max: 1000 },
  ),
  maxScaleUpRate: number('max-scale-up-rate', 1000, 'Most pods to go to, as a multiple of the ready ones.', {
    min: 1.01,
  }),
  maxScaleDownRate: number(
    'max-scale-down-rate',
    2,
    'Fewest pods to go to, as the ready ones divided by this.',
    {
      min: 1.01,
    },
  ),
  enableScaleToZero: boolean(
    'enable-scale-to-zero',
    true,
    'Whether revisions without traffic go to zero pods.',
  ),
  scaleToZeroGracePeriodMs: duration(
    'scale-to-zero-grace-period',
    30_000,
    'Longest time between the decision to go to zero and the removal of the last pod.',
  ),
  scaleToZeroPodRetentionPeriodMs: duration(
    'scale-to-zero-pod-retention-period',
    0,
    'Shortest time that the last pod stays after the decision to go to zero.',
  ),
  podAutoscalerClass: text(
    'pod-autoscaler-class',
    'kpa.autoscaling.knative.dev',
    'Which autoscaler serves revisions that do not choose.',
  ),
  activatorCapacity: number(
    'activator-capacity',
    100,
    'Capacity of one activator; the gateway has no such limit.',
    {
      min: 1,
    },
  ),
  initialScale: integer('initial-scale', 1, 'Pods that must be ready before a new revision is.', { min: 0 }),
  allowZeroInitialScale: boolean('allow-zero-initial-scale', true, 'Whether initial-scale may be 0.'),
  minScale: integer('min-scale', 0, 'Fewest pods of a revision that does not say. 0 allows zero.', {
    min: 0,
  }),
  maxScale: integer('max-scale', 0, 'Most pods of a revision that does not say. 0 means no limit.', {
    min: 0,
  }),
  maxScaleLimit: integer(
    'max-scale-limit',
    0,
    'Highest max-scale that a revision may ask for. 0: no limit.',
    {
      min: 0,
    },
  ),
  scaleDownDelayMs: duration(
    'scale-down-delay',
    0,
    'Time for which load must stay lower before pods are removed.',
  ),
  metricAggregation: choice(
    'metric-aggregation-algorithm',
    ['linear', 'weighted-exponential', 'weightedExponential'],
    'linear',
    'How samples of a window are averaged.',
  ),
} as const;

export type AutoscalerConfig = Values<typeof autoscalerFields> & { readonly targetUtilization: number };

/** Throws when a key or a combination of keys is not acceptable. */
export function readAutoscalerConfig(data: ConfigData): AutoscalerConfig {
  const values = readFields(autoscalerFields, data);
  const window = values.stableWindowMs;
  if (window < 6_000 || window > 3_600_000) {
    throw new Error('stable-window must be between 6s and 1h0m0s');
  }
  if (window % 1000 !== 0) throw new Error('stable-window must be specified with at most second precision');
  if (values.scaleToZeroGracePeriodMs < 6_000)
    throw new Error('scale-to-zero-grace-period must be at least 6s');
  if (values.scaleDownDelayMs % 1000 !== 0) {
    throw new Error('scale-down-delay must be specified with at most second precision');
  }
  if (values.initialScale === 0 && !values.allowZeroInitialScale) {
    throw new Error('initial-scale = 0, must be greater than 0 while allow-zero-initial-scale is false');
  }
  if (values.maxScaleLimit > 0 && (values.maxScale === 0 || values.maxScale > values.maxScaleLimit)) {
    throw new Error(`max-scale = ${values.maxScale}, must be in [1, ${values.maxScaleLimit}] range`);
  }
  if (values.maxScale > 0 && values.minScale > values.maxScale) {
    throw new Error(`min-scale (${values.minScale}) must be less than max-scale (${values.maxScale})`);
  }
  return { ...values, targetUtilization: fraction(values.targetPercentage) };
}
