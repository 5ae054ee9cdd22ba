import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { podAutoscalers } from '../../src/api/autoscaling/index.ts';
import { horizontalPodAutoscalers } from '../../src/api/kubernetes/autoscaling.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { deployments } from '../../src/api/kubernetes/workloads.ts';
import { findCondition } from '../../src/api/knative/conditions.ts';
import { knativeServices } from '../../src/api/serving/index.ts';
import { waitFor } from '../support/wait.ts';
import { makeKsvc, ready, startServing, type ServingPlatform } from './support.ts';

let platform: ServingPlatform;
before(async () => {
  platform = await startServing();
});
after(() => platform.close());

const hpaClass = { 'autoscaling.knative.dev/class': 'hpa.autoscaling.knative.dev' };
const at = (name: string) => ({ namespace: 'default', name: `${name}-00001` });

async function create(name: string, annotations: Record<string, string>) {
  await platform.client.create(
    knativeServices,
    makeKsvc(name, { annotations: { ...hpaClass, ...annotations } }),
  );
  await platform.until(knativeServices, name, 'ready', ready);
  return platform.client.get(horizontalPodAutoscalers, at(name));
}

test('a revision of class HPA gets a HorizontalPodAutoscaler, is always active and stays as it is scaled', async () => {
  const hpa = await create('busy', {
    'autoscaling.knative.dev/metric': 'cpu',
    'autoscaling.knative.dev/target': '55.5',
    'autoscaling.knative.dev/min-scale': '2',
    'autoscaling.knative.dev/max-scale': '7',
    'autoscaling.knative.dev/window': '30s',
  });
  const { name } = at('busy');
  assert.deepEqual(hpa.spec?.scaleTargetRef, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    name: `${name}-deployment`,
  });
  assert.deepEqual([hpa.spec.minReplicas, hpa.spec.maxReplicas], [2, 7]);
  assert.deepEqual(hpa.spec.metrics, [
    { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 56 } } },
  ]);
  assert.equal(hpa.spec.behavior?.scaleUp?.stabilizationWindowSeconds, 30);
  assert.equal(hpa.spec.behavior.scaleDown?.stabilizationWindowSeconds, 30);
  assert.equal(hpa.metadata.ownerReferences?.[0]?.kind, 'PodAutoscaler');
  // Nothing is measured here: the count stays what the revision began with.
  const deployment = { namespace: 'default', name: `${name}-deployment` };
  await waitFor(
    'two pods',
    async () => (await platform.client.get(deployments, deployment)).spec?.replicas === 2,
  );
  await platform.until(
    podAutoscalers,
    name,
    'both pods, and to be active and ready',
    ({ status }) =>
      status?.actualScale === 2 &&
      ['Active', 'Ready'].every((type) => findCondition(status.conditions, type)?.status === 'True'),
  );
  assert.equal(
    (await platform.list(pods)).filter(({ metadata }) => metadata.name.startsWith(name)).length,
    2,
  );
});

test('memory is in MiB, other metrics are custom ones, and without a target the default holds', async () => {
  const memory = await create('memory', {
    'autoscaling.knative.dev/metric': 'memory',
    'autoscaling.knative.dev/target': '64',
  });
  assert.deepEqual(memory.spec?.metrics?.[0]?.resource, {
    name: 'memory',
    target: { type: 'AverageValue', averageValue: '64Mi' },
  });
  assert.deepEqual([memory.spec.minReplicas, memory.spec.maxReplicas], [1, 2_147_483_647]);
  assert.equal(memory.spec.behavior, undefined);
  const custom = await create('custom', {
    'autoscaling.knative.dev/metric': 'queue-length',
    'autoscaling.knative.dev/target': '10',
  });
  assert.equal(custom.spec?.metrics?.[0]?.pods?.metric.name, 'queue-length');
  const plain = await create('plain', {});
  assert.equal(plain.spec?.metrics?.[0]?.resource?.target.averageUtilization, 80);
});

test('somebody else’s edit of the HorizontalPodAutoscaler is put right, without writing what is right already', async () => {
  const hpa = await create('steady', { 'autoscaling.knative.dev/window': '30s' });
  const body = { spec: { maxReplicas: 3 } };
  await platform.client.patch(horizontalPodAutoscalers, at('steady'), { type: 'merge', body });
  const mended = await waitFor('the maximum again', async () => {
    const found = await platform.client.get(horizontalPodAutoscalers, at('steady'));
    return found.spec?.maxReplicas === 2_147_483_647 && found;
  });
  assert.deepEqual(mended.spec, hpa.spec);
});
