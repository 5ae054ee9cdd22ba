/** The workloads that keep a number of equal pods, and the record of a workload's revisions. */
import { deepEqual } from '../../base/json.ts';
import { controllerOf } from '../object.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, containerCells, integerColumn, workloadColumns } from './cells.ts';
import { kubernetesResource, oldOf, workloadScale as scale, type KubernetesObject } from './define.ts';
import { immutable, notNegative } from './field-issues.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { formatLabels, formatSelector, matchesLabels } from './selectors.ts';
import { alwaysRestartIssues, deploymentStrategyIssues, workloadIssues } from './workload-validation.ts';

export { daemonSets, type DaemonSet } from './daemon-sets.ts';
export { statefulSets, type StatefulSet } from './stateful-sets.ts';

export type Deployment = KubernetesObject<'apps.v1.Deployment'>;
export type ReplicaSet = KubernetesObject<'apps.v1.ReplicaSet'>;
export type ReplicationController = KubernetesObject<'core.v1.ReplicationController'>;
export type ControllerRevision = KubernetesObject<'apps.v1.ControllerRevision'>;

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
    if (context.subresource === 'status') return [];
    const spec = deployment.spec;
    const deadline = spec?.progressDeadlineSeconds;
    const issues = [
      ...workloadIssues(spec, oldOf(deployment, context)?.spec, 'deployment'),
      ...notNegative(spec?.replicas, 'spec.replicas'),
      ...notNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
      ...notNegative(spec?.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
      ...notNegative(deadline, 'spec.progressDeadlineSeconds'),
      ...deploymentStrategyIssues(spec?.strategy),
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
  issues(set, context) {
    if (context.subresource === 'status') return [];
    return [
      ...workloadIssues(set.spec, oldOf(set, context)?.spec, 'deployment'),
      ...notNegative(set.spec?.replicas, 'spec.replicas'),
      ...notNegative(set.spec?.minReadySeconds, 'spec.minReadySeconds'),
    ];
  },
});

function controllerIssues({ spec }: ReplicationController): Issue[] {
  const { selector = {}, template } = spec ?? {};
  const issues: Issue[] = [];
  if (Object.keys(selector).length === 0)
    issues.push({ type: 'Required', path: 'spec.selector', detail: '' });
  const labels = template?.metadata?.labels ?? {};
  if (template && !matchesLabels(selector, labels)) {
    const detail = '`selector` does not match template `labels`';
    issues.push({ type: 'Invalid', path: 'spec.template.metadata.labels', value: labels, detail });
  }
  if (!template) issues.push({ type: 'Required', path: 'spec.template', detail: '' });
  else issues.push(...alwaysRestartIssues(template));
  return issues;
}

export const replicationControllers = kubernetesResource('core.v1.ReplicationController', {
  plural: 'replicationcontrollers',
  orphansByDefault: {},
  shortNames: ['rc'],
  categories: ['all'],
  subresources: { status: true, scale },
  columns: [
    integerColumn('Desired'),
    integerColumn('Current'),
    integerColumn('Ready'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (item, now) => [
    item.spec?.replicas ?? 1,
    item.status?.replicas ?? 0,
    item.status?.readyReplicas ?? 0,
    ageOf(item, now),
    ...containerCells(item.spec?.template?.spec),
    formatLabels(item.spec?.selector),
  ],
  mutate(item, context) {
    const { spec, metadata } = item;
    if (context.operation === 'CREATE') item.status = { replicas: 0 };
    if (!spec) return;
    spec.replicas ??= 1;
    const labels = spec.template?.metadata?.labels;
    if (labels && Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
    defaultPodTemplate(spec.template);
  },
  issues(item, context) {
    if (context.subresource === 'status') return [];
    return [
      ...controllerIssues(item),
      ...notNegative(item.spec?.replicas, 'spec.replicas'),
      ...notNegative(item.spec?.minReadySeconds, 'spec.minReadySeconds'),
    ];
  },
});

export const controllerRevisions = kubernetesResource('apps.v1.ControllerRevision', {
  group: 'apps',
  plural: 'controllerrevisions',
  tracksGeneration: false,
  columns: [column('Controller'), integerColumn('Revision'), ageColumn],
  issues(revision, context) {
    const old = oldOf(revision, context);
    const issues = notNegative(revision.revision, 'revision');
    if (revision.data === undefined) {
      issues.push({ type: 'Required', path: 'data', detail: 'data is mandatory' });
    }
    if (old && !deepEqual(old.data, revision.data)) issues.push(immutable(revision.data, 'data'));
    return issues;
  },
  cells: (revision, now) => {
    const owner = controllerOf(revision);
    const group = owner?.apiVersion.split('/').at(-2);
    const kind = owner ? `${owner.kind.toLowerCase()}${group ? `.${group}` : ''}/${owner.name}` : '<none>';
    return [kind, revision.revision, ageOf(revision, now)];
  },
});
