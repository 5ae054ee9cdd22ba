/** Faults of the workloads of the apps group (kubernetes pkg/apis/apps/validation). */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { atMostAll, countOrPercent, immutable, notNegative, notSupported, numberOf } from './field-issues.ts';
import type { PodTemplateSpec } from './pod-defaults.ts';
import { podTemplateIssues } from './pod-validation.ts';
import { isEmptySelector, matchesSelector, selectorIssues, type LabelSelector } from './selectors.ts';

type DeploymentStrategy = KubernetesTypes['apps.v1.DeploymentStrategy'];
type StatefulSetSpec = KubernetesTypes['apps.v1.StatefulSetSpec'];
type DaemonSetStrategy = KubernetesTypes['apps.v1.DaemonSetUpdateStrategy'];

/** Faults of what every workload has: selector and template that fit each other, template that restarts. */
export function workloadIssues(
  spec: { selector?: LabelSelector; template?: PodTemplateSpec } | undefined,
  old: { selector?: LabelSelector } | undefined,
  kind: string,
): Issue[] {
  if (!spec?.selector) return [{ type: 'Required', path: 'spec.selector', detail: '' }];
  const { selector, template } = spec;
  const issues = selectorIssues(selector, 'spec.selector');
  if (isEmptySelector(selector)) {
    const detail = `empty selector is invalid for ${kind}`;
    issues.push({ type: 'Invalid', path: 'spec.selector', value: selector, detail });
  }
  const labels = template?.metadata?.labels ?? {};
  if (template && !matchesSelector(selector, labels)) {
    const detail = '`selector` does not match template `labels`';
    issues.push({ type: 'Invalid', path: 'spec.template.metadata.labels', value: labels, detail });
  }
  if (old && !deepEqual(old.selector, selector)) issues.push(immutable(selector, 'spec.selector'));
  issues.push(...alwaysRestartIssues(template));
  return issues;
}

/** Faults of a template whose pods run for ever. */
export function alwaysRestartIssues(template: PodTemplateSpec | undefined): Issue[] {
  const issues = podTemplateIssues(template, 'spec.template');
  const policy = template?.spec?.restartPolicy;
  if (policy === 'OnFailure' || policy === 'Never') {
    issues.push(notSupported(policy, 'spec.template.spec.restartPolicy', ['Always']));
  }
  if (template?.spec?.activeDeadlineSeconds !== undefined) {
    const path = 'spec.template.spec.activeDeadlineSeconds';
    const detail = 'activeDeadlineSeconds in ReplicaSet is not Supported';
    issues.push({ type: 'Forbidden', path, detail });
  }
  return issues;
}

export function deploymentStrategyIssues(strategy: DeploymentStrategy | undefined): Issue[] {
  const at = 'spec.strategy';
  const type = strategy?.type ?? 'RollingUpdate';
  if (type === 'Recreate') {
    if (!strategy?.rollingUpdate) return [];
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    return [{ type: 'Forbidden', path: `${at}.rollingUpdate`, detail }];
  }
  if (type !== 'RollingUpdate') return [notSupported(type, `${at}.type`, ['Recreate', 'RollingUpdate'])];
  const { maxSurge = 0, maxUnavailable = 0 } = strategy?.rollingUpdate ?? {};
  const path = `${at}.rollingUpdate.maxUnavailable`;
  const issues = [
    ...countOrPercent(maxUnavailable, path),
    ...countOrPercent(maxSurge, `${at}.rollingUpdate.maxSurge`),
  ];
  if (numberOf(maxSurge) === 0 && numberOf(maxUnavailable) === 0) {
    const detail = 'may not be 0 when `maxSurge` is 0';
    issues.push({ type: 'Invalid', path, value: maxUnavailable, detail });
  }
  return [...issues, ...atMostAll(maxUnavailable, path)];
}

export function daemonSetStrategyIssues(strategy: DaemonSetStrategy | undefined): Issue[] {
  const at = 'spec.updateStrategy';
  const type = strategy?.type ?? 'RollingUpdate';
  if (type === 'OnDelete') return [];
  if (type !== 'RollingUpdate') {
    return [
      {
        type: 'NotSupported',
        path: `${at}.type`,
        value: type,
        detail: 'supported values: "OnDelete", "RollingUpdate"',
      },
    ];
  }
  const rolling = strategy?.rollingUpdate;
  if (!rolling) return [{ type: 'Required', path: `${at}.rollingUpdate`, detail: '' }];
  const { maxSurge = 0, maxUnavailable = 1 } = rolling;
  const unavailable = `${at}.rollingUpdate.maxUnavailable`;
  const surge = `${at}.rollingUpdate.maxSurge`;
  const issues = [
    ...countOrPercent(maxUnavailable, unavailable),
    ...atMostAll(maxUnavailable, unavailable),
    ...countOrPercent(maxSurge, surge),
    ...atMostAll(maxSurge, surge),
  ];
  const both = numberOf(maxUnavailable) !== 0 && numberOf(maxSurge) !== 0;
  if (both) {
    const detail = 'may not be set when maxUnavailable is non-zero';
    issues.push({ type: 'Invalid', path: surge, value: maxSurge, detail });
  } else if (numberOf(maxUnavailable) === 0 && numberOf(maxSurge) === 0) {
    const detail = 'cannot be 0 when maxSurge is 0';
    issues.push({ type: 'Required', path: unavailable, detail });
  }
  return issues;
}

