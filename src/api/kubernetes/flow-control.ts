/** FlowSchema and PriorityLevelConfiguration: which requests share which part of what the server can do at once. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { notSupported } from './field-issues.ts';
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from './flow-control-defaults.ts';
import { dnsLabelFault, dnsSubdomainFault } from './names.ts';

export type FlowSchema = KubernetesObject<'flowcontrol.v1.FlowSchema'>;
export type PriorityLevelConfiguration = KubernetesObject<'flowcontrol.v1.PriorityLevelConfiguration'>;
export type FlowRule = KubernetesTypes['flowcontrol.v1.PolicyRulesWithSubjects'];
export type FlowSubject = KubernetesTypes['flowcontrol.v1.Subject'];
type ResourceRule = KubernetesTypes['flowcontrol.v1.ResourcePolicyRule'];
type PathRule = KubernetesTypes['flowcontrol.v1.NonResourcePolicyRule'];
type Limited = KubernetesTypes['flowcontrol.v1.LimitedPriorityLevelConfiguration'];

const group = 'flowcontrol.apiserver.k8s.io';
const maxPrecedence = 10_000;
const maxQueues = 10_000_000;
/** Bits of the hash that deals a flow its queues. */
const hashBits = 60;
const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

const required = (path: string, detail = ''): Issue => ({ type: 'Required', path, detail });
const invalid = (path: string, value: unknown, detail: string): Issue => ({
  type: 'Invalid',
  path,
  value,
  detail,
});

// ---- FlowSchema ------------------------------------------------------------------------------------------------

const subjectMembers = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const;

function subjectIssues(subject: FlowSubject, path: string): Issue[] {
  const kinds = Object.keys(subjectMembers) as (keyof typeof subjectMembers)[];
  const kind = kinds.find((each) => each === subject.kind);
  if (!kind) return [notSupported(subject.kind, `${path}.kind`, kinds)];
  const member = subjectMembers[kind];
  const issues = kinds.flatMap((other): Issue[] => {
    const name = subjectMembers[other];
    if (other === kind || subject[name] === undefined) return [];
    const detail = `${name} is forbidden when subject kind is not '${other}'`;
    return [{ type: 'Forbidden', path: `${path}.${name}`, detail }];
  });
  const given: { readonly name?: string } | undefined = subject[member];
  const at = `${path}.${member}`;
  if (!given) return [required(at, `${member} is required when subject kind is '${kind}'`), ...issues];
  if (!given.name) issues.push(required(`${at}.name`));
  if (kind !== 'ServiceAccount') return issues;
  const { name = '', namespace = '' } = subject.serviceAccount ?? {};
  const nameFault = name === '' || name === '*' ? undefined : dnsSubdomainFault(name);
  if (nameFault) issues.push(invalid(`${at}.name`, name, nameFault));
  const namespaceFault = dnsLabelFault(namespace);
  if (namespace === '') {
    issues.push(required(`${at}.namespace`, 'must specify namespace for service account'));
  } else if (namespaceFault) issues.push(invalid(`${at}.namespace`, namespace, namespaceFault));
  return issues;
}

/** A list of words of which `*` stands for all, and then alone. */
function wordIssues(words: readonly string[], path: string, what: string, missing: string): Issue[] {
  if (words.length === 0) return [required(path, missing)];
  if (words.length > 1 && words.includes('*')) {
    return [invalid(path, words, `if '*' is present, must not specify other ${what}`)];
  }
  return [];
}

function verbIssues(given: readonly string[], path: string): Issue[] {
  const issues = wordIssues(given, path, 'verbs', 'verbs must contain at least one value');
  if (issues.length > 0 || given.every((verb) => verb === '*' || verbs.includes(verb))) return issues;
  return [notSupported(given, path, verbs)];
}

