import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  fromV1,
  toV1,
  type HorizontalPodAutoscalerV1,
} from '../../../src/api/kubernetes/autoscaling-conversion.ts';
import {
  defaultBehavior,
  type HorizontalPodAutoscaler,
  type MetricSpec,
} from '../../../src/api/kubernetes/autoscaling-defaults.ts';
import {
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
} from '../../../src/api/kubernetes/autoscaling.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };

function makeV2(spec: Partial<NonNullable<HorizontalPodAutoscaler['spec']>>): HorizontalPodAutoscaler {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'web', namespace: 'default' },
    spec: { scaleTargetRef: target, minReplicas: 1, maxReplicas: 3, ...spec },
  };
}

function makeV1(spec: Partial<NonNullable<HorizontalPodAutoscalerV1['spec']>>): HorizontalPodAutoscalerV1 {
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'web', namespace: 'default' },
    spec: { scaleTargetRef: target, maxReplicas: 3, ...spec },
  };
}

const percent = fc.integer({ min: 1, max: 200 });
const amount = fc.integer({ min: 1, max: 999 }).map((n) => `${n}m`);
const resourceTarget = fc.oneof(
  percent.map((averageUtilization) => ({ type: 'Utilization', averageUtilization })),
  amount.map((averageValue) => ({ type: 'AverageValue', averageValue })),
);
const averageTarget = amount.map((averageValue) => ({ type: 'AverageValue', averageValue }));
const valueTarget = fc.oneof(
  averageTarget,
  amount.map((value) => ({ type: 'Value', value })),
);
const identifier = fc.record({ name: fc.constantFrom('rate', 'depth') });
const resourceName = fc.constantFrom('cpu', 'memory');
const metric: fc.Arbitrary<MetricSpec> = fc.oneof(
  fc
    .record({ name: resourceName, target: resourceTarget })
    .map((resource) => ({ type: 'Resource', resource })),
  fc
    .record({ name: resourceName, container: fc.constant('app'), target: resourceTarget })
    .map((containerResource) => ({ type: 'ContainerResource', containerResource })),
  fc.record({ metric: identifier, target: averageTarget }).map((pods) => ({ type: 'Pods', pods })),
  fc
    .record({ metric: identifier, target: valueTarget, describedObject: fc.constant(target) })
    .map((object) => ({ type: 'Object', object })),
  fc.record({ metric: identifier, target: valueTarget }).map((external) => ({ type: 'External', external })),
);

const isCpuShare = ({ resource }: MetricSpec): boolean =>
  resource?.name === 'cpu' && resource.target.averageUtilization !== undefined;

describe('conversion of HorizontalPodAutoscalers', () => {
  it('property: v2 survives v1, but that the share of CPU comes first', () => {
    const metrics = fc
      .array(metric, { minLength: 1, maxLength: 4 })
      .filter((list) => list.filter(isCpuShare).length <= 1);
    const behavior = fc.option(
      fc.record({ window: fc.integer({ min: 0, max: 3600 }), value: percent }).map(({ window, value }) => {
        const given = {
          scaleDown: {
            stabilizationWindowSeconds: window,
            policies: [{ type: 'Pods', value, periodSeconds: 60 }],
          },
        };
        defaultBehavior(given);
        return given;
      }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(metrics, behavior, (list, rules) => {
        const before = makeV2({ metrics: list, ...(rules ? { behavior: rules } : {}) });
        before.metadata.annotations = { note: 'kept' };
        const after = fromV1(JSON.parse(JSON.stringify(toV1(before))) as HorizontalPodAutoscalerV1);
        const first = list.filter(isCpuShare);
        const expected = [...first, ...list.filter((one) => !isCpuShare(one))];
        // Values that fast-check makes have no prototype.
        assert.deepEqual(after, JSON.parse(JSON.stringify(makeV2Like(before, expected))));
      }),
    );
  });

  function makeV2Like(before: HorizontalPodAutoscaler, metrics: MetricSpec[]): HorizontalPodAutoscaler {
    return before.spec ? { ...before, spec: { ...before.spec, metrics } } : before;
  }

  it('v1 without any metric means a CPU share of eighty percent', () => {
    const { spec } = fromV1(makeV1({}));
    assert.deepEqual(spec?.metrics, [
      {
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } },
      },
    ]);
  });

  it('annotations that do not parse are passed over', () => {
    const hpa = makeV1({ targetCPUUtilizationPercentage: 50 });
    hpa.metadata.annotations = {
      'autoscaling.alpha.kubernetes.io/metrics': '{',
      'autoscaling.alpha.kubernetes.io/behavior': '[1]',
    };
    const { spec, metadata } = fromV1(hpa);
    assert.equal(spec?.metrics?.length, 1);
    assert.equal(spec.behavior, undefined);
    assert.equal(metadata.annotations, undefined);
  });
});

describe('two versions of one HorizontalPodAutoscaler', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());
  const key = { namespace: 'default', name: 'web' };

  it('what is written in one is read in the other', async () => {
    const made = await api.client.create(
      horizontalPodAutoscalersV1,
      makeV1({ targetCPUUtilizationPercentage: 60 }),
    );
    assert.equal(made.apiVersion, 'autoscaling/v1');
    assert.equal(made.spec?.minReplicas, 1);
    const v2 = await api.client.get(horizontalPodAutoscalers, key);
    assert.equal(v2.spec?.metrics?.[0]?.resource?.target.averageUtilization, 60);
    const memory = {
      type: 'Resource',
      resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '64Mi' } },
    };
    const behavior = { scaleDown: { stabilizationWindowSeconds: 10 } };
    const metrics = [...(v2.spec?.metrics ?? []), memory];
    await api.client.patch(horizontalPodAutoscalers, key, {
      type: 'merge',
      body: { spec: { metrics, behavior } },
    });
    const v1 = await api.client.get(horizontalPodAutoscalersV1, key);
    assert.equal(v1.spec?.targetCPUUtilizationPercentage, 60);
    assert.deepEqual(JSON.parse(v1.metadata.annotations?.['autoscaling.alpha.kubernetes.io/metrics'] ?? ''), [
      { type: 'Resource', resource: { name: 'memory', targetAverageValue: '64Mi' } },
    ]);
    // An old client raises the maximum: what it does not know stays.
    const body = { spec: { maxReplicas: 7 } };
    await api.client.patch(horizontalPodAutoscalersV1, key, { type: 'merge', body });
    const last = await api.client.get(horizontalPodAutoscalers, key);
    assert.equal(last.spec?.maxReplicas, 7);
    assert.deepEqual(last.spec.metrics?.[1], memory);
    assert.equal(last.spec.behavior?.scaleDown?.stabilizationWindowSeconds, 10);
    assert.equal(last.metadata.uid, made.metadata.uid);
    assert.equal((await api.client.list(horizontalPodAutoscalersV1)).items[0]?.apiVersion, 'autoscaling/v1');
  });
});
