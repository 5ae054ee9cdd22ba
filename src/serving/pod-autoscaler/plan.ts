/**
 * What to do about a revision's scale, and what its PodAutoscaler says: the decision of load, put into the life of a
 * revision (knative/serving pkg/reconciler/autoscaling/kpa). Pure.
 */
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  findCondition,
  isTrue,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { ScalingSpec } from '../../api/autoscaling/annotations.ts';
import type { Condition } from '../../api/object.ts';
import { scaleBounds } from '../autoscaler/decide.ts';

export const active = conditionTrue;
const noTraffic = conditionFalse('NoTraffic', 'The target is not receiving traffic.');
export const timedOut = conditionFalse('TimedOut', 'The target could not be activated.');
export const queued = conditionUnknown(
  'Queued',
  'Requests to the target are being buffered as resources are provisioned.',
);

/** Beyond a revision's progress deadline: how long its pods may take before their scale goes back to zero, ms. */
export const activationGraceMs = 30_000;

export interface PlanInput {
  readonly now: number;
  /** Pods that load asks for, within bounds. */
  readonly desired: number;
  /** Pods that the Deployment asks for; undefined while there is none. */
  readonly replicas: number | undefined;
  readonly ready: number;
  readonly reachable: boolean;
  readonly spec: ScalingSpec;
  readonly conditions: readonly Condition[] | undefined;
  /** Since when this process has watched: before that nothing is known about load. */
  readonly since: number;
  readonly progressDeadlineMs: number;
}

export interface Plan {
  /** Pods to run; what `status.desiredScale` shows. */
  readonly want: number;
  /**
   * - `none`: the Deployment has it right, or is not there.
   * - `scale`: write `want`.
   * - `retire`: go to zero: take the pods out of the gateway first.
   */
  readonly action: 'none' | 'scale' | 'retire';
  readonly Active: ConditionValue;
  /** Stays true once true. */
  readonly initialized: boolean;
  /** Whether anything may change without an event, so that the next tick must look again. */
  readonly settled: boolean;
}

export function planScale(input: PlanInput): Plan {
  const { spec, reachable, ready, replicas } = input;
  const wasInitialized = isTrue(input.conditions, 'ScaleTargetInitialized');
  const { min } = scaleBounds(spec, reachable, wasInitialized);
  const minReady = wasInitialized ? Math.max(1, min) : min;
  const initialized = wasInitialized || ready >= minReady;
  const zero = input.desired === 0 ? planZero(input, minReady) : undefined;
  const want = zero ? zero.want : input.desired;
  const Active = zero?.Active ?? activity(input, want, minReady);
  const differs = replicas !== undefined && replicas !== want;
  const action = !differs ? 'none' : want === 0 && ready > 0 ? 'retire' : 'scale';
  return { want, action, Active, initialized, settled: want === 0 && !differs && Active.status === 'False' };
}

function activity({ conditions, ready }: PlanInput, want: number, minReady: number): ConditionValue {
  if (minReady === 0 && ready === 0 && !isTrue(conditions, 'ScaleTargetInitialized')) return noTraffic;
  if (ready >= minReady && ready > 0) return active;
  return want > 0 ? queued : noTraffic;
}

/** Load asks for nothing: whether that may be followed already. */
function planZero(input: PlanInput, minReady: number): { want: number; Active: ConditionValue } {
  const { now, replicas, ready, spec, conditions, since } = input;
  if (replicas === undefined)
    return { want: Math.max(1, spec.initialScale), Active: minReady === 0 ? noTraffic : queued };
  if (replicas === 0 && ready === 0) {
    const before = findCondition(conditions, 'Active');
    return { want: 0, Active: before?.reason === timedOut.reason ? timedOut : noTraffic };
  }
  const condition = findCondition(conditions, 'Active');
  const changed = Math.max(Date.parse(condition?.lastTransitionTime ?? '') || since, since);
  const held = now - changed;
  if (condition?.status === 'True') {
    if (held < spec.stableWindowMs) return { want: 1, Active: ready > 0 ? active : queued };
    return { want: spec.retentionPeriodMs > 0 ? 1 : 0, Active: noTraffic };
  }
  if (condition?.status === 'False') {
    return { want: held < spec.retentionPeriodMs ? 1 : 0, Active: { ...noTraffic } };
  }
  // Activating: its pods get until the deadline, even if the requests that asked for them have given up.
  if (ready > 0) return { want: Math.max(1, replicas), Active: active };
  return held > input.progressDeadlineMs + activationGraceMs
    ? { want: 0, Active: timedOut }
    : { want: Math.max(1, replicas), Active: queued };
}
