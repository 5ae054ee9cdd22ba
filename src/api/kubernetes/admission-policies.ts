/** ValidatingAdmissionPolicy and ValidatingAdmissionPolicyBinding: rules in CEL over writes, and where they hold. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, integerColumn } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { oneOf } from './field-issues.ts';
import { dnsLabelFault, dnsSubdomainFault, labelKeyFault, pathSegmentFault } from './names.ts';
import { formatSelector, selectorIssues } from './selectors.ts';
import { conditionIssues, isWebhookConfiguration, ruleIssues } from './webhook-configurations.ts';

export type ValidatingAdmissionPolicy =
  KubernetesObject<'admissionregistration.v1.ValidatingAdmissionPolicy'>;
export type ValidatingAdmissionPolicyBinding =
  KubernetesObject<'admissionregistration.v1.ValidatingAdmissionPolicyBinding'>;
export type PolicySpec = KubernetesTypes['admissionregistration.v1.ValidatingAdmissionPolicySpec'];
export type PolicyBindingSpec =
  KubernetesTypes['admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec'];
export type MatchResources = KubernetesTypes['admissionregistration.v1.MatchResources'];
export type NamedRule = KubernetesTypes['admissionregistration.v1.NamedRuleWithOperations'];
export type ParamKind = KubernetesTypes['admissionregistration.v1.ParamKind'];
export type ParamRef = KubernetesTypes['admissionregistration.v1.ParamRef'];

const group = 'admissionregistration.k8s.io';
const maxAuditAnnotations = 20;
/** Bytes of a valueExpression. */
const maxValueExpression = 5 * 1024;

function fillMatch(match: MatchResources | undefined): void {
  if (!match) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) {
    rule.scope ??= '*';
  }
}

function required(path: string, detail = ''): Issue {
  return { type: 'Required', path, detail };
}

const isBlank = (text: string | undefined): boolean => !text?.trim();

function matchIssues(match: MatchResources | undefined, path: string): Issue[] {
  if (!match) return [];
  const { namespaceSelector, objectSelector } = match;
  return [
    ...oneOf(match.matchPolicy, `${path}.matchPolicy`, ['Equivalent', 'Exact']),
    ...(namespaceSelector ? selectorIssues(namespaceSelector, `${path}.namespaceSelector`) : []),
    ...(objectSelector ? selectorIssues(objectSelector, `${path}.objectSelector`) : []),
    ...namedRuleIssues(match.resourceRules ?? [], `${path}.resourceRules`),
    ...namedRuleIssues(match.excludeResourceRules ?? [], `${path}.excludeResourceRules`),
  ];
}

function namedRuleIssues(rules: readonly NamedRule[], path: string): Issue[] {
  return rules.flatMap((rule, i) => {
    const { resourceNames = [] } = rule;
    const issues = resourceNames.flatMap((name, j): Issue[] => {
      const at = `${path}[${i}].resourceNames[${j}]`;
      const fault = pathSegmentFault(name);
      if (fault) return [{ type: 'Invalid', path: at, value: name, detail: fault }];
      return resourceNames.indexOf(name) < j
        ? [{ type: 'Duplicate', path: at, value: name, detail: '' }]
        : [];
    });
    return [...issues, ...ruleIssues(rule, `${path}[${i}]`)];
  });
}

function paramKindIssues({ apiVersion = '', kind = '' }: ParamKind, path: string): Issue[] {
  const issues: Issue[] = [];
  const parts = apiVersion.split('/');
  const [version = '', ownGroup = ''] = [...parts].reverse();
  const refuse = (member: string, value: string, detail: string): number =>
    issues.push({ type: 'Invalid', path: `${path}.${member}`, value, detail });
  if (apiVersion === '') issues.push(required(`${path}.apiVersion`));
  else if (parts.length > 2)
    refuse('apiVersion', apiVersion, `unexpected GroupVersion string: ${apiVersion}`);
  else {
    const groupFault = ownGroup ? dnsSubdomainFault(ownGroup) : undefined;
    if (groupFault) refuse('apiVersion', ownGroup, groupFault);
    const versionFault = version ? dnsLabelFault(version) : 'version must be specified';
    if (versionFault) refuse('apiVersion', version || apiVersion, versionFault);
  }
  const kindFault = dnsLabelFault(kind.toLowerCase());
  if (kind === '') issues.push(required(`${path}.kind`));
  else if (kindFault) {
    refuse('kind', kind, `may have mixed case, but should otherwise match: ${kindFault}`);
  }
  return issues;
}

