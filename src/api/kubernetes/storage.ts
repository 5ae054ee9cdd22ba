/** Storage: PersistentVolumes, the claims to them, and the classes that volumes are made by. */
import { deepEqual } from '../../base/json.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { ageColumn, ageOf, column, nameColumn } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { compareQuantities, parseQuantity } from './quantity.ts';
import { selectorIssues } from './selectors.ts';

export type PersistentVolume = KubernetesObject<'core.v1.PersistentVolume'>;
export type PersistentVolumeClaim = KubernetesObject<'core.v1.PersistentVolumeClaim'>;
export type StorageClass = KubernetesObject<'storage.v1.StorageClass'>;

/** Keeps a claim while a pod uses it, and a volume while a claim is bound to it. */
export const claimProtection = 'kubernetes.io/pvc-protection';
export const volumeProtection = 'kubernetes.io/pv-protection';
export const defaultClassAnnotation = 'storageclass.kubernetes.io/is-default-class';
/** Volumes of such a class are made by hand. */
export const noProvisioner = 'kubernetes.io/no-provisioner';
/** The provisioner of this machine, and the annotation by which volumes tell who made them. */
export const hostPathProvisioner = 'knapsack.dev/host-path';
export const provisionedByAnnotation = 'pv.kubernetes.io/provisioned-by';
const betaClassAnnotation = 'volume.beta.kubernetes.io/storage-class';

const accessModes: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function modes(list: readonly string[] | undefined): string {
  return (list ?? []).map((mode) => accessModes[mode] ?? mode).join(',');
}

function supported(values: readonly string[]): string {
  return `supported values: ${values.map((value) => JSON.stringify(value)).join(', ')}`;
}

function accessModeIssues(list: readonly string[] | undefined): Issue[] {
  const path = 'spec.accessModes';
  if (!list?.length) return [{ type: 'Required', path, detail: 'at least 1 access mode is required' }];
  const detail = supported(Object.keys(accessModes));
  const issues: Issue[] = list
    .filter((mode) => !(mode in accessModes))
    .map((value) => ({ type: 'NotSupported', path, value, detail }));
  if (list.includes('ReadWriteOncePod') && list.length > 1) {
    issues.push({
      type: 'Forbidden',
      path,
      detail: 'may not use ReadWriteOncePod with other access modes',
    });
  }
  return issues;
}

function oneOf(path: string, value: string | undefined, values: readonly string[]): Issue[] {
  if (value === undefined || values.includes(value)) return [];
  return [{ type: 'NotSupported', path, value, detail: supported(values) }];
}

const volumeModes = ['Block', 'Filesystem'];

function sizeIssues(size: string | undefined, path: string): Issue[] {
  if (size === undefined) return [{ type: 'Required', path, detail: '' }];
  if ((parseQuantity(size) ?? 0) > 0) return [];
  return [{ type: 'Invalid', path, value: size, detail: 'must be greater than zero' }];
}

/** The class that a volume or claim names; '' for none. */
export function classNameOf(object: PersistentVolume | PersistentVolumeClaim): string {
  return object.metadata.annotations?.[betaClassAnnotation] ?? object.spec?.storageClassName ?? '';
}

/**
 * The volume is a directory of its own name among those that the provisioner of this machine makes. Where they are is not
 * asked of the volume: a data directory may have moved since.
 */
export function isProvisionedHere({ metadata, spec }: PersistentVolume): boolean {
  return (
    metadata.annotations?.[provisionedByAnnotation] === hostPathProvisioner &&
    spec?.hostPath?.path.split('/').at(-1) === metadata.name
  );
}

// ---- PersistentVolume ------------------------------------------------------------------------------------------

/** Members of a PersistentVolumeSpec that are no source of it. */
const volumeMembers = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

function sourceOf(volume: PersistentVolume): [string, unknown][] {
  return Object.entries(volume.spec ?? {}).filter(([member]) => !volumeMembers.has(member));
}

