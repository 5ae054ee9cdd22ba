/**
 * The kinds by which CSI drivers tell what they are and do: CSIDriver, CSINode, VolumeAttachment, CSIStorageCapacity. They
 * are stored and checked for the programs of drivers and for tools; volumes of drivers are mounted by nobody here.
 */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, integerColumn, nameColumn } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { immutable, notNegative, notSupported, oneOf } from './field-issues.ts';
import { dnsSubdomainFault, labelKeyFault } from './names.ts';
import { parseQuantity } from './quantity.ts';
import { selectorIssues } from './selectors.ts';

export type CSIDriver = KubernetesObject<'storage.v1.CSIDriver'>;
export type CSINode = KubernetesObject<'storage.v1.CSINode'>;
export type VolumeAttachment = KubernetesObject<'storage.v1.VolumeAttachment'>;
export type CSIStorageCapacity = KubernetesObject<'storage.v1.CSIStorageCapacity'>;

const group = 'storage.k8s.io';
const booleanColumn = (name: string) => ({ name, type: 'boolean' }) as const;

function driverNameIssues(name: string | undefined, path: string): Issue[] {
  if (!name) return [{ type: 'Required', path, detail: '' }];
  if (name.length > 63) {
    return [{ type: 'TooLong', path, value: name, detail: 'may not be more than 63 bytes' }];
  }
  const fault = dnsSubdomainFault(name.toLowerCase());
  return fault ? [{ type: 'Invalid', path, value: name, detail: fault }] : [];
}

// ---- CSIDriver -------------------------------------------------------------------------------------------------

const minTokenSeconds = 600;
const maxTokenSeconds = 2 ** 32;

function tokenIssues(requests: readonly KubernetesTypes['storage.v1.TokenRequest'][]): Issue[] {
  const seen = new Set<string>();
  return requests.flatMap(({ audience, expirationSeconds }, i): Issue[] => {
    const path = `spec.tokenRequests[${i}]`;
    if (seen.has(audience)) {
      return [{ type: 'Duplicate', path: `${path}.audience`, value: audience, detail: '' }];
    }
    seen.add(audience);
    if (expirationSeconds === undefined) return [];
    const detail =
      expirationSeconds < minTokenSeconds
        ? 'may not specify a duration less than 10 minutes'
        : expirationSeconds > maxTokenSeconds
          ? 'may not specify a duration larger than 2^32 seconds'
          : undefined;
    if (detail === undefined) return [];
    return [{ type: 'Invalid', path: `${path}.expirationSeconds`, value: expirationSeconds, detail }];
  });
}

export const csiDrivers = kubernetesResource('storage.v1.CSIDriver', {
  group,
  plural: 'csidrivers',
  namespaced: false,
  columns: [
    booleanColumn('AttachRequired'),
    booleanColumn('PodInfoOnMount'),
    booleanColumn('StorageCapacity'),
    column('TokenRequests'),
    booleanColumn('RequiresRepublish'),
    column('Modes'),
    ageColumn,
  ],
  cells: (item, now) => [
    item.spec?.attachRequired ?? true,
    item.spec?.podInfoOnMount ?? false,
    item.spec?.storageCapacity ?? false,
    item.spec?.tokenRequests?.map(({ audience }) => audience).join(',') ?? '<unset>',
    item.spec?.requiresRepublish ?? false,
    item.spec?.volumeLifecycleModes?.join(',') || '<none>',
    ageOf(item, now),
  ],
  mutate(item) {
    const spec = (item.spec ??= {});
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    if (!spec.volumeLifecycleModes?.length) spec.volumeLifecycleModes = ['Persistent'];
  },
  issues(item, context) {
    const { spec = {} } = item;
    const modes = ['Persistent', 'Ephemeral'];
    const issues: Issue[] = [
      ...oneOf(spec.fsGroupPolicy, 'spec.fsGroupPolicy', ['File', 'None', 'ReadWriteOnceWithFSType']),
      ...tokenIssues(spec.tokenRequests ?? []),
      ...(spec.volumeLifecycleModes ?? []).flatMap((mode) =>
        modes.includes(mode) ? [] : [notSupported(mode, 'spec.volumeLifecycleModes', modes)],
      ),
    ];
    const period = spec.nodeAllocatableUpdatePeriodSeconds;
    if (period !== undefined && period < 10) {
      const detail = 'must be greater than or equal to 10 seconds';
      const path = 'spec.nodeAllocatableUpdatePeriodSeconds';
      issues.push({ type: 'Invalid', path, value: period, detail });
    }
    const old = oldOf(item, context)?.spec;
    if (!old) return issues;
    if (old.attachRequired !== spec.attachRequired) {
      issues.push(immutable(spec.attachRequired, 'spec.attachedRequired'));
    }
    if (!deepEqual(old.volumeLifecycleModes, spec.volumeLifecycleModes)) {
      issues.push(immutable(spec.volumeLifecycleModes, 'spec.volumeLifecycleModes'));
    }
    return issues;
  },
});

