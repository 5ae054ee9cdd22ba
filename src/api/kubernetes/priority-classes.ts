/** PriorityClass: names for how important pods are. */
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, integerColumn } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';

export type PriorityClass = KubernetesObject<'scheduling.v1.PriorityClass'>;

/** What people may set; above it are the system's own classes. */
const highestUserPriority = 1_000_000_000;
const systemPrefix = 'system-';

const systemClasses = [
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
] as const;

/** The two classes that every cluster has from its start. */
export function systemPriorityClasses(): PriorityClass[] {
  return systemClasses.map(({ name, value, description }) => ({
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name },
    value,
    description,
  }));
}

/** Why a class with the system's prefix is not one of the system's. */
function systemClassFault(item: PriorityClass): string | undefined {
  const { name } = item.metadata;
  const known = systemClasses.find((one) => one.name === name);
  if (!known) return `${name} is not a known system priority class`;
  if (known.value !== item.value) return `value of ${name} PriorityClass must be ${known.value}`;
  return item.globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

export const priorityClasses = kubernetesResource('scheduling.v1.PriorityClass', {
  group: 'scheduling.k8s.io',
  plural: 'priorityclasses',
  shortNames: ['pc'],
  namespaced: false,
  columns: [
    integerColumn('Value'),
    { name: 'Global-Default', type: 'boolean' },
    ageColumn,
    column('PreemptionPolicy', 'wide'),
  ],
  cells: (item, now) => [
    item.value ?? 0,
    item.globalDefault ?? false,
    ageOf(item, now),
    item.preemptionPolicy ?? '',
  ],
  mutate(item) {
    item.value ??= 0;
    item.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  issues(item, context) {
    const issues: Issue[] = [];
    const { name } = item.metadata;
    if (name?.startsWith(systemPrefix)) {
      const fault = systemClassFault(item);
      if (fault) {
        const detail = `priority class names with '${systemPrefix}' prefix are reserved for system use only. error: ${fault}`;
        issues.push({ type: 'Forbidden', path: 'metadata.name', detail });
      }
    } else if ((item.value ?? 0) > highestUserPriority) {
      const detail = `maximum allowed value of a user defined priority is ${highestUserPriority}`;
      issues.push({ type: 'Forbidden', path: 'value', detail });
    }
    const policy = item.preemptionPolicy;
    if (policy !== undefined && !['PreemptLowerPriority', 'Never'].includes(policy)) {
      const detail = 'supported values: "Never", "PreemptLowerPriority"';
      issues.push({ type: 'NotSupported', path: 'preemptionPolicy', value: policy, detail });
    }
    const old = oldOf(item, context);
    if (old && old.value !== item.value) {
      issues.push({ type: 'Forbidden', path: 'value', detail: 'may not be changed in an update.' });
    }
    if (old && old.preemptionPolicy !== policy) {
      issues.push({ type: 'Invalid', path: 'preemptionPolicy', value: policy, detail: 'field is immutable' });
    }
    return issues;
  },
});
