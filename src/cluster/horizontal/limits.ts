/**
 * From what the metrics ask for to what is done: stabilization over recent recommendations, and how fast the count may
 * change (kubernetes pkg/controller/podautoscaler/horizontal.go). Pure.
 */
import type { HpaBehavior, ScalingRules } from '../../api/kubernetes/autoscaling-defaults.ts';

const defaultScaleDownWindowMs = 5 * 60_000;

/** A number of replicas once thought right. */
export interface Recommendation {
  readonly at: number;
  readonly replicas: number;
}

/** A change that was made; `change` is positive in either direction. */
export interface ScaleEvent {
  readonly at: number;
  readonly change: number;
}

export interface History {
  readonly recommendations: readonly Recommendation[];
  readonly ups: readonly ScaleEvent[];
  readonly downs: readonly ScaleEvent[];
}

export interface LimitInput {
  readonly current: number;
  /** What the metrics ask for. */
  readonly wanted: number;
  readonly min: number;
  readonly max: number;
  /** With its defaults filled in; undefined: none was given. */
  readonly behavior: HpaBehavior | undefined;
  readonly history: History;
  readonly now: number;
}

export interface Verdict {
  readonly replicas: number;
  /** Reason and message of the condition AbleToScale. */
  readonly able: { readonly reason: string; readonly message: string };
  /** The condition ScalingLimited. */
  readonly limited: { readonly status: boolean; readonly reason: string; readonly message: string };
}

const stabilized = {
  ScaleUpStabilized:
    'recent recommendations were lower than current one, applying the lowest recent recommendation',
  ScaleDownStabilized:
    'recent recommendations were higher than current one, applying the highest recent recommendation',
} as const;

const limits = {
  TooFewReplicas: 'the desired replica count is less than the minimum replica count',
  TooManyReplicas: 'the desired replica count is more than the maximum replica count',
  ScaleUpLimit: 'the desired replica count is increasing faster than the maximum scale rate',
  ScaleDownLimit: 'the desired replica count is decreasing faster than the maximum scale rate',
  DesiredWithinRange: 'the desired count is within the acceptable range',
} as const;

type LimitReason = keyof typeof limits;

export function limitReplicas(input: LimitInput): Verdict {
  const { replicas: calm, reason } = input.behavior
    ? stabilizeBothWays(input, input.behavior)
    : stabilizeDown(input);
  const [replicas, why] = input.behavior ? limitRate(input, input.behavior, calm) : limitPlain(input, calm);
  return {
    replicas,
    able:
      calm === input.wanted
        ? { reason: 'ReadyForNewScale', message: 'recommended size matches current size' }
        : { reason, message: stabilized[reason] },
    limited: { status: replicas !== calm, reason: why, message: limits[why] },
  };
}

/** How long recommendations count at all, ms. */
export function historyMs(behavior: HpaBehavior | undefined): number {
  return Math.max(upWindowMs(behavior), downWindowMs(behavior), longestPeriodMs(behavior));
}

function upWindowMs(behavior: HpaBehavior | undefined): number {
  return (behavior?.scaleUp?.stabilizationWindowSeconds ?? 0) * 1000;
}

function downWindowMs(behavior: HpaBehavior | undefined): number {
  const seconds = behavior?.scaleDown?.stabilizationWindowSeconds;
  return seconds === undefined ? defaultScaleDownWindowMs : seconds * 1000;
}

function longestPeriodMs(behavior: HpaBehavior | undefined): number {
  const policies = [...(behavior?.scaleUp?.policies ?? []), ...(behavior?.scaleDown?.policies ?? [])];
  return Math.max(0, ...policies.map((policy) => policy.periodSeconds * 1000));
}

interface Calm {
  readonly replicas: number;
  readonly reason: keyof typeof stabilized;
}

/** Without a behavior: the highest of five minutes. */
function stabilizeDown({ wanted, history, now }: LimitInput): Calm {
  const recent = history.recommendations.filter(({ at }) => at > now - defaultScaleDownWindowMs);
  return {
    replicas: Math.max(wanted, ...recent.map(({ replicas }) => replicas)),
    reason: 'ScaleDownStabilized',
  };
}

function stabilizeBothWays({ current, wanted, history, now }: LimitInput, behavior: HpaBehavior): Calm {
  const within = (windowMs: number): number[] =>
    history.recommendations.filter(({ at }) => at > now - windowMs).map(({ replicas }) => replicas);
  const lowest = Math.min(wanted, ...within(upWindowMs(behavior)));
  const highest = Math.max(wanted, ...within(downWindowMs(behavior)));
  return {
    replicas: Math.min(Math.max(current, lowest), highest),
    reason: wanted >= current ? 'ScaleUpStabilized' : 'ScaleDownStabilized',
  };
}

/** Without a behavior: at most double, or four. */
function limitPlain({ current, min, max }: LimitInput, wanted: number): [number, LimitReason] {
  if (wanted < min) return [min, 'TooFewReplicas'];
  const fastest = Math.max(2 * current, 4);
  if (wanted > Math.min(fastest, max)) {
    return max > fastest ? [fastest, 'ScaleUpLimit'] : [max, 'TooManyReplicas'];
  }
  return [wanted, 'DesiredWithinRange'];
}

function limitRate(input: LimitInput, behavior: HpaBehavior, wanted: number): [number, LimitReason] {
  const { current, min, max } = input;
  if (wanted > current) {
    const fastest = Math.max(current, upLimit(input, behavior.scaleUp ?? {}));
    if (wanted > Math.min(fastest, max)) {
      return max > fastest ? [fastest, 'ScaleUpLimit'] : [max, 'TooManyReplicas'];
    }
  } else if (wanted < current) {
    const fastest = Math.min(current, downLimit(input, behavior.scaleDown ?? {}));
    if (wanted < Math.max(fastest, min)) {
      return min < fastest ? [fastest, 'ScaleDownLimit'] : [min, 'TooFewReplicas'];
    }
  }
  return [wanted, 'DesiredWithinRange'];
}

/** What was changed within the last seconds. */
function changed(events: readonly ScaleEvent[], seconds: number, now: number): number {
  return events
    .filter(({ at }) => at > now - seconds * 1000)
    .reduce((total, { change }) => total + change, 0);
}

/** The count at the beginning of a policy's period. */
function periodStart({ current, history, now }: LimitInput, seconds: number): number {
  return current - changed(history.ups, seconds, now) + changed(history.downs, seconds, now);
}

function upLimit(input: LimitInput, { selectPolicy, policies = [] }: ScalingRules): number {
  if (selectPolicy === 'Disabled') return input.current;
  const proposals = policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(input, periodSeconds);
    return type === 'Pods' ? start + value : Math.ceil((start * (100 + value)) / 100);
  });
  return selectPolicy === 'Min' ? Math.min(...proposals) : Math.max(...proposals);
}

function downLimit(input: LimitInput, { selectPolicy, policies = [] }: ScalingRules): number {
  if (selectPolicy === 'Disabled') return input.current;
  const proposals = policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(input, periodSeconds);
    return type === 'Pods' ? start - value : Math.floor((start * (100 - value)) / 100);
  });
  // The policy that allows the least change leaves the most.
  return selectPolicy === 'Min' ? Math.max(...proposals) : Math.min(...proposals);
}
