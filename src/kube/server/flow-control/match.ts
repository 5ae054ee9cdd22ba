/** Whether a FlowSchema is about a request (apiserver pkg/util/flowcontrol/rule.go). Pure. */
import type { FlowRule, FlowSchema, FlowSubject } from '../../../api/kubernetes/flow-control.ts';
import { parseServiceAccountUser, type User } from '../authentication/user.ts';
import { isPathAttributes, type Attributes, type ResourceAttributes } from '../authorization/attributes.ts';

export function matchesFlowSchema({ spec }: FlowSchema, user: User, attributes: Attributes): boolean {
  return (spec?.rules ?? []).some(
    (rule) => (rule.subjects ?? []).some((subject) => isAbout(subject, user)) && names(rule, attributes),
  );
}

function isAbout(subject: FlowSubject, user: User): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.user?.name === '*' || subject.user?.name === user.name;
    case 'Group': {
      const name = subject.group?.name;
      return name === '*' || (name !== undefined && user.groups.includes(name));
    }
    case 'ServiceAccount': {
      const wanted = subject.serviceAccount;
      const account = wanted && parseServiceAccountUser(user.name);
      if (!account || account.namespace !== wanted.namespace) return false;
      return wanted.name === '*' || wanted.name === account.name;
    }
    default:
      return false;
  }
}

function names({ resourceRules = [], nonResourceRules = [] }: FlowRule, attributes: Attributes): boolean {
  const { verb } = attributes;
  if (isPathAttributes(attributes)) {
    return nonResourceRules.some(
      (rule) =>
        has(rule.verbs, verb) && (rule.nonResourceURLs ?? []).some((url) => covers(url, attributes.path)),
    );
  }
  const { group, namespace } = attributes;
  return resourceRules.some(
    (rule) =>
      has(rule.verbs, verb) &&
      has(rule.resources, nameOf(attributes)) &&
      has(rule.apiGroups, group) &&
      (namespace === '' ? rule.clusterScope === true : has(rule.namespaces, namespace)),
  );
}

function nameOf({ resource, subresource }: ResourceAttributes): string {
  return subresource === '' ? resource : `${resource}/${subresource}`;
}

/** A star stands for all words, and then alone. */
function has(words: readonly string[] | undefined, word: string): boolean {
  return words !== undefined && (words.includes(word) || words[0] === '*');
}

function covers(url: string, path: string): boolean {
  if (url === '*' || url === path) return true;
  const prefix = url.endsWith('*') ? url.slice(0, -1) : url;
  return path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
}