function urlFault(url: string): string | undefined {
  if (url === '') return 'must not be empty';
  if (url === '/') return undefined;
  if (!url.startsWith('/')) return 'must start with slash';
  if (url.includes(' ')) return 'must not contain white-space';
  if (url.includes('//')) return 'must not contain double slash';
  const stars = url.split('*').length - 1;
  return stars > 1 || (stars === 1 && !url.endsWith('/*'))
    ? 'wildcard can only do suffix matching'
    : undefined;
}

function pathRuleIssues({ verbs: given = [], nonResourceURLs = [] }: PathRule, path: string): Issue[] {
  const at = `${path}.nonResourceURLs`;
  const missing = 'nonResourceURLs must contain at least one value';
  const issues = [
    ...verbIssues(given, `${path}.verbs`),
    ...wordIssues(nonResourceURLs, at, 'non-resource URLs', missing),
  ];
  if (nonResourceURLs.includes('*')) return issues;
  for (const [i, url] of nonResourceURLs.entries()) {
    const fault = urlFault(url);
    if (fault) issues.push(invalid(`${at}[${i}]`, url, fault));
  }
  return issues;
}

function resourceRuleIssues(rule: ResourceRule, path: string): Issue[] {
  const { verbs: given = [], apiGroups = [], resources = [], namespaces = [], clusterScope } = rule;
  const issues = [
    ...verbIssues(given, `${path}.verbs`),
    ...wordIssues(
      apiGroups,
      `${path}.apiGroups`,
      'api groups',
      'resource rules must supply at least one api group',
    ),
    ...wordIssues(
      resources,
      `${path}.resources`,
      'resources',
      'resource rules must supply at least one resource',
    ),
  ];
  const at = `${path}.namespaces`;
  if (namespaces.length === 0 && clusterScope) return issues;
  const missing = 'resource rules that are not cluster scoped must supply at least one namespace';
  issues.push(...wordIssues(namespaces, at, 'namespaces', missing));
  if (namespaces.includes('*')) return issues;
  for (const [i, namespace] of namespaces.entries()) {
    const fault = dnsLabelFault(namespace);
    const detail = `each member of this list must be '*' or a DNS-1123 label; ${fault}`;
    if (fault) issues.push(invalid(`${at}[${i}]`, namespace, detail));
  }
  return issues;
}

function ruleIssues(rule: FlowRule, path: string): Issue[] {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  const issues: Issue[] = [];
  if (subjects.length === 0) {
    issues.push(required(`${path}.subjects`, 'subjects must contain at least one value'));
  }
  if (resourceRules.length === 0 && nonResourceRules.length === 0) {
    issues.push(required(path, 'at least one of resourceRules and nonResourceRules has to be non-empty'));
  }
  return [
    ...issues,
    ...subjects.flatMap((subject, i) => subjectIssues(subject, `${path}.subjects[${i}]`)),
    ...resourceRules.flatMap((each, i) => resourceRuleIssues(each, `${path}.resourceRules[${i}]`)),
    ...nonResourceRules.flatMap((each, i) => pathRuleIssues(each, `${path}.nonResourceRules[${i}]`)),
  ];
}

function schemaIssues({ metadata, spec }: FlowSchema): Issue[] {
  const { matchingPrecedence = 0, distinguisherMethod, priorityLevelConfiguration, rules = [] } = spec ?? {};
  const issues: Issue[] = [];
  const path = 'spec.matchingPrecedence';
  if (matchingPrecedence <= 0) issues.push(invalid(path, matchingPrecedence, 'must be a positive value'));
  if (matchingPrecedence > maxPrecedence) {
    issues.push(invalid(path, matchingPrecedence, `must not be greater than ${maxPrecedence}`));
  }
  if (matchingPrecedence === 1 && metadata.name !== 'exempt') {
    const detail = "only the schema named 'exempt' may have matchingPrecedence 1";
    issues.push(invalid(path, matchingPrecedence, detail));
  }
  const methods = ['ByNamespace', 'ByUser'];
  if (distinguisherMethod && !methods.includes(distinguisherMethod.type)) {
    issues.push(notSupported(distinguisherMethod.type, 'spec.distinguisherMethod.type', methods));
  }
  const level = priorityLevelConfiguration?.name;
  const at = 'spec.priorityLevelConfiguration.name';
  const levelFault = level ? dnsSubdomainFault(level) : undefined;
  if (!level) issues.push(required(at, 'must reference a priority level'));
  else if (levelFault) issues.push(invalid(at, level, levelFault));
  issues.push(...rules.flatMap((rule, i) => ruleIssues(rule, `spec.rules[${i}]`)));
  const fixed = mandatoryFlowSchemas.find((each) => each.metadata.name === metadata.name);
  if (fixed && !deepEqual(fixed.spec, spec)) {
    issues.push(invalid('spec', spec, `spec of '${metadata.name}' must equal the fixed value`));
  }
  return issues;
}

