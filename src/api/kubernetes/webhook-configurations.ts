/** ValidatingWebhookConfiguration and MutatingWebhookConfiguration: who is asked about which writes. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, integerColumn } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { dnsLabelFault, dnsSubdomainFault, labelKeyFault, portNumberFault } from './names.ts';
import { selectorIssues } from './selectors.ts';

export type ValidatingWebhookConfiguration =
  KubernetesObject<'admissionregistration.v1.ValidatingWebhookConfiguration'>;
export type MutatingWebhookConfiguration =
  KubernetesObject<'admissionregistration.v1.MutatingWebhookConfiguration'>;
export type MutatingWebhook = KubernetesTypes['admissionregistration.v1.MutatingWebhook'];
/** One webhook of either kind; the validating kind has no `reinvocationPolicy`. */
export type Webhook = MutatingWebhook;
export type WebhookRule = KubernetesTypes['admissionregistration.v1.RuleWithOperations'];
export type WebhookClientConfig = KubernetesTypes['admissionregistration.v1.WebhookClientConfig'];
export type AnyWebhookConfiguration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration;

/** Versions of AdmissionReview that the server can send. */
export const reviewVersions = ['v1', 'v1beta1'] as const;

const maxMatchConditions = 64;

function fillWebhook(webhook: Webhook): void {
  webhook.failurePolicy ??= 'Fail';
  webhook.matchPolicy ??= 'Equivalent';
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= 10;
  for (const rule of webhook.rules ?? []) rule.scope ??= '*';
  if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
}

function quoted(words: readonly string[]): string {
  return words.map((word) => JSON.stringify(word)).join(', ');
}

function oneOf(path: string, value: string | undefined, supported: readonly string[]): Issue[] {
  if (value === undefined || supported.includes(value)) return [];
  return [{ type: 'NotSupported', path, value, detail: `supported values: ${quoted(supported)}` }];
}

function configurationIssues(configuration: AnyWebhookConfiguration): Issue[] {
  const seen = new Set<string>();
  return (configuration.webhooks ?? []).flatMap((webhook, i) => {
    const path = `webhooks[${i}]`;
    const issues = webhookIssues(webhook, path);
    if (webhook.name && seen.has(webhook.name)) {
      issues.push({ type: 'Duplicate', path: `${path}.name`, value: webhook.name, detail: '' });
    }
    seen.add(webhook.name);
    return issues;
  });
}

function webhookIssues(webhook: Webhook, path: string): Issue[] {
  const { timeoutSeconds = 10, namespaceSelector, objectSelector } = webhook;
  const issues: Issue[] = [
    ...nameIssues(webhook.name, `${path}.name`),
    ...versionIssues(webhook.admissionReviewVersions ?? [], `${path}.admissionReviewVersions`),
    ...(webhook.rules ?? []).flatMap((rule, i) => ruleIssues(rule, `${path}.rules[${i}]`)),
    ...oneOf(`${path}.failurePolicy`, webhook.failurePolicy, ['Fail', 'Ignore']),
    ...oneOf(`${path}.matchPolicy`, webhook.matchPolicy, ['Equivalent', 'Exact']),
    ...oneOf(`${path}.sideEffects`, webhook.sideEffects, ['None', 'NoneOnDryRun']),
    ...oneOf(`${path}.reinvocationPolicy`, webhook.reinvocationPolicy, ['IfNeeded', 'Never']),
    ...(namespaceSelector ? selectorIssues(namespaceSelector, `${path}.namespaceSelector`) : []),
    ...(objectSelector ? selectorIssues(objectSelector, `${path}.objectSelector`) : []),
    ...clientIssues(webhook.clientConfig, `${path}.clientConfig`),
    ...conditionIssues(webhook.matchConditions ?? [], `${path}.matchConditions`),
  ];
  if (timeoutSeconds < 1 || timeoutSeconds > 30) {
    const detail = 'the timeout value must be between 1 and 30 seconds';
    issues.push({ type: 'Invalid', path: `${path}.timeoutSeconds`, value: timeoutSeconds, detail });
  }
  return issues;
}

function nameIssues(name: string, path: string): Issue[] {
  if (!name) return [{ type: 'Required', path, detail: '' }];
  const fault =
    dnsSubdomainFault(name) ??
    (name.split('.').length < 3
      ? 'should be a domain with at least three segments separated by dots'
      : undefined);
  return fault === undefined ? [] : [{ type: 'Invalid', path, value: name, detail: fault }];
}

