/** Whether a policy or a binding is about a request (apiserver pkg/admission/plugin/policy/matching). */
import type { MatchResources, NamedRule } from '../../../api/kubernetes/admission-policies.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { passesSelectors, type Siblings } from '../webhooks/match.ts';
import { matchesRule, type RuleSubject } from '../webhooks/rules.ts';

/**
 * The version in which a request is looked at: that of the request, or another one of the same resource where equivalents
 * are taken. Undefined: the request is not meant. Throws 404 when the namespace has to be looked at and is gone.
 */
export function matchedAs(
  match: MatchResources,
  attributes: AdmissionAttributes,
  siblings: Siblings,
): ResourceDef | undefined {
  const { resourceRules = [], excludeResourceRules = [] } = match;
  const versions = (rules: readonly NamedRule[]): ResourceDef | undefined => {
    const { def } = attributes;
    if (isNamed(rules, attributes, def)) return def;
    if (def.conversion === undefined || match.matchPolicy === 'Exact') return undefined;
    return siblings(def).find((version) => isNamed(rules, attributes, version));
  };
  const as = resourceRules.length === 0 ? attributes.def : versions(resourceRules);
  if (!as || versions(excludeResourceRules)) return undefined;
  return passesSelectors(match, attributes) ? as : undefined;
}

function isNamed(
  rules: readonly NamedRule[],
  { operation, subresource = '', name }: AdmissionAttributes,
  { group, version, plural, namespaced }: ResourceDef,
): boolean {
  const subject: RuleSubject = { operation, group, version, resource: plural, subresource, namespaced };
  return rules.some(
    (rule) =>
      matchesRule(rule, subject) && (!rule.resourceNames?.length || rule.resourceNames.includes(name)),
  );
}