export const flowSchemas = kubernetesResource('flowcontrol.v1.FlowSchema', {
  group,
  plural: 'flowschemas',
  namespaced: false,
  subresources: { status: true },
  columns: [
    column('PriorityLevel'),
    column('MatchingPrecedence'),
    column('DistinguisherMethod'),
    ageColumn,
    column('MissingPL'),
  ],
  cells: (item, now) => [
    item.spec?.priorityLevelConfiguration.name ?? '',
    item.spec?.matchingPrecedence ?? 0,
    item.spec?.distinguisherMethod?.type ?? '<none>',
    ageOf(item, now),
    item.status?.conditions?.find(({ type }) => type === 'Dangling')?.status ?? '?',
  ],
  mutate({ spec }) {
    if (spec && !spec.matchingPrecedence) spec.matchingPrecedence = 1000;
  },
  issues: schemaIssues,
});

// ---- PriorityLevelConfiguration --------------------------------------------------------------------------------

/** Bits that dealing a hand of queues takes: each card is one of those that are left. */
function handEntropy(queues: number, hand: number): number {
  let bits = 0;
  for (let i = 0; i < hand; i++) bits += Math.log2(queues - i);
  return Math.ceil(bits);
}

function queuingIssues(
  queuing: NonNullable<KubernetesTypes['flowcontrol.v1.LimitResponse']['queuing']>,
  path: string,
): Issue[] {
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  const issues: Issue[] = [];
  if (queueLengthLimit <= 0) {
    issues.push(invalid(`${path}.queueLengthLimit`, queueLengthLimit, 'must be positive'));
  }
  if (queues <= 0) issues.push(invalid(`${path}.queues`, queues, 'must be positive'));
  else if (queues > maxQueues) {
    issues.push(invalid(`${path}.queues`, queues, `must not be greater than ${maxQueues}`));
  }
  const at = `${path}.handSize`;
  if (handSize <= 0) issues.push(invalid(at, handSize, 'must be positive'));
  else if (handSize > queues) {
    issues.push(invalid(at, handSize, `should not be greater than queues (${queues})`));
  } else if (handEntropy(queues, Math.min(handSize, hashBits)) > hashBits || handSize > hashBits) {
    const detail = `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${hashBits}`;
    issues.push(invalid(at, handSize, detail));
  }
  return issues;
}

function percentIssues(value: number | undefined, path: string): Issue[] {
  return value === undefined || (value >= 0 && value <= 100)
    ? []
    : [invalid(path, value, 'must be between 0 and 100, inclusive')];
}

function sharesIssues(value: number | undefined, path: string): Issue[] {
  return (value ?? 0) < 0
    ? [invalid(`${path}.nominalConcurrencyShares`, value, 'must be a non-negative integer')]
    : [];
}

