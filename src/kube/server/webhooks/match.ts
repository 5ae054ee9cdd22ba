/** Whether a webhook is asked about a request: rules, selectors, conditions. */
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { namespaces, type Namespace } from '../../../api/kubernetes/core.ts';
import {
  isEmptySelector,
  matchesSelector,
  type Labels,
  type LabelSelector,
} from '../../../api/kubernetes/selectors.ts';
import { configuresAdmission } from '../../../api/kubernetes/admission-policies.ts';
import { isMembers } from '../../../api/structural-members.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { isNamespace } from '../service/deletion.ts';
import { forbidden, notFound } from '../service/errors.ts';
import { messageOf } from '../../../base/errors.ts';
import type { AccessSource, AdmissionInput, MatchInput } from '../cel/index.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { matchesRule, type RuleSubject } from './rules.ts';

/** Requests that no webhook and no policy may see, or nobody could repair a broken one. */
export function isExempt(attributes: AdmissionAttributes): boolean {
  return configuresAdmission(attributes.def);
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
  if (isNamedBy(hook, attributes, def)) return passesSelectors(hook.webhook, attributes) ? def : undefined;
  if (def.conversion === undefined || hook.webhook.matchPolicy === 'Exact') return undefined;
  const other = siblings(def).find((version) => isNamedBy(hook, attributes, version));
  return other && passesSelectors(hook.webhook, attributes) ? other : undefined;
}

function isNamedBy(
  hook: ConfiguredWebhook,
  { operation, subresource = '' }: AdmissionAttributes,
  { group, version, plural, namespaced }: ResourceDef,
): boolean {
  const subject: RuleSubject = { operation, group, version, resource: plural, subresource, namespaced };
  return (hook.webhook.rules ?? []).some((rule) => matchesRule(rule, subject));
}

/** What narrows requests by labels. An absent selector takes all. */
export interface Selectors {
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
}

/** Throws 404 when the namespace has to be looked at and is gone. */
export function passesSelectors(
  { namespaceSelector = {}, objectSelector = {} }: Selectors,
  attributes: AdmissionAttributes,
): boolean {
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
  return storedNamespace(stored, name).metadata.labels ?? {};
}

/** Throws 404. */
export function storedNamespace(stored: AdmissionAttributes['stored'], name: string): Namespace {
  for (const namespace of stored(namespaces)) if (namespace.metadata.name === name) return namespace;
  throw notFound(namespaces, name);
}

/** What `authorizer` stands for in the expressions about a request: its user, and its resource. */
export function accessOf(
  source: AccessSource | undefined,
  attributes: AdmissionAttributes,
): AdmissionInput['access'] {
  if (!source) return undefined;
  const { def, subresource = '', name, user, groups = [], uid, extra } = attributes;
  return {
    source,
    user: { name: user, groups, ...(uid === undefined ? {} : { uid }), ...(extra ? { extra } : {}) },
    resource: {
      group: def.group,
      resource: def.plural,
      subresource,
      namespace: namespaceOf(attributes) ?? '',
      name,
    },
  };
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
