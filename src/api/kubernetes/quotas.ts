/** ResourceQuota: how much of what a namespace may hold. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { exact, one, parseExact } from './exact-quantity.ts';
import { labelKeyFault } from './names.ts';

export type ResourceQuota = KubernetesObject<'core.v1.ResourceQuota'>;
export type ScopeRequirement = KubernetesTypes['core.v1.ScopedResourceSelectorRequirement'];

/** What a quota of compute resources counts. */
const computeResources = ['cpu', 'memory', 'ephemeral-storage'];
/** Counted in whole pieces, by the names that they had before `count/…`. */
const countedResources = [
  'pods',
  'services',
  'services.nodeports',
  'services.loadbalancers',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
];
const standardResources = new Set([
  ...computeResources,
  ...computeResources.map((name) => `requests.${name}`),
  ...computeResources.map((name) => `limits.${name}`),
  'requests.storage',
  ...countedResources,
]);
const hugePages = /^(requests\.)?hugepages-.+$/;

const podScopes = ['Terminating', 'NotTerminating', 'BestEffort', 'NotBestEffort'];
const scopes = [...podScopes, 'PriorityClass', 'CrossNamespacePodAffinity', 'VolumeAttributesClass'];
/** Scopes that a pod can never satisfy together. */
const conflicts = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const;

/** All conditions on what counts; a plain scope means that the scope exists. */
export function scopeRequirements(quota: ResourceQuota): ScopeRequirement[] {
  const plain = (quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' }));
  return [...plain, ...(quota.spec?.scopeSelector?.matchExpressions ?? [])];
}

function resourceNameIssues(name: string, path: string): Issue[] {
  const fault = labelKeyFault(name);
  if (fault) return [{ type: 'Invalid', path, value: name, detail: fault }];
  if (name.includes('/') || standardResources.has(name) || hugePages.test(name)) return [];
  return [{ type: 'Invalid', path, value: name, detail: 'must be a standard resource for quota' }];
}

function hardIssues(hard: { readonly [name: string]: string }, path: string): Issue[] {
  return Object.entries(hard).flatMap(([name, value]): Issue[] => {
    const at = `${path}[${name}]`;
    const issues = resourceNameIssues(name, at);
    const amount = parseExact(value);
    if (!amount) {
      const detail =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
      return [...issues, { type: 'Invalid', path: at, value, detail }];
    }
    if (amount.nano < 0n) {
      issues.push({ type: 'Invalid', path: at, value, detail: 'must be greater than or equal to 0' });
    }
    if (countedResources.includes(name) && exact(value).nano % one !== 0n) {
      issues.push({ type: 'Invalid', path: at, value, detail: 'must be an integer' });
    }
    return issues;
  });
}

function scopeIssues(quota: ResourceQuota): Issue[] {
  const issues: Issue[] = [];
  const path = 'spec.scopes';
  const given = quota.spec?.scopes ?? [];
  for (const scope of given) {
    if (!scopes.includes(scope))
      issues.push({ type: 'Invalid', path, value: given, detail: 'unsupported scope' });
    else if (!fits(scope, quota)) {
      const detail = 'unsupported scope applied to resource';
      issues.push({ type: 'Invalid', path, value: given, detail });
    }
  }
  for (const pair of conflicts) {
    if (!pair.every((scope) => given.includes(scope))) continue;
    issues.push({ type: 'Invalid', path, value: given, detail: 'conflicting scopes' });
  }
  const at = 'spec.scopeSelector.matchExpressions';
  for (const requirement of quota.spec?.scopeSelector?.matchExpressions ?? []) {
    issues.push(...requirementIssues(requirement, at));
  }
  return issues;
}

/** Scopes other than PriorityClass count pods and what they ask for, nothing else. */
function fits(scope: string, quota: ResourceQuota): boolean {
  const names = Object.keys(quota.spec?.hard ?? {});
  const isPods = (name: string): boolean => name === 'pods' || name === 'count/pods';
  if (scope === 'BestEffort') return names.every(isPods);
  if (!podScopes.includes(scope)) return true;
  return names.every(
    (name) =>
      isPods(name) || (standardResources.has(name) && !countedResources.includes(name)) || name.includes('/'),
  );
}

function requirementIssues({ scopeName, operator, values = [] }: ScopeRequirement, path: string): Issue[] {
  const issues: Issue[] = [];
  if (!scopes.includes(scopeName)) {
    issues.push({
      type: 'Invalid',
      path: `${path}.scopeName`,
      value: scopeName,
      detail: 'unsupported scope',
    });
  }
  if (podScopes.includes(scopeName) && operator !== 'Exists') {
    const detail =
      "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    issues.push({ type: 'Invalid', path: `${path}.operator`, value: operator, detail });
  }
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) {
      const detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
      issues.push({ type: 'Required', path: `${path}.values`, detail });
    }
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0) {
      const detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
      issues.push({ type: 'Invalid', path: `${path}.values`, value: values, detail });
    }
  } else {
    const detail = 'not a valid selector operator';
    issues.push({ type: 'Invalid', path: `${path}.operator`, value: operator, detail });
  }
  return issues;
}

function usage(quota: ResourceQuota, wanted: (name: string) => boolean): string {
  const hard = quota.status?.hard ?? {};
  return Object.keys(hard)
    .filter(wanted)
    .sort()
    .map((name) => `${name}: ${quota.status?.used?.[name] ?? '0'}/${hard[name]}`)
    .join(', ');
}

export const resourceQuotas = kubernetesResource('core.v1.ResourceQuota', {
  plural: 'resourcequotas',
  shortNames: ['quota'],
  subresources: { status: true },
  tracksGeneration: false,
  columns: [column('Request'), column('Limit'), ageColumn],
  cells: (quota, now) => [
    usage(quota, (name) => !name.startsWith('limits')),
    usage(quota, (name) => name.startsWith('limits')),
    ageOf(quota, now),
  ],
  issues(quota, context) {
    const issues = [...hardIssues(quota.spec?.hard ?? {}, 'spec.hard'), ...scopeIssues(quota)];
    const old = oldOf(quota, context);
    if (!old) return issues;
    // What counts may not change under the numbers that have been counted.
    for (const member of ['scopes', 'scopeSelector'] as const) {
      if (deepEqual(old.spec?.[member], quota.spec?.[member])) continue;
      const value = quota.spec?.[member];
      issues.push({ type: 'Invalid', path: `spec.${member}`, value, detail: 'field is immutable' });
    }
    return issues;
  },
});