function limitedIssues({ limitResponse, ...limited }: Limited): Issue[] {
  const path = 'spec.limited';
  const issues = [
    ...sharesIssues(limited.nominalConcurrencyShares, path),
    ...percentIssues(limited.lendablePercent, `${path}.lendablePercent`),
  ];
  if ((limited.borrowingLimitPercent ?? 0) < 0) {
    const detail = 'if specified, must be a non-negative integer';
    issues.push(invalid(`${path}.borrowingLimitPercent`, limited.borrowingLimitPercent, detail));
  }
  const { type, queuing } = limitResponse ?? {};
  const at = `${path}.limitResponse`;
  if (type !== 'Queue' && type !== 'Reject') {
    return [...issues, notSupported(type ?? '', `${at}.type`, ['Queue', 'Reject'])];
  }
  if (type === 'Reject' && queuing) {
    const detail = 'must be nil if limited.limitResponse.type is not Limited';
    issues.push({ type: 'Forbidden', path: `${at}.queuing`, detail });
  }
  if (type === 'Queue' && !queuing) {
    issues.push(required(`${at}.queuing`, 'must not be empty if limited.limitResponse.type is Limited'));
  }
  if (type === 'Queue' && queuing) issues.push(...queuingIssues(queuing, `${at}.queuing`));
  return issues;
}

function levelIssues({ metadata: { name }, spec }: PriorityLevelConfiguration): Issue[] {
  const { type = '', limited, exempt } = spec ?? {};
  const issues: Issue[] = [];
  if ((name === 'exempt') !== (type === 'Exempt')) {
    issues.push(invalid('spec.type', type, "type must be 'Exempt' if and only if name is 'exempt'"));
  }
  if (type === 'Exempt') {
    const detail = 'must be nil if the type is not Limited';
    if (limited) issues.push({ type: 'Forbidden', path: 'spec.limited', detail });
    issues.push(
      ...sharesIssues(exempt?.nominalConcurrencyShares, 'spec.exempt'),
      ...percentIssues(exempt?.lendablePercent, 'spec.exempt.lendablePercent'),
    );
  } else if (type === 'Limited') {
    const detail = 'must be nil if the type is Limited';
    if (exempt) issues.push({ type: 'Forbidden', path: 'spec.exempt', detail });
    if (limited) issues.push(...limitedIssues(limited));
    else issues.push(required('spec.limited', 'must not be empty when type is Limited'));
  } else issues.push(notSupported(type, 'spec.type', ['Exempt', 'Limited']));
  const fixed = mandatoryPriorityLevels.find((each) => each.metadata.name === name);
  if (!fixed) return issues;
  if (name === 'exempt') {
    const { exempt: _, ...rest } = spec ?? {};
    if (!deepEqual(rest, { type: 'Exempt' })) {
      const detail = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value";
      issues.push(invalid('spec', spec, detail));
    }
  } else if (!deepEqual(fixed.spec, spec)) {
    issues.push(invalid('spec', spec, `spec of '${name}' must equal the fixed value`));
  }
  return issues;
}

export const priorityLevelConfigurations = kubernetesResource('flowcontrol.v1.PriorityLevelConfiguration', {
  group,
  plural: 'prioritylevelconfigurations',
  namespaced: false,
  subresources: { status: true },
  columns: [
    column('Type'),
    column('NominalConcurrencyShares'),
    column('Queues'),
    column('HandSize'),
    column('QueueLengthLimit'),
    ageColumn,
  ],
  cells(item, now) {
    const limited = item.spec?.limited;
    const queuing = limited?.limitResponse?.queuing;
    return [
      item.spec?.type ?? '',
      limited?.nominalConcurrencyShares ?? '<none>',
      queuing?.queues ?? '<none>',
      queuing?.handSize ?? '<none>',
      queuing?.queueLengthLimit ?? '<none>',
      ageOf(item, now),
    ];
  },
  mutate({ spec }) {
    if (spec?.exempt) {
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
    if (!spec?.limited) return;
    spec.limited.nominalConcurrencyShares ??= 30;
    spec.limited.lendablePercent ??= 0;
    const queuing = spec.limited.limitResponse?.queuing;
    if (!queuing) return;
    queuing.handSize ||= 8;
    queuing.queues ||= 64;
    queuing.queueLengthLimit ||= 50;
  },
  issues: levelIssues,
});
