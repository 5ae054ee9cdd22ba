/** Volumes and claims to them. */
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { parseQuantity } from './quantity.ts';

export type PersistentVolume = KubernetesObject<'core.v1.PersistentVolume'>;
export type PersistentVolumeClaim = KubernetesObject<'core.v1.PersistentVolumeClaim'>;

const accessModes: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function modes(list: readonly string[] | undefined): string {
  return (list ?? []).map((mode) => accessModes[mode] ?? mode).join(',');
}

function accessModeIssues(list: readonly string[] | undefined): Issue[] {
  if (!list?.length) {
    return [{ type: 'Required', path: 'spec.accessModes', detail: 'at least 1 access mode is required' }];
  }
  const supported = Object.keys(accessModes).map((mode) => JSON.stringify(mode));
  return list
    .filter((mode) => !(mode in accessModes))
    .map((value) => ({
      type: 'NotSupported',
      path: 'spec.accessModes',
      value,
      detail: `supported values: ${supported.join(', ')}`,
    }));
}

export const persistentVolumes = kubernetesResource('core.v1.PersistentVolume', {
  plural: 'persistentvolumes',
  shortNames: ['pv'],
  namespaced: false,
  subresources: { status: true },
  tracksGeneration: false,
  columns: [
    column('Capacity'),
    column('Access Modes'),
    column('Reclaim Policy'),
    column('Status'),
    column('Claim'),
    column('StorageClass'),
    column('Reason'),
    ageColumn,
    column('VolumeMode', 'wide'),
  ],
  cells: ({ spec, status, ...volume }, now) => [
    spec?.capacity?.['storage'] ?? '',
    modes(spec?.accessModes),
    spec?.persistentVolumeReclaimPolicy ?? '',
    volume.metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''),
    spec?.claimRef ? `${spec.claimRef.namespace}/${spec.claimRef.name}` : '',
    spec?.storageClassName ?? '',
    status?.reason ?? '',
    ageOf(volume, now),
    spec?.volumeMode ?? '<unset>',
  ],
  mutate(volume, context) {
    if (volume.spec) {
      volume.spec.persistentVolumeReclaimPolicy ??= 'Retain';
      volume.spec.volumeMode ??= 'Filesystem';
    }
    if (context.operation === 'CREATE') volume.status = { phase: 'Pending' };
  },
  issues: (volume) => accessModeIssues(volume.spec?.accessModes),
});

export const persistentVolumeClaims = kubernetesResource('core.v1.PersistentVolumeClaim', {
  plural: 'persistentvolumeclaims',
  shortNames: ['pvc'],
  subresources: { status: true },
  tracksGeneration: false,
  columns: [
    column('Status'),
    column('Volume'),
    column('Capacity'),
    column('Access Modes'),
    column('StorageClass'),
    ageColumn,
    column('VolumeMode', 'wide'),
  ],
  cells: ({ spec, status, ...claim }, now) => [
    claim.metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''),
    spec?.volumeName ?? '',
    spec?.volumeName ? (status?.capacity?.['storage'] ?? '') : '',
    spec?.volumeName ? modes(status?.accessModes) : '',
    spec?.storageClassName ?? '',
    ageOf(claim, now),
    spec?.volumeMode ?? '<unset>',
  ],
  mutate(claim, context) {
    if (claim.spec) claim.spec.volumeMode ??= 'Filesystem';
    if (context.operation === 'CREATE') claim.status = { phase: 'Pending' };
  },
  issues(claim) {
    const issues = accessModeIssues(claim.spec?.accessModes);
    const size = claim.spec?.resources?.requests?.['storage'];
    const path = 'spec.resources[storage]';
    if (size === undefined) issues.push({ type: 'Required', path, detail: '' });
    else if ((parseQuantity(size) ?? 0) <= 0) {
      issues.push({ type: 'Invalid', path, value: size, detail: 'must be greater than zero' });
    }
    return issues;
  },
});