function volumeIssues(volume: PersistentVolume, context: AdmissionContext): Issue[] {
  const { spec } = volume;
  const issues = accessModeIssues(spec?.accessModes);
  const capacity = spec?.capacity ?? {};
  if (Object.keys(capacity).length === 0) {
    issues.push({ type: 'Required', path: 'spec.capacity', detail: '' });
  } else issues.push(...sizeIssues(capacity['storage'], 'spec.capacity[storage]'));
  const policies = ['Delete', 'Recycle', 'Retain'];
  issues.push(
    ...oneOf('spec.persistentVolumeReclaimPolicy', spec?.persistentVolumeReclaimPolicy, policies),
    ...oneOf('spec.volumeMode', spec?.volumeMode, volumeModes),
  );
  const sources = sourceOf(volume);
  if (sources.length === 0) {
    issues.push({ type: 'Required', path: 'spec', detail: 'must specify a volume type' });
  }
  for (const [name] of sources.slice(1)) {
    issues.push({
      type: 'Forbidden',
      path: `spec.${name}`,
      detail: 'may not specify more than 1 volume type',
    });
  }
  issues.push(
    ...pathIssues(spec?.hostPath?.path, 'spec.hostPath'),
    ...pathIssues(spec?.local?.path, 'spec.local'),
  );
  if (spec?.local && !spec.nodeAffinity?.required) {
    issues.push({
      type: 'Required',
      path: 'spec.nodeAffinity',
      detail: 'Local volume requires node affinity',
    });
  }
  const old = oldOf(volume, context);
  if (old && !deepEqual(sourceOf(old), sources)) {
    issues.push({
      type: 'Forbidden',
      path: 'spec.persistentvolumesource',
      detail: 'spec.persistentvolumesource is immutable after creation',
    });
  }
  if (old && old.spec?.volumeMode !== spec?.volumeMode) {
    issues.push({
      type: 'Invalid',
      path: 'spec.volumeMode',
      value: spec?.volumeMode,
      detail: 'field is immutable',
    });
  }
  return issues;
}

/** A path of the machine: there, and without a way back up. `undefined` when the volume is of another type. */
function pathIssues(path: string | undefined, at: string): Issue[] {
  if (path === undefined) return [];
  if (path === '') return [{ type: 'Required', path: `${at}.path`, detail: '' }];
  if (!path.split('/').includes('..')) return [];
  return [{ type: 'Invalid', path: `${at}.path`, value: path, detail: "must not contain '..'" }];
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
    column('VolumeAttributesClass'),
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
    classNameOf({ ...volume, ...(spec ? { spec } : {}) }),
    spec?.volumeAttributesClassName ?? '<unset>',
    status?.reason ?? '',
    ageOf(volume, now),
    spec?.volumeMode ?? '<unset>',
  ],
  mutate(volume, context) {
    if (volume.spec) {
      volume.spec.persistentVolumeReclaimPolicy ??= 'Retain';
      volume.spec.volumeMode ??= 'Filesystem';
      if (volume.spec.hostPath) volume.spec.hostPath.type ??= '';
    }
    if (context.operation !== 'CREATE') return;
    volume.status = { phase: 'Pending' };
    protect(volume, volumeProtection);
  },
  issues: volumeIssues,
});

function protect(object: PersistentVolume | PersistentVolumeClaim, finalizer: string): void {
  const finalizers = object.metadata.finalizers ?? [];
  if (!finalizers.includes(finalizer)) object.metadata.finalizers = [...finalizers, finalizer];
}

// ---- PersistentVolumeClaim -------------------------------------------------------------------------------------

const claimSize = 'spec.resources[storage]';

function claimIssues(claim: PersistentVolumeClaim, context: AdmissionContext): Issue[] {
  if (context.subresource === 'status') return [];
  const { spec } = claim;
  const issues = accessModeIssues(spec?.accessModes);
  issues.push(
    ...sizeIssues(spec?.resources?.requests?.['storage'], claimSize),
    ...oneOf('spec.volumeMode', spec?.volumeMode, volumeModes),
    ...(spec?.selector ? selectorIssues(spec.selector, 'spec.selector') : []),
  );
  const old = oldOf(claim, context);
  return old ? [...issues, ...changeIssues(claim, old, context)] : issues;
}

/** What of a claim may change: where it is bound to, once; and its size, upwards. */
function changeIssues(
  claim: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
  context: AdmissionContext,
): Issue[] {
  const fixed = ({ spec }: PersistentVolumeClaim): object => ({
    ...spec,
    resources: { ...spec?.resources, requests: {} },
    volumeName: old.spec?.volumeName ? spec?.volumeName : undefined,
    // A claim that was made before there was a default class gets it later.
    storageClassName: old.spec?.storageClassName === undefined ? undefined : spec?.storageClassName,
  });
  const changed = !deepEqual(fixed(claim), fixed(old));
  const order = compareQuantities(requestOf(claim), requestOf(old));
  const bound = old.status?.phase === 'Bound';
  if (changed || (order !== 0 && !bound)) {
    return [
      {
        type: 'Forbidden',
        path: 'spec',
        detail:
          'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
      },
    ];
  }
  if (order < 0 && compareQuantities(requestOf(claim), old.status?.capacity?.['storage'] ?? '0') < 0) {
    const detail = 'field can not be less than status.capacity';
    return [{ type: 'Forbidden', path: 'spec.resources.requests.storage', detail }];
  }
  if (order <= 0 || mayGrow(claim, context)) return [];
  const detail =
    'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize';
  return [{ type: 'Forbidden', path: 'spec.resources.requests.storage', detail }];
}

