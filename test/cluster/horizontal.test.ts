import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { horizontalPodAutoscalers } from '../../src/api/kubernetes/autoscaling.ts';
import type { HorizontalPodAutoscaler, MetricSpec } from '../../src/api/kubernetes/autoscaling-defaults.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { makeUsage, type MetricsSource } from '../../src/api/kubernetes/metrics.ts';
import { deployments } from '../../src/api/kubernetes/workloads.ts';
import { timestamp } from '../../src/api/object.ts';
import { defineResource } from '../../src/api/resource.ts';
import { hasReason } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { makeDeployment, startTestCluster, type TestCluster } from './support.ts';

/** Every pod of `default` uses the same, old enough to count. */
function uniform(cluster: () => TestCluster, usage: () => { cores: number; bytes: number }): MetricsSource {
  return {
    nodes: () => Promise.resolve([]),
    pods: async () =>
      (await cluster().pods()).map(({ metadata }) => ({
        kind: 'PodMetrics',
        apiVersion: 'metrics.k8s.io/v1beta1',
        metadata: { name: metadata.name, namespace: 'default' },
        timestamp: timestamp(Date.now() + 60_000),
        window: '15s',
        containers: [{ name: 'app', usage: makeUsage(usage().cores, usage().bytes) }],
      })),
  };
}

const cpu = (averageUtilization: number): MetricSpec => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
});

function makeHpa(spec: Partial<NonNullable<HorizontalPodAutoscaler['spec']>>): HorizontalPodAutoscaler {
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'web', namespace: 'default' },
    spec: { scaleTargetRef, maxReplicas: 10, ...spec },
  };
}

