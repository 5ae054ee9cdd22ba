/** Tells in the status of each ValidatingAdmissionPolicy whether its expressions fit the kinds that it is about. */
import { validatingAdmissionPolicies } from '../api/kubernetes/admission-policies.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import type { ResourceSource } from '../kube/resource-registry.ts';
import { typeWarnings } from '../kube/server/policies/type-check.ts';

export function admissionPolicyStatusController(env: ControllerEnv, served: ResourceSource): Controller {
  const informer = env.informers.for(validatingAdmissionPolicies);
  return {
    name: 'validating-admission-policy-status',
    root: validatingAdmissionPolicies,
    watches: [],
    async reconcile({ name }: ObjectKey): Promise<Outcome> {
      const policy = informer.get(name);
      if (!policy || policy.metadata.deletionTimestamp) return;
      const { generation } = policy.metadata;
      if (policy.status?.typeChecking && policy.status.observedGeneration === generation) return;
      const expressionWarnings = typeWarnings(policy.spec ?? {}, served);
      await writeStatus(env.client, validatingAdmissionPolicies, policy, {
        ...policy.status,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        typeChecking: expressionWarnings.length > 0 ? { expressionWarnings } : {},
      });
    },
  };
}