function variableIssues({ variables = [] }: PolicySpec): Issue[] {
  return variables.flatMap(({ name, expression }, i) => {
    const path = `spec.variables[${i}]`;
    const issues: Issue[] = [];
    if (isBlank(name)) issues.push(required(`${path}.name`, 'name is not specified'));
    else if (!/^[A-Za-z_]\w*$/.test(name)) {
      const detail = 'name is not a valid CEL identifier';
      issues.push({ type: 'Invalid', path: `${path}.name`, value: name, detail });
    }
    if (isBlank(expression)) issues.push(required(`${path}.expression`, 'expression is not specified'));
    return issues;
  });
}

function validationIssues({ validations = [] }: PolicySpec): Issue[] {
  return validations.flatMap(({ expression, message, messageExpression, reason }, i) => {
    const path = `spec.validations[${i}]`;
    const issues: Issue[] = [];
    const refuse = (member: string, value: string, detail: string): number =>
      issues.push({ type: 'Invalid', path: `${path}.${member}`, value, detail });
    if (isBlank(expression)) issues.push(required(`${path}.expression`, 'expression is not specified'));
    if (messageExpression && isBlank(messageExpression)) {
      refuse('messageExpression', messageExpression, 'must be non-empty if specified');
    }
    if (message && isBlank(message)) refuse('message', message, 'message must be non-empty if specified');
    else if (message && /[\n\r]/.test(message.trim())) {
      refuse('message', message, 'message must not contain line breaks');
    }
    issues.push(...oneOf(reason, `${path}.reason`, ['Forbidden', 'Invalid', 'RequestEntityTooLarge']));
    return issues;
  });
}

function annotationIssues(name: string, { auditAnnotations = [] }: PolicySpec): Issue[] {
  const path = 'spec.auditAnnotations';
  const issues: Issue[] = [];
  if (auditAnnotations.length > maxAuditAnnotations) {
    const detail = `must not have more than ${maxAuditAnnotations} auditAnnotations`;
    issues.push({ type: 'Invalid', path, value: auditAnnotations, detail });
  }
  const seen = new Set<string>();
  for (const [i, { key, valueExpression }] of auditAnnotations.entries()) {
    const at = `${path}[${i}]`;
    const full = `${name}/${key}`;
    const fault = labelKeyFault(full);
    if (fault) issues.push({ type: 'Invalid', path: `${at}.key`, value: full, detail: fault });
    if (isBlank(valueExpression)) {
      issues.push(required(`${at}.valueExpression`, 'valueExpression is not specified'));
    } else if (Buffer.byteLength(valueExpression.trim()) > maxValueExpression) {
      const detail = `must not exceed ${maxValueExpression} bytes in length`;
      issues.push(required(`${at}.valueExpression`, detail));
    }
    if (seen.has(key)) issues.push({ type: 'Duplicate', path: `${at}.key`, value: key, detail: '' });
    seen.add(key);
  }
  return issues;
}

function policyIssues({ metadata, spec = {} }: ValidatingAdmissionPolicy): Issue[] {
  const { paramKind, matchConstraints, validations = [], auditAnnotations = [] } = spec;
  const issues: Issue[] = [
    ...oneOf(spec.failurePolicy, 'spec.failurePolicy', ['Fail', 'Ignore']),
    ...(paramKind ? paramKindIssues(paramKind, 'spec.paramKind') : []),
    ...matchIssues(matchConstraints, 'spec.matchConstraints'),
    ...conditionIssues(spec.matchConditions ?? [], 'spec.matchConditions'),
    ...variableIssues(spec),
    ...validationIssues(spec),
    ...annotationIssues(metadata.name, spec),
  ];
  if (!matchConstraints) issues.push(required('spec.matchConstraints'));
  else if (!matchConstraints.resourceRules?.length) {
    issues.push(required('spec.matchConstraints.resourceRules'));
  }
  if (validations.length === 0 && auditAnnotations.length === 0) {
    const detail = 'validations or auditAnnotations must contain at least one item';
    issues.push(required('spec.validations', detail), required('spec.auditAnnotations', detail));
  }
  return issues;
}

