import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import { silentLogger as log } from '../../src/base/log.ts';
import {
  validatingAdmissionPolicies,
  type ValidatingAdmissionPolicy,
} from '../../src/api/kubernetes/index.ts';
import { admissionPolicyStatusController } from '../../src/cluster/admission-policy-status.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers, type Kernel } from '../../src/kube/controller/kernel.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

let api: TestApi;
let informers: SharedInformers;
let kernel: Kernel;
before(async () => {
  api = await startTestApi();
  const { client } = api;
  informers = new SharedInformers({ client, clock, log });
  const env = { client, informers, clock, log };
  kernel = await startControllers([admissionPolicyStatusController(env, api.service.registry)], env);
});
after(async () => {
  await kernel.stop();
  informers.close();
  await api.close();
});

const policy = (name: string, expression: string): ValidatingAdmissionPolicy => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicy',
  metadata: { name },
  spec: {
    matchConstraints: {
      resourceRules: [
        { apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'], operations: ['CREATE'] },
      ],
    },
    validations: [{ expression }],
  },
});
/** The status, once it speaks of the policy as it is. */
const checked = (name: string) =>
  waitFor(`the types of ${name} to be checked`, async () => {
    const { metadata, status } = await api.client.get(validatingAdmissionPolicies, { name });
    return status?.observedGeneration === metadata.generation ? status : undefined;
  });

it('tells which expressions do not fit, and that all do once they were mended', async () => {
  const wrong = policy('replicas', "object.spec.replicas > '1'");
  await api.client.create(validatingAdmissionPolicies, wrong);
  const [warning] = (await checked('replicas'))?.typeChecking?.expressionWarnings ?? [];
  assert.equal(warning?.fieldRef, 'spec.validations[0].expression');
  const stored = await api.client.get(validatingAdmissionPolicies, { name: 'replicas' });
  const { spec } = policy('replicas', 'object.spec.replicas > 1');
  await api.client.update(validatingAdmissionPolicies, { ...stored, ...(spec ? { spec } : {}) });
  assert.deepEqual((await checked('replicas'))?.typeChecking, {});
});