describe('HorizontalPodAutoscaler', () => {
  let cluster: TestCluster;
  const used = { cores: 0.2, bytes: 2 ** 20 };
  const key = { namespace: 'default', name: 'web' };
  afterEach(() => cluster.close());

  async function start(options: { requests?: boolean; replicas?: number } = {}): Promise<void> {
    const metrics = uniform(
      () => cluster,
      () => used,
    );
    cluster = await startTestCluster({ metrics, resources: [widgets] });
    const deployment = makeDeployment('web', { replicas: options.replicas ?? 2 });
    const [container] = deployment.spec?.template.spec?.containers ?? [];
    if (container && options.requests !== false) container.resources = { requests: { cpu: '100m' } };
    await cluster.client.create(deployments, deployment);
    await waitFor('pods', async () => {
      const running = (await cluster.pods()).filter((pod) => pod.status?.phase === 'Running');
      return running.length === (options.replicas ?? 2);
    });
  }

  const widgetSchema = {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { size: { type: 'integer' } } },
      status: { type: 'object', properties: { size: { type: 'integer' }, selector: { type: 'string' } } },
    },
  } as const;
  const widgets = defineResource({
    group: 'example.com',
    version: 'v1',
    kind: 'Widget',
    plural: 'widgets',
    namespaced: true,
    builtin: false,
    columns: [],
    schema: widgetSchema,
    subresources: {
      status: true,
      scale: {
        specReplicas: '.spec.size',
        statusReplicas: '.status.size',
        labelSelector: '.status.selector',
      },
    },
  });

  const until = (what: string, check: (hpa: HorizontalPodAutoscaler) => boolean) =>
    waitFor(what, async () => {
      const hpa = await cluster.client.get(horizontalPodAutoscalers, key);
      return check(hpa) && hpa;
    });
  const condition = (hpa: HorizontalPodAutoscaler, type: string) => {
    const found = hpa.status?.conditions?.find((one) => one.type === type);
    return [found?.status, found?.reason, found?.message];
  };
  const eventTexts = async (): Promise<string[]> => {
    const { items } = await cluster.client.list(events, { namespace: 'default' });
    return items
      .filter((event) => event.involvedObject.kind === 'HorizontalPodAutoscaler')
      .map((event) => `${event.type} ${event.reason} ${event.message}`);
  };

  it('scales a Deployment up to what its pods need, and says so', async () => {
    await start();
    await cluster.client.create(horizontalPodAutoscalers, makeHpa({ metrics: [cpu(100)] }));
    const hpa = await until('a decision', ({ status }) => status?.desiredReplicas === 4);
    const deployment = await cluster.client.get(deployments, key);
    assert.equal(deployment.spec?.replicas, 4);
    assert.equal(hpa.status?.currentReplicas, 2);
    assert.ok(hpa.status.lastScaleTime);
    assert.deepEqual(hpa.status.currentMetrics, [
      {
        type: 'Resource',
        resource: { name: 'cpu', current: { averageUtilization: 200, averageValue: '200m' } },
      },
    ]);
    assert.deepEqual(condition(hpa, 'AbleToScale'), [
      'True',
      'SucceededRescale',
      'the HPA controller was able to update the target scale to 4',
    ]);
    assert.deepEqual(condition(hpa, 'ScalingActive'), [
      'True',
      'ValidMetricFound',
      'the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)',
    ]);
    assert.equal(condition(hpa, 'ScalingLimited')[0], 'False');
    const text =
      'Normal SuccessfulRescale New size: 4; reason: cpu resource utilization (percentage of request) above target';
    await waitFor('event', async () => (await eventTexts()).includes(text));
  });

  it('goes down when the behavior lets it, at once', async () => {
    await start({ replicas: 4 });
    const behavior = { scaleDown: { stabilizationWindowSeconds: 0 } };
    await cluster.client.create(horizontalPodAutoscalers, makeHpa({ metrics: [cpu(800)], behavior }));
    await until('one pod', ({ status }) => status?.desiredReplicas === 1);
    await waitFor('one pod', async () => (await cluster.pods()).length === 1);
    await waitFor('event', async () =>
      (await eventTexts()).includes('Normal SuccessfulRescale New size: 1; reason: All metrics below target'),
    );
  });

  it('holds to minimum and maximum without metrics', async () => {
    await start();
    await cluster.client.create(horizontalPodAutoscalers, makeHpa({ minReplicas: 3, metrics: [cpu(200)] }));
    await waitFor('three pods', async () => (await cluster.pods()).length === 3);
    await waitFor('event', async () =>
      (await eventTexts()).includes(
        'Normal SuccessfulRescale New size: 3; reason: Current number of replicas below Spec.MinReplicas',
      ),
    );
    const body = { spec: { minReplicas: 1, maxReplicas: 1 } };
    await cluster.client.patch(horizontalPodAutoscalers, key, { type: 'merge', body });
    await waitFor('one pod', async () => (await cluster.pods()).length === 1);
  });

  it('says why it cannot: no request, no target, no such metric', async () => {
    await start({ requests: false });
    await cluster.client.create(horizontalPodAutoscalers, makeHpa({ metrics: [cpu(100)] }));
    const failed = await until('a failure', (hpa) => condition(hpa, 'ScalingActive')[0] === 'False');
    const [, reason, message] = condition(failed, 'ScalingActive');
    assert.equal(reason, 'FailedGetResourceMetric');
    assert.match(
      message ?? '',
      /^the HPA was unable to compute the replica count: failed to get cpu resource metric value: failed to get cpu utilization: missing request for cpu in container app of Pod web-/,
    );
    const pods = {
      type: 'Pods',
      pods: { metric: { name: 'rate' }, target: { type: 'AverageValue', averageValue: '10' } },
    };
    const change = async (spec: object): Promise<void> => {
      await cluster.client.patch(horizontalPodAutoscalers, key, { type: 'merge', body: { spec } });
    };
    await change({ metrics: [pods] });
    await until('no custom metrics', (hpa) => condition(hpa, 'ScalingActive')[1] === 'FailedGetPodsMetric');
    await change({ scaleTargetRef: { name: 'absent' } });
    const lost = await until('no target', (hpa) => condition(hpa, 'AbleToScale')[0] === 'False');
    assert.deepEqual(condition(lost, 'AbleToScale'), [
      'False',
      'FailedGetScale',
      `the HPA controller was unable to get the target's current scale: deployments.apps "absent" not found`,
    ]);
    await change({ scaleTargetRef: { name: 'web', kind: 'Gadget', apiVersion: 'example.com/v1' } });
    await until('no kind', (hpa) =>
      (condition(hpa, 'AbleToScale')[2] ?? '').endsWith(
        'no matches for kind "Gadget" in group "example.com"',
      ),
    );
    await waitFor('events', async () => {
      const reasons = new Set((await eventTexts()).map((text) => text.split(' ')[1]));
      const wanted = ['FailedGetResourceMetric', 'FailedComputeMetricsReplicas', 'FailedGetPodsMetric'];
      return wanted.every((name) => reasons.has(name));
    });
  });

  it('takes the metric that asks for the most; one without an answer does not stop a scale up', async () => {
    await start();
    const memory: MetricSpec = {
      type: 'Resource',
      resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '256Ki' } },
    };
    const external: MetricSpec = {
      type: 'External',
      external: { metric: { name: 'queue' }, target: { type: 'Value', value: '3' } },
    };
    await cluster.client.create(
      horizontalPodAutoscalers,
      makeHpa({ metrics: [cpu(150), memory, external], maxReplicas: 5 }),
    );
    const hpa = await until('a decision', ({ status }) => (status?.desiredReplicas ?? 0) > 2);
    // Memory wants eight; double of two is four.
    assert.equal(hpa.status?.desiredReplicas, 4);
    assert.equal(condition(hpa, 'ScalingLimited')[1], 'ScaleUpLimit');
  });

  it('scales custom resources, and none that is at zero', async () => {
    await start({ replicas: 1 });
    const widget = {
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      metadata: { name: 'w', namespace: 'default' },
    };
    await cluster.client.create(widgets, { ...widget, spec: { size: 0 } });
    const status = { size: 0, selector: 'app=web' };
    const at = { namespace: 'default', name: 'w' };
    const patch = { type: 'merge', body: { status } } as const;
    await cluster.client.patch(widgets, at, patch, { subresource: 'status' });
    const scaleTargetRef = { apiVersion: 'example.com/v1', kind: 'Widget', name: 'w' };
    await cluster.client.create(horizontalPodAutoscalers, makeHpa({ scaleTargetRef, metrics: [cpu(50)] }));
    await until('disabled', (hpa) => condition(hpa, 'ScalingActive')[1] === 'ScalingDisabled');
    await cluster.client.patch(widgets, at, { type: 'merge', body: { spec: { size: 1 } } });
    const body = { spec: { maxReplicas: 3 } };
    await cluster.client.patch(horizontalPodAutoscalers, key, { type: 'merge', body });
    await waitFor('three', async () => (await cluster.client.get(widgets, at)).spec?.size === 3);
  });

  it('is refused with Kubernetes’ words when it makes no sense', async () => {
    await start({ replicas: 1 });
    const refuse = async (spec: Parameters<typeof makeHpa>[0], message: RegExp): Promise<void> => {
      await assert.rejects(cluster.client.create(horizontalPodAutoscalers, makeHpa(spec)), (error: Error) => {
        assert.ok(hasReason(error, 'Invalid'), error.message);
        assert.match(error.message, message);
        return true;
      });
    };
    await refuse({ maxReplicas: 0 }, /spec.maxReplicas: Invalid value: 0: must be greater than 0/);
    await refuse(
      { minReplicas: 3, maxReplicas: 2 },
      /spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`/,
    );
    await refuse({ metrics: [{ type: 'Weather' }] }, /spec.metrics\[0\].type: Unsupported value: "Weather"/);
    await refuse({ metrics: [{ type: 'Pods' }] }, /must populate information for the given metric source/);
    await refuse(
      { behavior: { scaleUp: { policies: [{ type: 'Pods', value: 0, periodSeconds: 1 }] } } },
      /spec.behavior.scaleUp.policies\[0\].value: Invalid value: 0: must be greater than zero/,
    );
    const made = await cluster.client.create(horizontalPodAutoscalers, makeHpa({ behavior: {} }));
    assert.deepEqual(made.spec?.metrics, [cpu(80)]);
    assert.equal(made.spec.minReplicas, 1);
    assert.equal(made.spec.behavior?.scaleUp?.policies?.length, 2);
  });
});
