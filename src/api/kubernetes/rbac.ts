/** Roles and bindings: who may do what (kubernetes pkg/apis/rbac). */
import { deepEqual } from '../../base/json.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { ageColumn, ageOf, column, nameColumn } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { dnsSubdomainFault } from './names.ts';
import { selectorIssues } from './selectors.ts';

export type ClusterRole = KubernetesObject<'rbac.v1.ClusterRole'>;
export type ClusterRoleBinding = KubernetesObject<'rbac.v1.ClusterRoleBinding'>;
export type Role = KubernetesObject<'rbac.v1.Role'>;
export type RoleBinding = KubernetesObject<'rbac.v1.RoleBinding'>;

type Binding = RoleBinding | ClusterRoleBinding;
type Rule = NonNullable<Role['rules']>[number];
type Subject = NonNullable<Binding['subjects']>[number];

const rbac = 'rbac.authorization.k8s.io';
const createdAt = [nameColumn, column('Created At')];

export const roles = kubernetesResource('rbac.v1.Role', {
  group: rbac,
  plural: 'roles',
  tracksGeneration: false,
  columns: createdAt,
  cells: (role) => [role.metadata.name, role.metadata.creationTimestamp ?? ''],
  issues: (role) => ruleIssues(role.rules, true),
});

export const clusterRoles = kubernetesResource('rbac.v1.ClusterRole', {
  group: rbac,
  plural: 'clusterroles',
  namespaced: false,
  tracksGeneration: false,
  columns: createdAt,
  cells: (role) => [role.metadata.name, role.metadata.creationTimestamp ?? ''],
  issues: (role) => [...ruleIssues(role.rules, false), ...aggregationIssues(role)],
});

export const roleBindings = kubernetesResource('rbac.v1.RoleBinding', {
  group: rbac,
  plural: 'rolebindings',
  tracksGeneration: false,
  columns: bindingColumns(),
  cells: bindingCells,
  mutate: defaultBinding,
  issues: (binding, context) => bindingIssues(binding, context, ['ClusterRole', 'Role']),
});

export const clusterRoleBindings = kubernetesResource('rbac.v1.ClusterRoleBinding', {
  group: rbac,
  plural: 'clusterrolebindings',
  namespaced: false,
  tracksGeneration: false,
  columns: bindingColumns(),
  cells: bindingCells,
  mutate: defaultBinding,
  issues: (binding, context) => bindingIssues(binding, context, ['ClusterRole']),
});

// ---- roles ----------------------------------------------------------------------------------------------------

function ruleIssues(rules: readonly Rule[] | undefined, namespaced: boolean): Issue[] {
  return (rules ?? []).flatMap((rule, i) => oneRule(rule, `rules[${i}]`, namespaced));
}

function oneRule(rule: Rule, path: string, namespaced: boolean): Issue[] {
  const issues: Issue[] = [];
  const required = (member: string, detail: string): void => {
    issues.push({ type: 'Required', path: `${path}.${member}`, detail });
  };
  const { apiGroups, resources, resourceNames, nonResourceURLs } = rule;
  if (!rule.verbs?.length) required('verbs', 'verbs must contain at least one value');
  if (nonResourceURLs?.length) {
    const refuse = (detail: string): void => {
      issues.push({ type: 'Invalid', path: `${path}.nonResourceURLs`, value: nonResourceURLs, detail });
    };
    if (namespaced) refuse('namespaced rules cannot apply to non-resource URLs');
    if (apiGroups?.length || resources?.length || resourceNames?.length) {
      refuse('rules cannot apply to both regular resources and non-resource URLs');
    }
    return issues;
  }
  if (!apiGroups?.length) required('apiGroups', 'resource rules must supply at least one api group');
  if (!resources?.length) required('resources', 'resource rules must supply at least one resource');
  return issues;
}

function aggregationIssues({ aggregationRule }: ClusterRole): Issue[] {
  if (!aggregationRule) return [];
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    const detail = 'at least one clusterRoleSelector required if aggregationRule is non-nil';
    return [{ type: 'Required', path, detail }];
  }
  return selectors.flatMap((selector, i) => selectorIssues(selector, `${path}[${i}]`));
}

// ---- bindings -------------------------------------------------------------------------------------------------

function bindingColumns() {
  const subjects = ['Users', 'Groups', 'ServiceAccounts'];
  return [column('Role'), ageColumn, ...subjects.map((name) => column(name, 'wide'))];
}

function bindingCells(binding: Binding, now: number): string[] {
  const subjects = (kind: string): string =>
    (binding.subjects ?? [])
      .filter((subject) => subject.kind === kind)
      .map(({ namespace, name }) => (namespace ? `${namespace}/${name}` : name))
      .join(', ');
  const { kind, name } = binding.roleRef;
  const all = [subjects('User'), subjects('Group'), subjects('ServiceAccount')];
  return [`${kind}/${name}`, ageOf(binding, now), ...all];
}

function defaultBinding(binding: Binding): void {
  if (binding.roleRef) binding.roleRef.apiGroup ||= rbac;
  for (const subject of binding.subjects ?? []) {
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ||= rbac;
    else if (subject.apiGroup === '') delete subject.apiGroup;
  }
}

function bindingIssues(
  binding: Binding,
  context: AdmissionContext,
  roleKinds: readonly string[],
): readonly Issue[] {
  const { roleRef, subjects = [] } = binding;
  const old = oldOf(binding, context);
  if (!roleRef) return [];
  const issues: Issue[] = [];
  if (roleRef.apiGroup !== rbac) issues.push(unsupported('roleRef.apiGroup', roleRef.apiGroup ?? '', [rbac]));
  if (!roleKinds.includes(roleRef.kind))
    issues.push(unsupported('roleRef.kind', roleRef.kind ?? '', roleKinds));
  if (!roleRef.name) issues.push({ type: 'Required', path: 'roleRef.name', detail: '' });
  const needsNamespace = roleKinds.length === 1;
  issues.push(...subjects.flatMap((subject, i) => subjectIssues(subject, `subjects[${i}]`, needsNamespace)));
  if (old && !deepEqual(old.roleRef, roleRef)) {
    issues.push({ type: 'Invalid', path: 'roleRef', value: roleRef, detail: 'cannot change roleRef' });
  }
  return issues;
}

function subjectIssues(subject: Subject, path: string, needsNamespace: boolean): Issue[] {
  const { kind, name, apiGroup = '', namespace } = subject;
  const issues: Issue[] = [];
  if (!name) issues.push({ type: 'Required', path: `${path}.name`, detail: '' });
  if (kind === 'ServiceAccount') {
    const detail = name ? dnsSubdomainFault(name) : undefined;
    if (detail) issues.push({ type: 'Invalid', path: `${path}.name`, value: name, detail });
    if (apiGroup !== '') issues.push(unsupported(`${path}.apiGroup`, apiGroup, ['']));
    if (needsNamespace && !namespace)
      issues.push({ type: 'Required', path: `${path}.namespace`, detail: '' });
  } else if (kind === 'User' || kind === 'Group') {
    if (apiGroup !== rbac) issues.push(unsupported(`${path}.apiGroup`, apiGroup, [rbac]));
  } else {
    issues.push(unsupported(`${path}.kind`, kind ?? '', ['ServiceAccount', 'User', 'Group']));
  }
  return issues;
}

function unsupported(path: string, value: string, supported: readonly string[]): Issue {
  const names = supported
    .map((name) => JSON.stringify(name))
    .sort()
    .join(', ');
  return { type: 'NotSupported', path, value, detail: `supported values: ${names}` };
}
