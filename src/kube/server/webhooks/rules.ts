/** Which requests a webhook's rules name (apiserver pkg/admission/plugin/webhook/predicates/rules). Pure. */
import type { WebhookRule } from '../../../api/kubernetes/webhook-configurations.ts';

/** What of a request rules look at. */
export interface RuleSubject {
  readonly operation: string;
  readonly group: string;
  readonly version: string;
  /** Plural. */
  readonly resource: string;
  /** Empty: the object itself. */
  readonly subresource: string;
  /** Namespaces themselves are cluster-scoped. */
  readonly namespaced: boolean;
}

export function matchesRule(rule: WebhookRule, subject: RuleSubject): boolean {
  return (
    matchesScope(rule.scope, subject.namespaced) &&
    includes(rule.operations, subject.operation) &&
    includes(rule.apiGroups, subject.group) &&
    includes(rule.apiVersions, subject.version) &&
    (rule.resources ?? []).some((word) => matchesResource(word, subject))
  );
}

function includes(words: readonly string[] | undefined, word: string): boolean {
  return words !== undefined && (words.includes(word) || words.includes('*'));
}

function matchesScope(scope: string | undefined, namespaced: boolean): boolean {
  if (scope === undefined || scope === '*') return true;
  return (scope === 'Namespaced') === namespaced;
}

/** A word is a resource, or a resource and a subresource; a lone star means no subresource, `pods` with a star both. */
function matchesResource(word: string, { resource, subresource }: RuleSubject): boolean {
  const at = word.indexOf('/');
  const [wanted, part] = at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
  return (wanted === '*' || wanted === resource) && (part === '*' || part === subresource);
}
