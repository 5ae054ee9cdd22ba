/** Resources of the apps group. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import { controllerOf } from '../object.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, containerCells, integerColumn, workloadColumns } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { defaultPodTemplate, type PodTemplateSpec } from './pod-defaults.ts';
import { podTemplateIssues } from './pod-validation.ts';
import {
  formatLabels,
  formatSelector,
  isEmptySelector,
  matchesSelector,
  selectorIssues,
} from './selectors.ts';
import type { LabelSelector } from './selectors.ts';

export type Deployment = KubernetesObject<'apps.v1.Deployment'>;
export type ReplicaSet = KubernetesObject<'apps.v1.ReplicaSet'>;
export type StatefulSet = KubernetesObject<'apps.v1.StatefulSet'>;
export type DaemonSet = KubernetesObject<'apps.v1.DaemonSet'>;
export type ControllerRevision = KubernetesObject<'apps.v1.ControllerRevision'>;
type DeploymentStrategy = KubernetesTypes['apps.v1.DeploymentStrategy'];

const scale = {
  specReplicas: '.spec.replicas',
  statusReplicas: '.status.replicas',
  labelSelector: '.spec.selector',
} as const;

function notNegative(value: number | undefined, path: string): Issue[] {
  if (value === undefined || value >= 0) return [];
  return [{ type: 'Invalid', path, value, detail: 'must be greater than or equal to 0' }];
}

/** Faults of what every workload has: selector and template that fit each other, template that restarts. */
function workloadIssues(
  spec: { selector?: LabelSelector; template?: PodTemplateSpec } | undefined,
  old: { selector?: LabelSelector } | undefined,
): Issue[] {
  if (!spec?.selector) return [{ type: 'Required', path: 'spec.selector', detail: '' }];
  const { selector, template } = spec;
  const issues = selectorIssues(selector, 'spec.selector');
  if (isEmptySelector(selector)) {
    const detail = 'empty selector is invalid for deployment';
    issues.push({ type: 'Invalid', path: 'spec.selector', value: selector, detail });
  }
  const labels = template?.metadata?.labels ?? {};
  if (template && !matchesSelector(selector, labels)) {
    const detail = '`selector` does not match template `labels`';
    issues.push({ type: 'Invalid', path: 'spec.template.metadata.labels', value: labels, detail });
  }
  if (old && !deepEqual(old.selector, selector)) {
    issues.push({ type: 'Invalid', path: 'spec.selector', value: selector, detail: 'field is immutable' });
  }
  issues.push(...podTemplateIssues(template, 'spec.template'));
  const policy = template?.spec?.restartPolicy;
  if (policy === 'OnFailure' || policy === 'Never') {
    const path = 'spec.template.spec.restartPolicy';
    issues.push({ type: 'NotSupported', path, value: policy, detail: 'supported values: "Always"' });
  }
  return issues;
}

/** Whether text or number is a count or a percentage. */
function countFault(value: number | string, path: string): Issue[] {
  if (typeof value === 'number') return notNegative(value, path);
  if (/^\d+%$/.test(value)) return [];
  const detail =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', or '93%', regex used for validation is '[0-9]+%')";
  return [{ type: 'Invalid', path, value, detail }];
}

function strategyIssues(strategy: DeploymentStrategy | undefined): Issue[] {
  const at = 'spec.strategy';
  const type = strategy?.type ?? 'RollingUpdate';
  if (type === 'Recreate') {
    if (!strategy?.rollingUpdate) return [];
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    return [{ type: 'Forbidden', path: `${at}.rollingUpdate`, detail }];
  }
  if (type !== 'RollingUpdate') {
    const detail = 'supported values: "Recreate", "RollingUpdate"';
    return [{ type: 'NotSupported', path: `${at}.type`, value: type, detail }];
  }
  const { maxSurge = 0, maxUnavailable = 0 } = strategy?.rollingUpdate ?? {};
  const path = `${at}.rollingUpdate.maxUnavailable`;
  const issues = [
    ...countFault(maxUnavailable, path),
    ...countFault(maxSurge, `${at}.rollingUpdate.maxSurge`),
  ];
  if (Number.parseInt(String(maxSurge), 10) === 0 && Number.parseInt(String(maxUnavailable), 10) === 0) {
    const detail = 'may not be 0 when `maxSurge` is 0';
    issues.push({ type: 'Invalid', path, value: maxUnavailable, detail });
  }
  if (/^\d{4,}%$|^[2-9]\d\d%$|^1(?!00)\d\d%$/.test(String(maxUnavailable))) {
    issues.push({ type: 'Invalid', path, value: maxUnavailable, detail: 'must not be greater than 100%' });
  }
  return issues;
}

