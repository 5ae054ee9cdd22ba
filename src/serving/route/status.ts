/** What a Route's status says. Pure. */
import {
  conditionFalse,
  conditionUnknown,
  findCondition,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { Ingress } from '../../api/networking/index.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import type { Route, TrafficTarget } from '../../api/serving/index.ts';
import { hostsOf, urlOf } from './hosts.ts';
import type { Traffic } from './traffic.ts';

export const routeConditions: ConditionSet = {
  happy: 'Ready',
  dependents: ['AllTrafficAssigned', 'CertificateProvisioned', 'IngressReady'],
};

export const tlsNotEnabled: ConditionValue = {
  status: 'True',
  reason: 'TLSNotEnabled',
  message: 'external-domain-tls is not enabled',
};

const ingressNotConfigured = conditionUnknown('IngressNotConfigured', 'Ingress has not yet been reconciled.');

export const rolloutInProgress = conditionUnknown(
  'RolloutInProgress',
  'A gradual rollout of the latest revision(s) is in progress.',
);

export function placeholderNotOwned(name: string): ConditionValue {
  return conditionFalse(
    'NotOwned',
    `There is an existing placeholder Service ${JSON.stringify(name)} that we do not own.`,
  );
}

export function ingressNotOwned(name: string): ConditionValue {
  return conditionFalse(
    'NotOwned',
    `There is an existing Ingress ${JSON.stringify(name)} that we do not own.`,
  );
}

/** What the ingress says of itself, once it speaks of its newest spec. */
export function ingressSays({ metadata, status }: Ingress): ConditionValue {
  if (metadata.generation === undefined || status?.observedGeneration !== metadata.generation)
    return ingressNotConfigured;
  const ready = findCondition(status.conditions, 'Ready');
  if (!ready) return ingressNotConfigured;
  if (ready.status === 'True') return { status: 'True' };
  return { status: ready.status, reason: ready.reason, message: ready.message };
}

/** `status.traffic`: every target of the spec with its revision, and the URL of its tag. */
export function trafficStatus(
  route: Route,
  traffic: Traffic,
  config: ServingConfig,
  localTags: ReadonlySet<string>,
): TrafficTarget[] {
  return traffic.targets.map(({ tag, revisionName, percent, latestRevision }) => ({
    ...(tag ? { tag, url: urlOf(hostsOf(route, tag, config, localTags), config) } : {}),
    revisionName,
    latestRevision,
    percent,
  }));
}
