/** The decision of the Knative pod autoscaler: how many pods, from measured load (knative/serving pkg/autoscaler/scaling). */
import type { ScalingSpec } from '../../api/autoscaling/annotations.ts';

export interface ScaleInput {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Mean load over the stable window: requests in flight, or requests a second. */
  readonly stableLoad: number;
  /** Mean load over the panic window. */
  readonly panicLoad: number;
  readonly readyPods: number;
  /** Requests that the gateway holds right now. */
  readonly held: number;
  /** Unreachable: no route names the revision; it may drop to its true demand at once and min-scale does not count. */
  readonly reachable: boolean;
  /** Whether the revision has once had all its first pods; until then initial-scale is a floor. */
  readonly initialized: boolean;
  readonly spec: ScalingSpec;
  readonly state: ScaleState;
}

/** What a decision hands to the next one. */
export interface ScaleState {
  /** When load was last over the panic threshold, ms; undefined when calm. */
  readonly panicSince: number | undefined;
  /** The most pods wanted during this panic. */
  readonly panicPeak: number;
  /** Wishes of the last scale-down-delay, oldest first. */
  readonly wishes: readonly { readonly at: number; readonly pods: number }[];
}

export interface ScaleDecision {
  /** Pods to run, within the bounds of the spec. */
  readonly desired: number;
  readonly panic: boolean;
  /** Requests that the ready pods could still take beyond the wanted burst; negative: the gateway should buffer. */
  readonly excessBurstCapacity: number;
  readonly state: ScaleState;
}

/** A scaler that starts over pods that already run panics first, so that it never scales down on missing history. */
export function initialScaleState(readyPods: number, now: number): ScaleState {
  const panicking = readyPods > 1;
  return { panicSince: panicking ? now : undefined, panicPeak: panicking ? readyPods : 0, wishes: [] };
}

/** Pure: the same input gives the same decision. */
export function decideScale(input: ScaleInput): ScaleDecision {
  const { spec, readyPods, panicLoad } = input;
  const base = Math.max(1, readyPods);
  // A held request is demand that the windows may not show yet: it is worth a pod, and activation-scale.
  const wantedStable = Math.max(Math.ceil(input.stableLoad / spec.target), input.held > 0 ? 1 : 0);
  const wantedPanic = Math.ceil(panicLoad / spec.target);
  const highest = Math.ceil(base * spec.maxScaleUpRate);
  const lowest = input.reachable ? Math.floor(base / spec.maxScaleDownRate) : 0;
  const rated = (wanted: number): number => {
    const pods = Math.min(Math.max(wanted, lowest), highest);
    return wanted > 0 ? Math.max(pods, spec.activationScale) : pods;
  };

  const panic = nextPanic(input, wantedPanic / base >= spec.panicThreshold);
  let desired = rated(wantedStable);
  let panicPeak = 0;
  if (panic !== undefined) {
    // In panic pods are only added: a spike must not be answered by removing what it needs next.
    panicPeak = Math.max(input.state.panicPeak, desired, rated(wantedPanic));
    desired = panicPeak;
  }
  const delayed = delayScaleDown(input, desired);
  return {
    desired: bounded(input, delayed.pods),
    panic: panic !== undefined,
    excessBurstCapacity: excessBurstCapacity(input),
    state: { panicSince: panic, panicPeak, wishes: delayed.wishes },
  };
}

/** Panic begins over the threshold and ends one stable window after load was last over it. */
function nextPanic({ now, spec, state }: ScaleInput, overThreshold: boolean): number | undefined {
  if (overThreshold) return now;
  const { panicSince } = state;
  return panicSince !== undefined && now - panicSince <= spec.stableWindowMs ? panicSince : undefined;
}

/** The highest wish of the delay window. */
function delayScaleDown(
  { now, spec, reachable, state }: ScaleInput,
  pods: number,
): { pods: number; wishes: ScaleState['wishes'] } {
  if (spec.scaleDownDelayMs <= 0 || !reachable) return { pods, wishes: [] };
  const recent = state.wishes.filter((wish) => now - wish.at <= spec.scaleDownDelayMs && wish.pods > pods);
  const wishes = [...recent, { at: now, pods }];
  return { pods: Math.max(...wishes.map((wish) => wish.pods)), wishes };
}

/** Applies min, max and initial scale. */
function bounded({ spec, reachable, initialized }: ScaleInput, pods: number): number {
  const bounds = scaleBounds(spec, reachable, initialized);
  let result = Math.max(pods, bounds.min);
  if (bounds.max > 0) result = Math.min(result, bounds.max);
  if (result === 0 && !spec.enableScaleToZero) return 1;
  return result;
}

/** Fewest and most pods (0: no limit) at this point of a revision's life. */
export function scaleBounds(
  spec: ScalingSpec,
  reachable: boolean,
  initialized: boolean,
): { min: number; max: number } {
  const min = reachable ? spec.minScale : 0;
  return { min: initialized ? min : Math.max(min, spec.initialScale), max: spec.maxScale };
}

function excessBurstCapacity({ spec, readyPods, panicLoad }: ScaleInput): number {
  if (spec.targetBurstCapacity === 0) return 0;
  if (spec.targetBurstCapacity < 0) return -1;
  return Math.floor(readyPods * spec.total - spec.targetBurstCapacity - panicLoad);
}

/** How many activators upstream would put before the revision; shown in the ServerlessService for its readers. */
export function activatorCount(spec: ScalingSpec, readyPods: number, activatorCapacity: number): number {
  if (spec.targetBurstCapacity === 0) return 2;
  const burst = Math.max(0, spec.targetBurstCapacity);
  return Math.max(2, Math.ceil((readyPods * spec.total + burst) / activatorCapacity));
}
