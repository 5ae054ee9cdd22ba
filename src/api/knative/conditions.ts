/**
 * Conditions as Knative keeps them (knative.dev/pkg/apis `ConditionSet`): one happy condition that sums up its
 * dependents. Every function returns a new list and touches `lastTransitionTime` only when something changed.
 */
import type { Condition } from '../object.ts';
import { timestamp } from '../object.ts';
import type { Infer, Schema } from '../schema.ts';

/** Schema of `status.conditions`. */
const conditionsSchema = {
  type: 'array',
  description: "Conditions the latest available observations of a resource's current state.",
  items: {
    type: 'object',
    required: ['type', 'status'],
    properties: {
      type: { type: 'string' },
      status: { enum: ['True', 'False', 'Unknown'], type: 'string' },
      severity: { type: 'string' },
      lastTransitionTime: { type: 'string' },
      reason: { type: 'string' },
      message: { type: 'string' },
    },
  },
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
} as const satisfies Schema;

/** Members that every Knative status has. */
export const statusProperties = {
  annotations: { type: 'object', additionalProperties: { type: 'string' } },
  conditions: conditionsSchema,
  observedGeneration: { type: 'integer', format: 'int64' },
} as const satisfies { [name: string]: Schema };

export type ConditionList = Infer<typeof conditionsSchema>;

export interface ConditionSet {
  readonly happy: 'Ready' | 'Succeeded';
  /** Dependents decide the happy condition; others are information only (severity `Info`). */
  readonly dependents: readonly string[];
}

/** What a status says about one condition; `True` needs no reason. */
export interface ConditionValue {
  readonly status: Condition['status'];
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

export const conditionTrue: ConditionValue = { status: 'True' };

export function conditionFalse(reason: string, message = ''): ConditionValue {
  return { status: 'False', reason, message };
}

export function conditionUnknown(reason = '', message = ''): ConditionValue {
  return { status: 'Unknown', reason, message };
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** The status of a condition, `Unknown` when absent. */
export function conditionStatus(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition['status'] {
  return findCondition(conditions, type)?.status ?? 'Unknown';
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return conditionStatus(conditions, type) === 'True';
}

/**
 * The next list of conditions: `values` for the ones that were judged, the previous ones for those that were not, and
 * the happy condition derived, unless the caller judged it itself: the False dependent that changed last, else the
 * Unknown one, else True. `now` is ms since the epoch.
 */
export function nextConditions(
  set: ConditionSet,
  previous: readonly Condition[] | undefined,
  values: { readonly [type: string]: ConditionValue | undefined },
  now: number,
): ConditionList {
  const byType = new Map<string, Condition>();
  for (const condition of previous ?? []) byType.set(condition.type, condition);
  for (const type of set.dependents) if (!byType.has(type)) byType.set(type, { type, status: 'Unknown' });
  for (const [type, value] of Object.entries(values)) {
    if (value) byType.set(type, settle(set, type, value, byType.get(type), now, previous));
  }
  const sum = values[set.happy] ? undefined : sumUp(set, byType);
  if (sum) byType.set(set.happy, settle(set, set.happy, sum, byType.get(set.happy), now, previous));
  return [...byType.values()]
    .map((condition) =>
      condition.lastTransitionTime ? condition : { ...condition, lastTransitionTime: timestamp(now) },
    )
    .sort((a, b) => (a.type < b.type ? -1 : 1));
}

function sumUp(set: ConditionSet, byType: ReadonlyMap<string, Condition>): ConditionValue {
  if (set.dependents.length === 0) return byType.get(set.happy) ?? conditionUnknown();
  const dependents = set.dependents.map((type) => byType.get(type)).filter((c) => c !== undefined);
  const worst = latest(dependents, 'False') ?? latest(dependents, 'Unknown');
  return worst ? { status: worst.status, reason: worst.reason, message: worst.message } : conditionTrue;
}

/** The condition of that status that changed last. */
function latest(conditions: readonly Condition[], status: Condition['status']): Condition | undefined {
  return conditions
    .filter((condition) => condition.status === status)
    .reduce<Condition | undefined>(
      (best, c) => (best && (best.lastTransitionTime ?? '') >= (c.lastTransitionTime ?? '') ? best : c),
      undefined,
    );
}

function settle(
  set: ConditionSet,
  type: string,
  value: ConditionValue,
  old: Condition | undefined,
  now: number,
  previous: readonly Condition[] | undefined,
): Condition {
  const info = type !== set.happy && !set.dependents.includes(type);
  const next: Condition = { type, status: value.status };
  if (info) next.severity = 'Info';
  if (value.reason) next.reason = value.reason;
  if (value.message) next.message = value.message;
  const same =
    old?.status === next.status &&
    (old.reason ?? '') === (next.reason ?? '') &&
    (old.message ?? '') === (next.message ?? '') &&
    findCondition(previous, type) !== undefined;
  next.lastTransitionTime = (same ? old?.lastTransitionTime : undefined) ?? timestamp(now);
  return next;
}