/** Members of a StatefulSet's spec that may change. */
const changeable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const;

const fixedWords = `updates to statefulset spec for fields other than ${changeable
  .slice(0, -1)
  .map((name) => `'${name}'`)
  .join(', ')} and '${changeable.at(-1)}' are forbidden`;

export function statefulSetIssues(
  spec: StatefulSetSpec | undefined,
  old: StatefulSetSpec | undefined,
): Issue[] {
  // A changed selector is among the changes that are told together.
  const issues = workloadIssues(spec && withClaims(spec), undefined, 'statefulset');
  if (!spec) return issues;
  const policy = spec.podManagementPolicy;
  if (policy !== undefined && policy !== 'OrderedReady' && policy !== 'Parallel') {
    const detail = "must be 'OrderedReady' or 'Parallel'";
    issues.push({ type: 'Invalid', path: 'spec.podManagementPolicy', value: policy, detail });
  }
  issues.push(
    ...updateStrategyIssues(spec.updateStrategy),
    ...retentionIssues(spec.persistentVolumeClaimRetentionPolicy),
    ...notNegative(spec.replicas, 'spec.replicas'),
    ...notNegative(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...notNegative(spec.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
    ...notNegative(spec.ordinals?.start, 'spec.ordinals.start'),
  );
  if (old) {
    const rest = (from: StatefulSetSpec): unknown =>
      Object.fromEntries(
        Object.entries(from).filter(([name]) => !(changeable as readonly string[]).includes(name)),
      );
    if (!deepEqual(rest(spec), rest(old))) {
      issues.push({ type: 'Forbidden', path: 'spec', detail: fixedWords });
    }
  }
  return issues;
}

/** With the volumes that its pods will have: each claim template makes one. */
function withClaims(spec: StatefulSetSpec): StatefulSetSpec {
  const pod = spec.template?.spec;
  if (!pod) return spec;
  const volumes = pod.volumes ?? [];
  const claimed = (spec.volumeClaimTemplates ?? [])
    .map(({ metadata }) => ({ name: metadata?.name ?? '', emptyDir: {} }))
    .filter(({ name }) => !volumes.some((volume) => volume.name === name));
  return { ...spec, template: { ...spec.template, spec: { ...pod, volumes: [...volumes, ...claimed] } } };
}

function updateStrategyIssues(strategy: StatefulSetSpec['updateStrategy']): Issue[] {
  const at = 'spec.updateStrategy';
  const { type, rollingUpdate } = strategy ?? {};
  if (type === 'OnDelete') {
    if (!rollingUpdate) return [];
    const detail = "only allowed for updateStrategy 'RollingUpdate'";
    return [{ type: 'Invalid', path: `${at}.rollingUpdate`, value: rollingUpdate, detail }];
  }
  if (type !== 'RollingUpdate') {
    if (!type) return [{ type: 'Required', path: at, detail: '' }];
    return [{ type: 'Invalid', path: at, value: strategy, detail: "must be 'RollingUpdate' or 'OnDelete'" }];
  }
  const path = `${at}.rollingUpdate.maxUnavailable`;
  const unavailable = rollingUpdate?.maxUnavailable;
  const issues = [
    ...notNegative(rollingUpdate?.partition, `${at}.rollingUpdate.partition`),
    ...countOrPercent(unavailable, path),
    ...atMostAll(unavailable, path),
  ];
  if (unavailable !== undefined && numberOf(unavailable) === 0) {
    issues.push({ type: 'Invalid', path, value: unavailable, detail: 'cannot be 0' });
  }
  return issues;
}

function retentionIssues(policy: StatefulSetSpec['persistentVolumeClaimRetentionPolicy']): Issue[] {
  const at = 'spec.persistentVolumeClaimRetentionPolicy';
  return (['whenScaled', 'whenDeleted'] as const)
    .filter((member) => !['Retain', 'Delete'].includes(policy?.[member] ?? 'Retain'))
    .map((member) => notSupported(policy?.[member], `${at}.${member}`, ['Delete', 'Retain']));
}