// ---- CSINode ---------------------------------------------------------------------------------------------------

type NodeDriver = KubernetesTypes['storage.v1.CSINodeDriver'];

const maxNodeId = 256;

function nodeDriverIssues(driver: NodeDriver, path: string): Issue[] {
  const { name, nodeID, topologyKeys = [] } = driver;
  const issues = driverNameIssues(name, `${path}.name`);
  if (!nodeID) issues.push({ type: 'Required', path: `${path}.nodeID`, detail: '' });
  else if (nodeID.length > maxNodeId) {
    const detail = `must be ${maxNodeId} characters or less`;
    issues.push({ type: 'Invalid', path: `${path}.nodeID`, value: nodeID, detail });
  }
  issues.push(...notNegative(driver.allocatable?.count, `${path}.allocatable.count`));
  for (const [i, key] of topologyKeys.entries()) {
    if (topologyKeys.indexOf(key) < i) issues.push({ type: 'Duplicate', path, value: key, detail: '' });
    const fault = labelKeyFault(key);
    if (fault) issues.push({ type: 'Invalid', path, value: key, detail: fault });
  }
  return issues;
}

export const csiNodes = kubernetesResource('storage.v1.CSINode', {
  group,
  plural: 'csinodes',
  namespaced: false,
  tracksGeneration: false,
  columns: [integerColumn('Drivers'), ageColumn],
  cells: (item, now) => [item.spec?.drivers?.length ?? 0, ageOf(item, now)],
  issues(item, context) {
    const drivers = item.spec?.drivers ?? [];
    const issues = drivers.flatMap((driver, i) => {
      const path = `spec.drivers[${i}]`;
      const isRepeated = drivers.findIndex(({ name }) => name === driver.name) < i;
      return [
        ...nodeDriverIssues(driver, path),
        ...(isRepeated
          ? [{ type: 'Duplicate', path: `${path}.name`, value: driver.name, detail: '' } as const]
          : []),
      ];
    });
    for (const old of oldOf(item, context)?.spec?.drivers ?? []) {
      const now = drivers.find(({ name }) => name === old.name);
      if (now && !deepEqual(now, old)) issues.push(immutable(now, 'spec.drivers'));
    }
    return issues;
  },
});

// ---- VolumeAttachment ------------------------------------------------------------------------------------------

type AttachmentSource = KubernetesTypes['storage.v1.VolumeAttachmentSource'];
type VolumeError = KubernetesTypes['storage.v1.VolumeError'];

const maxErrorMessage = 1024;
/** Characters of all keys and values together. */
const maxAttachmentMetadata = 256 * 1024;

function volumeErrorIssues(error: VolumeError | undefined, path: string): Issue[] {
  if (!error) return [];
  const issues = notNegative(error.errorCode, `${path}.errorCode`);
  if ((error.message?.length ?? 0) > maxErrorMessage) {
    const detail = `may not be more than ${maxErrorMessage} bytes`;
    issues.push({ type: 'TooLong', path: `${path}.message`, value: '', detail });
  }
  return issues;
}

