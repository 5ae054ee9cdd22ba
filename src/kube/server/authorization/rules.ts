/** RBAC rules: what they match, and when some cover others (kubernetes pkg/apis/rbac helpers). Pure. */
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import { isPathAttributes, type Attributes, type ResourceAttributes } from './attributes.ts';

export type PolicyRule = KubernetesTypes['rbac.v1.PolicyRule'];

const all = '*';

/** Whether the rule grants what is asked. */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!holds(rule.verbs, attributes.verb)) return false;
  return isPathAttributes(attributes)
    ? (rule.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, attributes.path))
    : holds(rule.apiGroups, attributes.group) &&
        resourceMatches(rule.resources, attributes) &&
        (!rule.resourceNames?.length || rule.resourceNames.includes(attributes.name));
}

function holds(values: readonly string[] | undefined, wanted: string): boolean {
  return values?.some((value) => value === all || value === wanted) ?? false;
}

function resourceMatches(resources: readonly string[] | undefined, asked: ResourceAttributes): boolean {
  const { resource, subresource } = asked;
  const combined = subresource ? `${resource}/${subresource}` : resource;
  return (
    resources?.some(
      (value) => value === all || value === combined || (subresource !== '' && value === `*/${subresource}`),
    ) ?? false
  );
}

/** A `*` stands for anything at the end of a pattern, and nowhere else. */
function pathMatches(pattern: string, path: string): boolean {
  if (pattern === all || pattern === path) return true;
  return pattern.endsWith(all) && path.startsWith(pattern.replace(/\*+$/, ''));
}

/** The parts of `wanted` that no rule of `held` covers, each with one verb on one thing; empty when all are covered. */
export function uncovered(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakdown).filter((part) => !held.some((rule) => covers(rule, part)));
}

/** How many single permissions some rules make: the product of their members. */
export function permissionCount(rules: readonly PolicyRule[]): number {
  const size = (values: readonly string[] | undefined): number => values?.length ?? 0;
  return rules.reduce(
    (sum, { apiGroups, resources, resourceNames, nonResourceURLs, verbs }) =>
      sum +
      verbs.length *
        (size(apiGroups) * size(resources) * Math.max(1, size(resourceNames)) + size(nonResourceURLs)),
    0,
  );
}

/** Single permissions: a rule grants every combination of its members, which different rules may cover. */
function breakdown(rule: PolicyRule): PolicyRule[] {
  const { apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [], verbs } = rule;
  const onResources = apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      verbs.flatMap((verb) => {
        const single = { apiGroups: [group], resources: [resource], verbs: [verb] };
        return resourceNames.length > 0
          ? resourceNames.map((name) => ({ ...single, resourceNames: [name] }))
          : [single];
      }),
    ),
  );
  const onPaths = nonResourceURLs.flatMap((url) =>
    verbs.map((verb) => ({ nonResourceURLs: [url], verbs: [verb] })),
  );
  return [...onResources, ...onPaths];
}

function covers(held: PolicyRule, part: PolicyRule): boolean {
  const [verb = ''] = part.verbs;
  if (!holds(held.verbs, verb)) return false;
  const [url] = part.nonResourceURLs ?? [];
  if (url !== undefined) return (held.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, url));
  const [group = ''] = part.apiGroups ?? [];
  const [resource = ''] = part.resources ?? [];
  const [name] = part.resourceNames ?? [];
  const namesCovered =
    !held.resourceNames?.length || (name !== undefined && held.resourceNames.includes(name));
  return namesCovered && holds(held.apiGroups, group) && resourceCovers(held.resources ?? [], resource);
}

function resourceCovers(held: readonly string[], wanted: string): boolean {
  const [, subresource] = wanted.split('/');
  return held.some(
    (value) =>
      value === all || value === wanted || (subresource !== undefined && value === `*/${subresource}`),
  );
}

/** Joins rules that differ in their verbs alone, as messages show them. */
export function compactRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const out = new Map<string, PolicyRule>();
  for (const { verbs, ...rest } of rules) {
    const key = JSON.stringify([rest.apiGroups, rest.resources, rest.resourceNames, rest.nonResourceURLs]);
    const joined = out.get(key);
    if (joined) joined.verbs = [...new Set([...joined.verbs, ...verbs])];
    else out.set(key, { ...rest, verbs: [...verbs] });
  }
  return [...out.values()];
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`. */
export function describeRule(rule: PolicyRule): string {
  const list = (name: string, values: readonly string[] | undefined): string[] =>
    values?.length ? [`${name}:[${values.map((value) => JSON.stringify(value)).join(' ')}]`] : [];
  const members = [
    ...list('APIGroups', rule.apiGroups),
    ...list('Resources', rule.resources),
    ...list('NonResourceURLs', rule.nonResourceURLs),
    ...list('ResourceNames', rule.resourceNames),
    ...list('Verbs', rule.verbs),
  ];
  return `{${members.join(', ')}}`;
}
