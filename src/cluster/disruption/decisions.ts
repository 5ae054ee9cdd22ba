/** What a disruption budget's status says (kubernetes pkg/controller/disruption). Pure. */
import { deepEqual } from '../../base/json.ts';
import { timestamp } from '../../api/object.ts';
import { isPodReady, type Pod } from '../../api/pods.ts';
import { disruptionAllowed, type PodDisruptionBudget } from '../../api/kubernetes/disruption-budgets.ts';

export type BudgetStatus = NonNullable<PodDisruptionBudget['status']>;

/** An evicted pod that is not seen to go within this time will not go, ms. */
export const evictionTimeoutMs = 2 * 60_000;

/** The sizes of the sets that the budget's pods belong to, or why they cannot be told. */
export type Expected = { readonly count: number } | { readonly failure: string };

/** Whether a budget speaks in parts of a whole, so that the size of the whole has to be known. */
export function needsScale({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string';
}

/** `3` or `50%` of `total`, rounded up. */
function scaled(value: number | string, total: number): number {
  return typeof value === 'number' ? value : Math.ceil((Number.parseInt(value, 10) * total) / 100);
}

function desired({ spec }: PodDisruptionBudget, expected: number): number {
  if (spec?.maxUnavailable !== undefined)
    return Math.max(0, expected - scaled(spec.maxUnavailable, expected));
  return spec?.minAvailable === undefined ? 0 : scaled(spec.minAvailable, expected);
}

/** Evictions granted and not yet seen, and those that came to nothing. */
export function pendingEvictions(
  { status }: PodDisruptionBudget,
  pods: readonly Pod[],
  now: number,
): { pending: { [pod: string]: string }; expired: Pod[]; checkInMs: number | undefined } {
  const pending: { [pod: string]: string } = {};
  const expired: Pod[] = [];
  let checkInMs: number | undefined;
  for (const pod of pods) {
    const at = status?.disruptedPods?.[pod.metadata.name];
    if (at === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const left = Date.parse(at) + evictionTimeoutMs - now;
    if (left <= 0) {
      expired.push(pod);
      continue;
    }
    pending[pod.metadata.name] = at;
    checkInMs = Math.min(checkInMs ?? left, left);
  }
  return { pending, expired, checkInMs };
}

/** The status of a budget over its pods. A failure allows nothing and leaves the numbers as they were. */
export function decideBudgetStatus(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  expected: Expected,
  now: number,
): BudgetStatus {
  const { generation = 0 } = budget.metadata;
  const before: BudgetStatus = budget.status ?? {};
  if ('failure' in expected) {
    const condition = conditionOf(before, 'SyncFailed', expected.failure, generation, now);
    return { ...before, disruptionsAllowed: 0, conditions: [condition] };
  }
  const { pending } = pendingEvictions(budget, pods, now);
  const desiredHealthy = desired(budget, expected.count);
  const currentHealthy = pods.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined &&
      pending[pod.metadata.name] === undefined &&
      isPodReady(pod),
  ).length;
  // A budget over no pods allows nothing, so that it is safe the moment its first pods appear.
  const disruptionsAllowed = expected.count > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  const reason = disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods';
  return {
    observedGeneration: generation,
    currentHealthy,
    desiredHealthy,
    expectedPods: expected.count,
    disruptionsAllowed,
    ...(Object.keys(pending).length > 0 ? { disruptedPods: pending } : {}),
    conditions: [conditionOf(before, reason, '', generation, now)],
  };
}

type Condition = NonNullable<BudgetStatus['conditions']>[number];

function conditionOf(
  before: BudgetStatus,
  reason: string,
  message: string,
  generation: number,
  now: number,
): Condition {
  const status = reason === 'SufficientPods' ? 'True' : 'False';
  const old = before.conditions?.find(({ type }) => type === disruptionAllowed);
  const next: Condition = {
    type: disruptionAllowed,
    status,
    reason,
    message,
    observedGeneration: generation,
    lastTransitionTime: old?.status === status ? old.lastTransitionTime : timestamp(now),
  };
  return deepEqual(old, next) && old ? old : next;
}
