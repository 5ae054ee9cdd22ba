import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import { silentLogger as log } from '../../src/base/log.ts';
import {
  autoUpdateAnnotation,
  flowSchemas,
  priorityLevelConfigurations,
  type FlowSchema,
} from '../../src/api/kubernetes/index.ts';
import {
  ensureFlowControlDefaults,
  flowControlControllers,
} from '../../src/cluster/flow-control-defaults.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
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
  await ensureFlowControlDefaults(env);
  kernel = await startControllers(flowControlControllers(env), env);
});
after(async () => {
  await kernel.stop();
  informers.close();
  await api.close();
});

const schema = (name: string): Promise<FlowSchema | undefined> =>
  api.client.get(flowSchemas, { name }).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
const dangling = async (name: string): Promise<string | undefined> =>
  (await schema(name))?.status?.conditions?.find(({ type }) => type === 'Dangling')?.status;

it('what is deleted comes back', async () => {
  for (const name of ['catch-all', 'service-accounts']) {
    const before = await schema(name);
    await api.client.delete(flowSchemas, { name });
    await waitFor(`${name} to come back`, async () => {
      const now = await schema(name);
      return now !== undefined && now.metadata.uid !== before?.metadata.uid;
    });
  }
});

it('what is changed becomes as it was, unless somebody has taken it over', async () => {
  const change = async (auto: string, matchingPrecedence: number): Promise<void> => {
    const name = 'global-default';
    await api.client.patch(
      flowSchemas,
      { name },
      {
        type: 'merge',
        body: {
          metadata: { annotations: { [autoUpdateAnnotation]: auto } },
          spec: { matchingPrecedence },
        },
      },
    );
  };
  const precedence = async (): Promise<number | undefined> =>
    (await schema('global-default'))?.spec?.matchingPrecedence;
  await change('true', 9000);
  await waitFor('the suggested precedence', async () => (await precedence()) === 9900);
  await change('false', 9001);
  // Once the controller has seen a later change of another object, it has had this one as well.
  await api.client.delete(flowSchemas, { name: 'probes' });
  await waitFor('probes to come back', async () => (await schema('probes')) !== undefined);
  assert.equal(await precedence(), 9001);
});

it('a schema tells whether its level is there', async () => {
  const apiVersion = 'flowcontrol.apiserver.k8s.io/v1';
  await api.client.create(flowSchemas, {
    apiVersion,
    kind: 'FlowSchema',
    metadata: { name: 'early' },
    spec: { priorityLevelConfiguration: { name: 'late' } },
  });
  await waitFor('the missing level to be told', async () => (await dangling('early')) === 'True');
  await api.client.create(priorityLevelConfigurations, {
    apiVersion,
    kind: 'PriorityLevelConfiguration',
    metadata: { name: 'late' },
    spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } },
  });
  await waitFor('the level to be found', async () => (await dangling('early')) === 'False');
});