function attachmentSourceIssues(source: AttachmentSource): Issue[] {
  const path = 'spec.source';
  const { persistentVolumeName, inlineVolumeSpec } = source;
  const detail = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (persistentVolumeName !== undefined && inlineVolumeSpec) return [{ type: 'Forbidden', path, detail }];
  if (inlineVolumeSpec) return [];
  if (persistentVolumeName === undefined) return [{ type: 'Required', path, detail }];
  const at = `${path}.persistentVolumeName`;
  if (persistentVolumeName === '') {
    return [{ type: 'Required', path: at, detail: 'must specify non empty persistentVolumeName' }];
  }
  const fault = dnsSubdomainFault(persistentVolumeName);
  return fault ? [{ type: 'Invalid', path: at, value: persistentVolumeName, detail: fault }] : [];
}

export const volumeAttachments = kubernetesResource('storage.v1.VolumeAttachment', {
  group,
  plural: 'volumeattachments',
  namespaced: false,
  tracksGeneration: false,
  subresources: { status: true },
  columns: [
    { ...column('Attacher'), format: 'name' },
    column('PV'),
    column('Node'),
    booleanColumn('Attached'),
    ageColumn,
  ],
  cells: (item, now) => [
    item.spec?.attacher ?? '',
    item.spec?.source?.persistentVolumeName ?? '',
    item.spec?.nodeName ?? '',
    item.status?.attached ?? false,
    ageOf(item, now),
  ],
  issues(item, context) {
    const { spec, status } = item;
    const issues = [
      ...driverNameIssues(spec?.attacher, 'spec.attacher'),
      ...attachmentSourceIssues(spec?.source ?? {}),
      ...volumeErrorIssues(status?.attachError, 'status.attachError'),
      ...volumeErrorIssues(status?.detachError, 'status.detachError'),
    ];
    const nodeFault = dnsSubdomainFault(spec?.nodeName ?? '');
    if (nodeFault) {
      issues.push({ type: 'Invalid', path: 'spec.nodeName', value: spec?.nodeName, detail: nodeFault });
    }
    const size = Object.entries(status?.attachmentMetadata ?? {}).reduce(
      (sum, [key, value]) => sum + key.length + value.length,
      0,
    );
    if (size > maxAttachmentMetadata) {
      const detail = `may not be more than ${maxAttachmentMetadata} bytes`;
      issues.push({ type: 'TooLong', path: 'status.attachmentMetadata', value: '', detail });
    }
    const old = oldOf(item, context);
    if (old && !deepEqual(old.spec, spec)) issues.push(immutable(spec, 'spec'));
    return issues;
  },
});

// ---- CSIStorageCapacity ----------------------------------------------------------------------------------------

function capacityIssues(size: string | undefined, path: string): Issue[] {
  if (size === undefined || (parseQuantity(size) ?? 0) >= 0) return [];
  return [{ type: 'Invalid', path, value: size, detail: 'must be greater than or equal to 0' }];
}

export const csiStorageCapacities = kubernetesResource('storage.v1.CSIStorageCapacity', {
  group,
  plural: 'csistoragecapacities',
  tracksGeneration: false,
  columns: [nameColumn, column('StorageClassName'), column('Capacity')],
  cells: (item) => [item.metadata.name, item.storageClassName, item.capacity ?? '<unset>'],
  issues(item, context) {
    const fault = dnsSubdomainFault(item.storageClassName ?? '');
    const issues: Issue[] = [
      ...(fault
        ? [
            {
              type: 'Invalid',
              path: 'storageClassName',
              value: item.storageClassName,
              detail: fault,
            } as const,
          ]
        : []),
      ...(item.nodeTopology ? selectorIssues(item.nodeTopology, 'nodeTopology') : []),
      ...capacityIssues(item.capacity, 'capacity'),
      ...capacityIssues(item.maximumVolumeSize, 'maximumVolumeSize'),
    ];
    const old = oldOf(item, context);
    if (!old) return issues;
    for (const member of ['nodeTopology', 'storageClassName'] as const) {
      if (!deepEqual(old[member], item[member])) issues.push(immutable(item[member], member));
    }
    return issues;
  },
});