function paramRefIssues({ name, selector, parameterNotFoundAction }: ParamRef, path: string): Issue[] {
  const issues: Issue[] = [];
  const fault = name ? pathSegmentFault(name) : undefined;
  if (fault) issues.push({ type: 'Invalid', path: `${path}.name`, value: name, detail: fault });
  if (name && selector) {
    const detail = 'name and selector are mutually exclusive';
    issues.push({ type: 'Forbidden', path: `${path}.name`, detail });
    issues.push({ type: 'Forbidden', path: `${path}.selector`, detail });
  }
  if (selector) issues.push(...selectorIssues(selector, `${path}.selector`));
  if (!name && !selector) issues.push(required(path, 'one of name or selector must be specified'));
  const action = `${path}.parameterNotFoundAction`;
  if (!parameterNotFoundAction) issues.push(required(action));
  else issues.push(...oneOf(parameterNotFoundAction, action, ['Deny', 'Allow']));
  return issues;
}

const actions = ['Audit', 'Deny', 'Warn'];

function actionIssues(given: readonly string[], path: string): Issue[] {
  const issues = given.flatMap((action, i): Issue[] => [
    ...oneOf(action, `${path}[${i}]`, actions),
    ...(given.indexOf(action) < i
      ? [{ type: 'Duplicate', path: `${path}[${i}]`, value: action, detail: '' } as const]
      : []),
  ]);
  if (given.includes('Deny') && given.includes('Warn')) {
    const detail =
      'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)';
    issues.push({ type: 'Invalid', path, value: given, detail });
  }
  if (given.length === 0) issues.push(required(path, 'at least one validation action is required'));
  return issues;
}

function bindingIssues({ spec = {} }: ValidatingAdmissionPolicyBinding): Issue[] {
  const { policyName, paramRef, matchResources, validationActions = [] } = spec;
  const issues: Issue[] = [];
  const fault = policyName ? dnsSubdomainFault(policyName) : undefined;
  if (!policyName) issues.push(required('spec.policyName'));
  else if (fault) {
    issues.push({ type: 'Invalid', path: 'spec.policyName', value: policyName, detail: fault });
  }
  return [
    ...issues,
    ...(paramRef ? paramRefIssues(paramRef, 'spec.paramRef') : []),
    ...matchIssues(matchResources, 'spec.matchResources'),
    ...actionIssues(validationActions, 'spec.validationActions'),
  ];
}

export const validatingAdmissionPolicies = kubernetesResource(
  'admissionregistration.v1.ValidatingAdmissionPolicy',
  {
    group,
    plural: 'validatingadmissionpolicies',
    namespaced: false,
    categories: ['api-extensions'],
    subresources: { status: true },
    columns: [integerColumn('Validations'), column('ParamKind'), ageColumn],
    cells: (item, now) => [
      item.spec?.validations?.length ?? 0,
      item.spec?.paramKind
        ? `${item.spec.paramKind.apiVersion ?? ''}/${item.spec.paramKind.kind ?? ''}`
        : '<unset>',
      ageOf(item, now),
    ],
    mutate(item) {
      if (!item.spec) return;
      item.spec.failurePolicy ??= 'Fail';
      fillMatch(item.spec.matchConstraints);
    },
    issues: policyIssues,
  },
);

/** Which params a binding names, for its column. */
function paramCell(ref: ParamRef | undefined): string {
  if (ref?.name) return `${ref.namespace || '*'}/${ref.name}`;
  return ref?.selector ? formatSelector(ref.selector) : '<unset>';
}

export const validatingAdmissionPolicyBindings = kubernetesResource(
  'admissionregistration.v1.ValidatingAdmissionPolicyBinding',
  {
    group,
    plural: 'validatingadmissionpolicybindings',
    namespaced: false,
    categories: ['api-extensions'],
    columns: [column('PolicyName'), column('ParamRef'), ageColumn],
    cells: (item, now) => [item.spec?.policyName ?? '', paramCell(item.spec?.paramRef), ageOf(item, now)],
    mutate: (item) => fillMatch(item.spec?.matchResources),
    issues: bindingIssues,
  },
);

const policyPlurals: ReadonlySet<string> = new Set([
  validatingAdmissionPolicies.plural,
  validatingAdmissionPolicyBindings.plural,
]);

/**
 * Whether a resource configures admission. Writes of those are subject to neither webhooks nor policies, or nobody could
 * repair a broken one.
 */
export function configuresAdmission(def: { readonly group: string; readonly plural: string }): boolean {
  return isWebhookConfiguration(def) || (def.group === group && policyPlurals.has(def.plural));
}
