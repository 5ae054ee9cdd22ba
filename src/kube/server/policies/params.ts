/** The objects that a binding gives to the expressions of its policy (apiserver …/policy/generic CollectParams). */
import type { ParamKind, ParamRef } from '../../../api/kubernetes/admission-policies.ts';
import { matchesSelector } from '../../../api/kubernetes/selectors.ts';
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../../api/resource.ts';
import type { ResourceSource } from '../../resource-registry.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { inVersion } from '../service/versions.ts';
import { namespaceOf } from '../webhooks/match.ts';

/** What is configured cannot be carried out: the policy's failure policy decides. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}

/** The resource of a kind. Throws {@link ConfigurationError}. */
export function paramResource(
  { apiVersion = '', kind = '' }: ParamKind,
  served: Pick<ResourceSource, 'resources'>,
): ResourceDef {
  const found = served.resources.find((def) => def.kind === kind && apiVersionOf(def) === apiVersion);
  if (found) return found;
  throw new ConfigurationError(
    `failed to find resource referenced by paramKind: '${apiVersion}, Kind=${kind}'`,
  );
}

/**
 * One evaluation is made with each. `null`: once, without params. Empty: none, and that is allowed.
 * Throws {@link ConfigurationError}, and what a conversion of the params throws.
 */
export async function collectParams(
  kind: ParamKind | undefined,
  ref: ParamRef | undefined,
  attributes: Pick<AdmissionAttributes, 'def' | 'name' | 'namespace' | 'stored'>,
  served: Pick<ResourceSource, 'resources'>,
): Promise<readonly (KubeObject | null)[]> {
  if (!kind) return [null];
  const def = paramResource(kind, served);
  if (!ref) return [null];
  if (ref.namespace && !def.namespaced) {
    throw new ConfigurationError('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
  }
  const namespace = def.namespaced
    ? ref.namespace || namespaceOf(attributes as AdmissionAttributes)
    : undefined;
  if (def.namespaced && !namespace) {
    throw new ConfigurationError(
      'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources',
    );
  }
  const found: KubeObject[] = [];
  for (const object of attributes.stored(def, namespace)) {
    const { name, labels } = object.metadata;
    if (ref.name ? name === ref.name : matchesSelector(ref.selector, labels)) found.push(object);
  }
  if (found.length === 0 && ref.parameterNotFoundAction === 'Deny') {
    throw new ConfigurationError('no params found for policy binding with `Deny` parameterNotFoundAction');
  }
  return Promise.all(found.map(async (object) => inVersion(def, object as UntypedObject)));
}