function versionIssues(versions: readonly string[], path: string): Issue[] {
  const known = reviewVersions.join(', ');
  if (versions.length === 0) return [{ type: 'Required', path, detail: `must specify one of ${known}` }];
  const issues: Issue[] = [];
  for (const [i, version] of versions.entries()) {
    if (versions.indexOf(version) < i) {
      issues.push({ type: 'Invalid', path: `${path}[${i}]`, value: version, detail: 'duplicate version' });
    }
    const fault = dnsLabelFault(version);
    if (fault) issues.push({ type: 'Invalid', path: `${path}[${i}]`, value: version, detail: fault });
  }
  if (issues.length === 0 && !versions.some((version) => reviewVersions.some((word) => word === version))) {
    issues.push({ type: 'Invalid', path, value: versions, detail: `must include at least one of ${known}` });
  }
  return issues;
}

/** `operations` that rules may name, besides `*`. */
const operations = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

/** What is wrong with a rule that names writes. */
export function ruleIssues(rule: WebhookRule, path: string): Issue[] {
  return [
    ...wordIssues(rule.operations ?? [], `${path}.operations`, 'operations'),
    ...(rule.operations ?? []).flatMap((operation, i) =>
      oneOf(`${path}.operations[${i}]`, operation, ['*', ...operations]),
    ),
    ...wordIssues(rule.apiGroups ?? [], `${path}.apiGroups`, 'API groups', true),
    ...wordIssues(rule.apiVersions ?? [], `${path}.apiVersions`, 'API versions'),
    ...resourceIssues(rule.resources ?? [], `${path}.resources`),
    ...oneOf(`${path}.scope`, rule.scope, ['*', 'Cluster', 'Namespaced']),
  ];
}

/** Words of which `*` stands for all, and then alone. The core group is the empty word. */
function wordIssues(words: readonly string[], path: string, what: string, mayBeEmpty = false): Issue[] {
  if (words.length === 0) return [{ type: 'Required', path, detail: '' }];
  const issues = words.flatMap((word, i): Issue[] =>
    word === '' && !mayBeEmpty ? [{ type: 'Required', path: `${path}[${i}]`, detail: '' }] : [],
  );
  if (words.length > 1 && words.includes('*')) {
    const detail = `if '*' is present, must not specify other ${what}`;
    issues.push({ type: 'Invalid', path, value: words, detail });
  }
  return issues;
}

function resourceIssues(resources: readonly string[], path: string): Issue[] {
  if (resources.length === 0) return [{ type: 'Required', path, detail: '' }];
  const issues: Issue[] = [];
  const wholes = new Set(resources.filter((word) => word.endsWith('/*')).map((word) => word.slice(0, -2)));
  const everywhere = new Set(resources.filter((word) => word.startsWith('*/')).map((word) => word.slice(2)));
  for (const [i, word] of resources.entries()) {
    const [resource = '', subresource] = word.split('/');
    const at = `${path}[${i}]`;
    if (word === '') issues.push({ type: 'Required', path: at, detail: '' });
    const refuse = (detail: string): number =>
      issues.push({ type: 'Invalid', path: at, value: word, detail });
    if (subresource !== undefined && subresource !== '*' && wholes.has(resource)) {
      refuse(`if '${resource}/*' is present, must not specify ${word}`);
    }
    if (subresource !== undefined && resource !== '*' && everywhere.has(subresource)) {
      refuse(`if '*/${subresource}' is present, must not specify ${word}`);
    }
  }
  const all = (detail: string): number => issues.push({ type: 'Invalid', path, value: resources, detail });
  if (resources.length > 1 && resources.includes('*/*')) {
    all("if '*/*' is present, must not specify other resources");
  }
  if (resources.includes('*') && resources.some((word) => word !== '*' && !word.includes('/'))) {
    all("if '*' is present, must not specify other resources without subresources");
  }
  return issues;
}

function clientIssues(client: WebhookClientConfig | undefined, path: string): Issue[] {
  const { url, service } = client ?? {};
  if ((url === undefined) === (service === undefined)) {
    return [{ type: 'Required', path, detail: 'exactly one of url or service is required' }];
  }
  if (url !== undefined) return urlIssues(url, `${path}.url`);
  const issues: Issue[] = [];
  const at = `${path}.service`;
  if (!service?.name)
    issues.push({ type: 'Required', path: `${at}.name`, detail: 'service name is required' });
  if (!service?.namespace) {
    issues.push({ type: 'Required', path: `${at}.namespace`, detail: 'service namespace is required' });
  }
  const port = portNumberFault(service?.port ?? 443);
  if (port) {
    const detail = `port is not valid: ${port}`;
    issues.push({ type: 'Invalid', path: `${at}.port`, value: service?.port, detail });
  }
  return [...issues, ...servicePathIssues(service?.path, `${at}.path`)];
}

