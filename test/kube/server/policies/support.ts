/** Policies and their bindings, as tests configure them. */
import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  type PolicyBindingSpec,
  type PolicySpec,
} from '../../../../src/api/kubernetes/index.ts';
import type { UntypedObject } from '../../../../src/api/object.ts';
import type { TestApi } from '../../../support/api.ts';
import { user } from '../../service/support.ts';

const apiVersion = 'admissionregistration.k8s.io/v1';

/** Every write of ConfigMaps. */
export const configMapWrites = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], operations: ['*'] }],
};

export function policy(name: string, spec: PolicySpec): UntypedObject {
  return {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name },
    spec: { matchConstraints: configMapWrites, ...spec },
  };
}

export function binding(name: string, spec: PolicyBindingSpec): UntypedObject {
  return {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name },
    spec: { validationActions: ['Deny'], ...spec },
  };
}

/** A policy `name` and a binding `name` that puts it in force. */
export async function enforce(
  { service }: TestApi,
  name: string,
  spec: PolicySpec,
  bindingSpec: PolicyBindingSpec = {},
): Promise<void> {
  const request = { user };
  await service.create(validatingAdmissionPolicies, undefined, policy(name, spec), request);
  await service.create(
    validatingAdmissionPolicyBindings,
    undefined,
    binding(name, { policyName: name, ...bindingSpec }),
    request,
  );
}

/** Removes all policies and bindings. */
export async function relax({ service }: TestApi): Promise<void> {
  for (const def of [validatingAdmissionPolicyBindings, validatingAdmissionPolicies]) {
    await service.deleteCollection(def, {}, { user });
  }
}
