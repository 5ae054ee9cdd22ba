/** The conditions of a Service, one function a thing that can be said (knative/serving pkg/apis/serving/v1). */
import { deepEqual } from '../../base/json.ts';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  findCondition,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { Condition, KubeObject } from '../../api/object.ts';
import type { Configuration, Route, TrafficTarget } from '../../api/serving/index.ts';

export const serviceConditions: ConditionSet = {
  happy: 'Ready',
  dependents: ['ConfigurationsReady', 'RoutesReady'],
};

export function childNotOwned(kind: 'Configuration' | 'Route', name: string): ConditionValue {
  return conditionFalse(
    'NotOwned',
    `There is an existing ${kind} ${JSON.stringify(name)} that we do not own.`,
  );
}

export function childOutOfDate(kind: 'Configuration' | 'Route'): ConditionValue {
  return conditionUnknown(
    'OutOfDate',
    `The ${kind} is still working to reflect the latest desired specification.`,
  );
}

export const trafficNotMigrated = conditionUnknown(
  'TrafficNotMigrated',
  'Traffic is not yet migrated to the latest revision.',
);

export function revisionNameTaken(name: string): ConditionValue {
  return conditionFalse(
    'RevisionNameTaken',
    `The revision name ${JSON.stringify(name)} is taken by a conflicting Revision, so traffic will not be migrated`,
  );
}

interface Observed extends KubeObject {
  status?: { observedGeneration?: number; conditions?: readonly Condition[] };
}

/** True once the child's status speaks of its newest spec. */
export function isObserved({ metadata, status }: Observed): boolean {
  return metadata.generation !== undefined && status?.observedGeneration === metadata.generation;
}

/** The Ready condition of a child, as the parent repeats it. */
export function readyOf({ status }: Observed): ConditionValue {
  const ready = findCondition(status?.conditions, 'Ready');
  if (!ready) return conditionUnknown();
  return ready.status === 'True'
    ? conditionTrue
    : { status: ready.status, reason: ready.reason, message: ready.message };
}

/** True when the route carries the traffic that the newest ready revision asks for. */
export function isTrafficMigrated(configuration: Configuration, route: Route): boolean {
  const latest = configuration.status?.latestReadyRevisionName ?? '';
  const want = (route.spec?.traffic ?? []).map((target) =>
    comparable(
      target.configurationName === configuration.metadata.name ? { ...target, revisionName: latest } : target,
    ),
  );
  return deepEqual(want, (route.status?.traffic ?? []).map(comparable));
}

function comparable({ tag = '', revisionName = '', percent = 0, latestRevision = false }: TrafficTarget) {
  return { tag, revisionName, percent, latestRevision };
}