export const deployments = kubernetesResource('apps.v1.Deployment', {
  group: 'apps',
  plural: 'deployments',
  shortNames: ['deploy'],
  categories: ['all'],
  subresources: { status: true, scale },
  columns: [
    column('Ready'),
    integerColumn('Up-to-date'),
    integerColumn('Available'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (deployment, now) => [
    `${deployment.status?.readyReplicas ?? 0}/${deployment.spec?.replicas ?? 1}`,
    deployment.status?.updatedReplicas ?? 0,
    deployment.status?.availableReplicas ?? 0,
    ageOf(deployment, now),
    ...containerCells(deployment.spec?.template.spec),
    formatSelector(deployment.spec?.selector),
  ],
  mutate(deployment) {
    const spec = deployment.spec;
    if (!spec) return;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    const strategy = (spec.strategy ??= {});
    strategy.type ??= 'RollingUpdate';
    if (strategy.type === 'RollingUpdate') {
      strategy.rollingUpdate ??= {};
      strategy.rollingUpdate.maxUnavailable ??= '25%';
      strategy.rollingUpdate.maxSurge ??= '25%';
    }
    defaultPodTemplate(spec.template);
  },
  issues(deployment, context) {
    const spec = deployment.spec;
    const deadline = spec?.progressDeadlineSeconds;
    const issues = [
      ...workloadIssues(spec, oldOf(deployment, context)?.spec),
      ...notNegative(spec?.replicas, 'spec.replicas'),
      ...notNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
      ...notNegative(spec?.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
      ...notNegative(deadline, 'spec.progressDeadlineSeconds'),
      ...strategyIssues(spec?.strategy),
    ];
    if (deadline !== undefined && deadline <= (spec?.minReadySeconds ?? 0)) {
      const detail = 'must be greater than minReadySeconds';
      issues.push({ type: 'Invalid', path: 'spec.progressDeadlineSeconds', value: deadline, detail });
    }
    return issues;
  },
});

export const replicaSets = kubernetesResource('apps.v1.ReplicaSet', {
  group: 'apps',
  plural: 'replicasets',
  shortNames: ['rs'],
  categories: ['all'],
  subresources: { status: true, scale },
  columns: [
    integerColumn('Desired'),
    integerColumn('Current'),
    integerColumn('Ready'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (set, now) => [
    set.spec?.replicas ?? 1,
    set.status?.replicas ?? 0,
    set.status?.readyReplicas ?? 0,
    ageOf(set, now),
    ...containerCells(set.spec?.template?.spec),
    formatSelector(set.spec?.selector),
  ],
  mutate(set, context) {
    if (set.spec) set.spec.replicas ??= 1;
    defaultPodTemplate(set.spec?.template);
    if (context.operation === 'CREATE') set.status = { replicas: 0 };
  },
  issues: (set, context) => [
    ...workloadIssues(set.spec, oldOf(set, context)?.spec),
    ...notNegative(set.spec?.replicas, 'spec.replicas'),
    ...notNegative(set.spec?.minReadySeconds, 'spec.minReadySeconds'),
  ],
});

export const statefulSets = kubernetesResource('apps.v1.StatefulSet', {
  group: 'apps',
  plural: 'statefulsets',
  shortNames: ['sts'],
  categories: ['all'],
  subresources: { status: true, scale },
  columns: [column('Ready'), ageColumn, column('Containers', 'wide'), column('Images', 'wide')],
  cells: (set, now) => [
    `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 1}`,
    ageOf(set, now),
    ...containerCells(set.spec?.template.spec),
  ],
  mutate(set) {
    const spec = set.spec;
    if (!spec) return;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.podManagementPolicy ??= 'OrderedReady';
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ??= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.partition ??= 0;
    }
    defaultPodTemplate(spec.template);
  },
  issues: (set, context) => [
    ...workloadIssues(set.spec, oldOf(set, context)?.spec),
    ...notNegative(set.spec?.replicas, 'spec.replicas'),
  ],
});

export const daemonSets = kubernetesResource('apps.v1.DaemonSet', {
  group: 'apps',
  plural: 'daemonsets',
  shortNames: ['ds'],
  categories: ['all'],
  subresources: { status: true },
  columns: [
    integerColumn('Desired'),
    integerColumn('Current'),
    integerColumn('Ready'),
    integerColumn('Up-to-date'),
    integerColumn('Available'),
    column('Node Selector'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (set, now) => [
    set.status?.desiredNumberScheduled ?? 0,
    set.status?.currentNumberScheduled ?? 0,
    set.status?.numberReady ?? 0,
    set.status?.updatedNumberScheduled ?? 0,
    set.status?.numberAvailable ?? 0,
    formatLabels(set.spec?.template.spec?.nodeSelector),
    ageOf(set, now),
    ...containerCells(set.spec?.template.spec),
    formatSelector(set.spec?.selector),
  ],
  mutate(set) {
    const spec = set.spec;
    if (!spec) return;
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ??= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    defaultPodTemplate(spec.template);
  },
  issues: (set, context) => workloadIssues(set.spec, oldOf(set, context)?.spec),
});

export const controllerRevisions = kubernetesResource('apps.v1.ControllerRevision', {
  group: 'apps',
  plural: 'controllerrevisions',
  tracksGeneration: false,
  columns: [column('Controller'), integerColumn('Revision'), ageColumn],
  cells: (revision, now) => {
    const owner = controllerOf(revision);
    const group = owner?.apiVersion.split('/').at(-2);
    const kind = owner ? `${owner.kind.toLowerCase()}${group ? `.${group}` : ''}/${owner.name}` : '<none>';
    return [kind, revision.revision, ageOf(revision, now)];
  },
});
