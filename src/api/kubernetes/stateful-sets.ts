/** The StatefulSet resource. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import { ageColumn, ageOf, column, containerCells } from './cells.ts';
import { kubernetesResource, oldOf, workloadScale, type KubernetesObject } from './define.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { statefulSetIssues } from './workload-validation.ts';

export type StatefulSet = KubernetesObject<'apps.v1.StatefulSet'>;
type Spec = KubernetesTypes['apps.v1.StatefulSetSpec'];

function fillDefaults(spec: Spec): void {
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.podManagementPolicy ??= 'OrderedReady';
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ??= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.partition ??= 0;
  }
  const retention = (spec.persistentVolumeClaimRetentionPolicy ??= {});
  retention.whenDeleted ??= 'Retain';
  retention.whenScaled ??= 'Retain';
  defaultPodTemplate(spec.template);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= 'v1';
    claim.kind ??= 'PersistentVolumeClaim';
    if (claim.spec) claim.spec.volumeMode ??= 'Filesystem';
    claim.status = { phase: 'Pending' };
  }
}

export const statefulSets = kubernetesResource('apps.v1.StatefulSet', {
  group: 'apps',
  plural: 'statefulsets',
  shortNames: ['sts'],
  categories: ['all'],
  subresources: { status: true, scale: workloadScale },
  columns: [column('Ready'), ageColumn, column('Containers', 'wide'), column('Images', 'wide')],
  cells: (set, now) => [
    `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 1}`,
    ageOf(set, now),
    ...containerCells(set.spec?.template.spec),
  ],
  mutate(set, context) {
    if (set.spec) fillDefaults(set.spec);
    if (context.operation === 'CREATE') set.status = { replicas: 0, availableReplicas: 0 };
  },
  issues(set, context) {
    if (context.subresource === 'status') return [];
    return statefulSetIssues(set.spec, oldOf(set, context)?.spec);
  },
});