function requestOf(claim: PersistentVolumeClaim): string {
  return claim.spec?.resources?.requests?.['storage'] ?? '0';
}

function mayGrow(claim: PersistentVolumeClaim, context: AdmissionContext): boolean {
  const name = classNameOf(claim);
  for (const one of context.stored?.(storageClasses) ?? []) {
    if (one.metadata.name === name) return one.allowVolumeExpansion ?? false;
  }
  return false;
}

/** The newest of the classes marked as default (upstream admission plugin DefaultStorageClass). */
export function defaultClass(classes: Iterable<StorageClass>): StorageClass | undefined {
  let found: StorageClass | undefined;
  for (const one of classes) {
    if (one.metadata.annotations?.[defaultClassAnnotation] !== 'true') continue;
    if (!found || rank(one) > rank(found)) found = one;
  }
  return found;
}

function rank({ metadata }: StorageClass): string {
  return `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
}

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
    column('VolumeAttributesClass'),
    ageColumn,
    column('VolumeMode', 'wide'),
  ],
  cells: ({ spec, status, ...claim }, now) => [
    claim.metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''),
    spec?.volumeName ?? '',
    spec?.volumeName ? (status?.capacity?.['storage'] ?? '') : '',
    spec?.volumeName ? modes(status?.accessModes) : '',
    classNameOf({ ...claim, ...(spec ? { spec } : {}) }),
    spec?.volumeAttributesClassName ?? '<unset>',
    ageOf(claim, now),
    spec?.volumeMode ?? '<unset>',
  ],
  mutate(claim, context) {
    if (claim.spec) claim.spec.volumeMode ??= 'Filesystem';
    if (context.operation !== 'CREATE') return;
    claim.status = { phase: 'Pending' };
    protect(claim, claimProtection);
    const named = claim.spec?.storageClassName ?? claim.metadata.annotations?.[betaClassAnnotation];
    if (named !== undefined || !claim.spec || !context.stored) return;
    const name = defaultClass(context.stored(storageClasses))?.metadata.name;
    if (name !== undefined) claim.spec.storageClassName = name;
  },
  issues: claimIssues,
});

// ---- StorageClass ----------------------------------------------------------------------------------------------

export const storageClasses = kubernetesResource('storage.v1.StorageClass', {
  group: 'storage.k8s.io',
  plural: 'storageclasses',
  shortNames: ['sc'],
  namespaced: false,
  tracksGeneration: false,
  columns: [
    nameColumn,
    column('Provisioner'),
    column('ReclaimPolicy'),
    column('VolumeBindingMode'),
    { name: 'AllowVolumeExpansion', type: 'boolean' },
    ageColumn,
  ],
  cells: (item, now) => [
    item.metadata.annotations?.[defaultClassAnnotation] === 'true'
      ? `${item.metadata.name} (default)`
      : item.metadata.name,
    item.provisioner,
    item.reclaimPolicy ?? 'Delete',
    item.volumeBindingMode ?? 'Immediate',
    item.allowVolumeExpansion ?? false,
    ageOf(item, now),
  ],
  mutate(item) {
    item.reclaimPolicy ??= 'Delete';
    item.volumeBindingMode ??= 'Immediate';
  },
  issues(item, context) {
    const issues: Issue[] = [];
    if (!item.provisioner) issues.push({ type: 'Required', path: 'provisioner', detail: '' });
    issues.push(
      ...oneOf('reclaimPolicy', item.reclaimPolicy, ['Delete', 'Retain']),
      ...oneOf('volumeBindingMode', item.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']),
    );
    const old = oldOf(item, context);
    if (!old) return issues;
    for (const member of ['parameters', 'provisioner', 'reclaimPolicy'] as const) {
      if (!deepEqual(old[member] ?? {}, item[member] ?? {})) {
        issues.push({ type: 'Forbidden', path: member, detail: `updates to ${member} are forbidden.` });
      }
    }
    if (old.volumeBindingMode !== item.volumeBindingMode) {
      const value = item.volumeBindingMode;
      issues.push({ type: 'Invalid', path: 'volumeBindingMode', value, detail: 'field is immutable' });
    }
    return issues;
  },
});
