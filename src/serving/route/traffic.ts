/** From a Route's traffic to revisions: which exist, which are ready, who gets how much. Pure. */
import {
  conditionFalse,
  conditionStatus,
  conditionTrue,
  conditionUnknown,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { Configuration, Revision, Route, TrafficTarget } from '../../api/serving/index.ts';
import { protocolOf } from '../revision/resources/names.ts';

/** A share of traffic that names its revision. */
export interface RevisionTarget {
  readonly revisionName: string;
  /** 0–100. */
  readonly percent: number;
  readonly tag: string;
  /** Follows a Configuration to its newest ready revision. */
  readonly latestRevision: boolean;
  readonly protocol: 'http1' | 'h2c';
  /** The Configuration that it follows; '' for a named revision. */
  readonly configurationName: string;
}

export interface Traffic {
  /** In the order of the spec. */
  readonly targets: readonly RevisionTarget[];
  /** Tag → what its own host serves; '' is the route itself. Same revisions are summed, 0 % left out. */
  readonly byTag: ReadonlyMap<string, readonly RevisionTarget[]>;
}

export interface TrafficLookup {
  configuration(name: string): Configuration | undefined;
  revision(name: string): Revision | undefined;
}

/** Either the traffic, or what stands in its way, as the AllTrafficAssigned condition says it. */
export type TrafficResult =
  | { readonly traffic: Traffic; readonly problem?: undefined }
  | { readonly traffic?: undefined; readonly problem: ConditionValue };

export const allTrafficAssigned = conditionTrue;

/** The first problem that is final wins over those that time may solve. */
export function resolveTraffic(route: Route, lookup: TrafficLookup): TrafficResult {
  const problems: ConditionValue[] = [];
  const targets: RevisionTarget[] = [];
  for (const target of route.spec?.traffic ?? []) {
    const found = resolveTarget(target, lookup);
    if ('revisionName' in found) targets.push(found);
    else problems.push(found);
  }
  const problem = problems.find(({ status }) => status === 'False') ?? problems[0];
  return problem ? { problem } : { traffic: { targets, byTag: groupByTag(targets) } };
}

function resolveTarget(target: TrafficTarget, lookup: TrafficLookup): RevisionTarget | ConditionValue {
  const { configurationName, tag = '', percent = 0 } = target;
  let name = target.revisionName ?? '';
  if (!name) {
    const configuration = lookup.configuration(configurationName ?? '');
    const quoted = JSON.stringify(configurationName ?? '');
    if (!configuration) {
      return conditionFalse(
        'ConfigurationMissing',
        `Configuration ${quoted} referenced in traffic not found.`,
      );
    }
    const { latestReadyRevisionName, conditions, observedGeneration } = configuration.status ?? {};
    if (!latestReadyRevisionName) {
      const failed =
        observedGeneration === configuration.metadata.generation &&
        conditionStatus(conditions, 'Ready') === 'False';
      return failed
        ? conditionFalse('RevisionMissing', `Configuration ${quoted} does not have any ready Revision.`)
        : conditionUnknown(
            'RevisionMissing',
            `Configuration ${quoted} is waiting for a Revision to become ready.`,
          );
    }
    name = latestReadyRevisionName;
  }
  const quoted = JSON.stringify(name);
  const revision = lookup.revision(name);
  if (!revision || revision.metadata.deletionTimestamp) {
    return conditionFalse('RevisionMissing', `Revision ${quoted} referenced in traffic not found.`);
  }
  const ready = conditionStatus(revision.status?.conditions, 'Ready');
  if (ready === 'False' && !configurationName) {
    return conditionFalse('RevisionMissing', `Revision ${quoted} failed to become ready.`);
  }
  if (ready === 'Unknown' && !configurationName) {
    return conditionUnknown('RevisionMissing', `Revision ${quoted} is not yet ready.`);
  }
  return {
    revisionName: name,
    percent,
    tag,
    latestRevision: target.latestRevision ?? !target.revisionName,
    protocol: protocolOf(revision),
    configurationName: configurationName ?? '',
  };
}

/** Sums targets into what each host serves. */
export function groupByTag(targets: readonly RevisionTarget[]): Map<string, RevisionTarget[]> {
  const byTag = new Map<string, RevisionTarget[]>([['', []]]);
  for (const target of targets) {
    if (target.percent > 0) add(byTag, '', target);
    if (target.tag) add(byTag, target.tag, { ...target, percent: 100 });
  }
  return byTag;
}

function add(byTag: Map<string, RevisionTarget[]>, tag: string, target: RevisionTarget): void {
  const list = byTag.get(tag) ?? [];
  const same = list.findIndex(({ revisionName }) => revisionName === target.revisionName);
  const before = list[same];
  if (before) list[same] = { ...before, percent: before.percent + target.percent };
  else list.push(target);
  byTag.set(tag, list);
}
