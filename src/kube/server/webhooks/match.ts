/** Whether a webhook is asked about a request: rules, selectors, conditions. */
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { namespaces } from '../../../api/kubernetes/core.ts';
import { isEmptySelector, matchesSelector, type Labels } from '../../../api/kubernetes/selectors.ts';
import { isWebhookConfiguration } from '../../../api/kubernetes/webhook-configurations.ts';
import { isMembers } from '../../../api/structural-members.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { isNamespace } from '../service/deletion.ts';
import { forbidden, notFound } from '../service/errors.ts';
import { messageOf } from '../../../base/errors.ts';
import type { MatchInput } from '../cel/index.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { matchesRule, type RuleSubject } from './rules.ts';

/** Requests that no webhook may see, or nobody could repair a broken one. */
export function isExempt(attributes: AdmissionAttributes): boolean {
  return isWebhookConfiguration(attributes.def);
}

/** The namespace that a request is about; a namespace is in itself. */
export function namespaceOf({ def, namespace, name }: AdmissionAttributes): string | undefined {
  return isNamespace(def) ? name : namespace;
}

/** Served versions of a resource, other than the one given. */
export type Siblings = (def: ResourceDef) => readonly ResourceDef[];

/**
 * The version in which a webhook is asked about a request, by rules and selectors; undefined when it is not. That is the
 * version of the request, or another one of the same resource where the webhook takes equivalents.
 * Synchronous and cheap, so that writes which no webhook wants stay synchronous.
 * Throws 404 when a namespace selector has to be decided and the namespace is gone.
 */
export function selectedAs(
  hook: ConfiguredWebhook,
  attributes: AdmissionAttributes,
  siblings: Siblings,
): ResourceDef | undefined {
  const { def } = attributes;
  if (isNamedBy(hook, attributes, def)) return passesSelectors(hook, attributes) ? def : undefined;
  if (def.conversion === undefined || hook.webhook.matchPolicy === 'Exact') return undefined;
  const other = siblings(def).find((version) => isNamedBy(hook, attributes, version));
  return other && passesSelectors(hook, attributes) ? other : undefined;
}

function isNamedBy(
  hook: ConfiguredWebhook,
  { operation, subresource = '' }: AdmissionAttributes,
  { group, version, plural, namespaced }: ResourceDef,
): boolean {
  const subject: RuleSubject = { operation, group, version, resource: plural, subresource, namespaced };
  return (hook.webhook.rules ?? []).some((rule) => matchesRule(rule, subject));
}

function passesSelectors(hook: ConfiguredWebhook, attributes: AdmissionAttributes): boolean {
  const { namespaceSelector = {}, objectSelector = {} } = hook.webhook;
  if (!isEmptySelector(objectSelector)) {
    const candidates = [attributes.object, attributes.old];
    const matches = candidates.some((object) => {
      const labels = labelsOf(object);
      return labels !== undefined && matchesSelector(objectSelector, labels);
    });
    if (!matches) return false;
  }
  if (isEmptySelector(namespaceSelector)) return true;
  const labels = namespaceLabels(attributes);
  return labels === undefined || matchesSelector(namespaceSelector, labels);
}

/** Undefined for what has no metadata at all, such as the options of a stream. */
function labelsOf(object: KubeObject | undefined): Labels | undefined {
  if (!isMembers(object?.metadata)) return undefined;
  return object.metadata.labels ?? {};
}

/** Labels of the request's namespace; undefined where it has none, which no namespace selector exempts. */
function namespaceLabels(attributes: AdmissionAttributes): Labels | undefined {
  const { def, operation, subresource, object, stored } = attributes;
  const name = namespaceOf(attributes);
  if (!name) return undefined;
  // A namespace that is being written is asked about as it will be, one that is being deleted as it is.
  if (isNamespace(def) && !subresource && operation !== 'DELETE') return labelsOf(object) ?? {};
  for (const namespace of stored(namespaces)) {
    if (namespace.metadata.name === name) return namespace.metadata.labels ?? {};
  }
  throw notFound(namespaces, name);
}

/**
 * The webhook's conditions. One that is false decides; one that fails, and none is false, refuses the request or, with
 * failure policy Ignore, leaves the webhook out. Throws 403.
 */
export function meetsConditions(
  hook: ConfiguredWebhook,
  attributes: AdmissionAttributes,
  input: () => MatchInput,
): boolean {
  if (!hook.webhook.matchConditions?.length) return true;
  const failures: string[] = [];
  try {
    const given = input();
    for (const condition of hook.conditions()) {
      try {
        if (!condition.matches(given)) return false;
      } catch (error) {
        failures.push(messageOf(error));
      }
    }
  } catch (error) {
    failures.push(messageOf(error));
  }
  if (failures.length === 0) return true;
  if (hook.failsOpen) return false;
  const text = failures.length === 1 ? failures.join('') : `[${failures.join(', ')}]`;
  throw forbidden(attributes.def, attributes.name, text);
}