const urlForm = '; desired format: https://host[:port][/path]';

function urlIssues(text: string, path: string): Issue[] {
  const issues: Issue[] = [];
  const refuse = (value: unknown, detail: string): number =>
    issues.push({ type: 'Invalid', path, value, detail });
  const url = URL.parse(text);
  if (!url) {
    refuse(text, `url must be a valid URL${urlForm}`);
    return issues;
  }
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== 'https') refuse(scheme, `'https' is the only allowed URL scheme${urlForm}`);
  if (!url.hostname) refuse(text, `host must be specified${urlForm}`);
  if (url.username || url.password) refuse(url.username, 'user information is not permitted in the URL');
  if (url.hash) refuse(url.hash.slice(1), 'fragments are not permitted in the URL');
  if (url.search) refuse(url.search.slice(1), 'query parameters are not permitted in the URL');
  return issues;
}

function servicePathIssues(text: string | undefined, path: string): Issue[] {
  if (!text || text === '/') return [];
  if (!text.startsWith('/')) {
    return [{ type: 'Invalid', path, value: text, detail: "must start with a '/'" }];
  }
  const steps = (text.endsWith('/') ? text.slice(0, -1) : text).slice(1).split('/');
  return steps.flatMap((step, i): Issue[] => {
    if (step === '')
      return [{ type: 'Invalid', path, value: text, detail: `segment[${i}] may not be empty` }];
    const fault = dnsSubdomainFault(step);
    return fault ? [{ type: 'Invalid', path, value: text, detail: `segment[${i}]: ${fault}` }] : [];
  });
}

type Conditions = NonNullable<Webhook['matchConditions']>;

/** What is wrong with the form of match conditions; whether they compile is not looked at. */
export function conditionIssues(conditions: Conditions, path: string): Issue[] {
  const issues: Issue[] = [];
  if (conditions.length > maxMatchConditions) {
    issues.push({
      type: 'TooMany',
      path,
      value: conditions.length,
      detail: `must have at most ${maxMatchConditions} items`,
    });
  }
  const seen = new Set<string>();
  for (const [i, { name, expression }] of conditions.entries()) {
    const at = `${path}[${i}]`;
    if (!expression?.trim()) issues.push({ type: 'Required', path: `${at}.expression`, detail: '' });
    if (!name) {
      issues.push({ type: 'Required', path: `${at}.name`, detail: '' });
      continue;
    }
    const fault = labelKeyFault(name);
    if (fault) issues.push({ type: 'Invalid', path: `${at}.name`, value: name, detail: fault });
    if (seen.has(name)) issues.push({ type: 'Duplicate', path: `${at}.name`, value: name, detail: '' });
    seen.add(name);
  }
  return issues;
}

const group = 'admissionregistration.k8s.io';
const columns = [integerColumn('Webhooks'), ageColumn];

export const validatingWebhookConfigurations = kubernetesResource(
  'admissionregistration.v1.ValidatingWebhookConfiguration',
  {
    group,
    plural: 'validatingwebhookconfigurations',
    namespaced: false,
    categories: ['api-extensions'],
    columns,
    cells: (item, now) => [item.webhooks?.length ?? 0, ageOf(item, now)],
    mutate: (item) => item.webhooks?.forEach(fillWebhook),
    issues: configurationIssues,
  },
);

export const mutatingWebhookConfigurations = kubernetesResource(
  'admissionregistration.v1.MutatingWebhookConfiguration',
  {
    group,
    plural: 'mutatingwebhookconfigurations',
    namespaced: false,
    categories: ['api-extensions'],
    columns,
    cells: (item, now) => [item.webhooks?.length ?? 0, ageOf(item, now)],
    mutate(item) {
      for (const webhook of item.webhooks ?? []) {
        fillWebhook(webhook);
        webhook.reinvocationPolicy ??= 'Never';
      }
    },
    issues: configurationIssues,
  },
);

/** Whether a resource configures admission: writes of those are never subject to webhooks, so that nobody locks himself out. */
export function isWebhookConfiguration(def: { readonly group: string; readonly plural: string }): boolean {
  return (
    def.group === group &&
    (def.plural === validatingWebhookConfigurations.plural ||
      def.plural === mutatingWebhookConfigurations.plural)
  );
}
