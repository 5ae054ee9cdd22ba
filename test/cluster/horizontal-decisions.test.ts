import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { defaultBehavior, type HpaBehavior } from '../../src/api/kubernetes/autoscaling-defaults.ts';
import { timestamp } from '../../src/api/object.ts';
import type { Pod } from '../../src/api/pods.ts';
import { limitReplicas, type LimitInput } from '../../src/cluster/horizontal/limits.ts';
import { groupPods, type PodFigure } from '../../src/cluster/horizontal/pod-groups.ts';
import { replicasForAverage, replicasForUtilization } from '../../src/cluster/horizontal/replicas.ts';

const now = Date.parse('2026-01-02T12:00:00Z');
const minute = 60_000;

interface PodOptions {
  readonly ready?: boolean;
  readonly startedMinutesAgo?: number;
  readonly changedMinutesAgo?: number;
  readonly phase?: string;
  readonly deleted?: boolean;
  readonly cpu?: string;
}

function makePod(name: string, options: PodOptions = {}): Pod {
  const { ready = true, startedMinutesAgo = 60, changedMinutesAgo = 59, phase = 'Running' } = options;
  const { deleted = false, cpu = '1' } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...(deleted ? { deletionTimestamp: timestamp(now) } : {}) },
    spec: { containers: [{ name: 'app', image: 'app', resources: { requests: { cpu } } }] },
    status: {
      phase,
      startTime: timestamp(now - startedMinutesAgo * minute),
      conditions: [
        {
          type: 'Ready',
          status: ready ? 'True' : 'False',
          lastTransitionTime: timestamp(now - changedMinutesAgo * minute),
        },
      ],
    },
  };
}

function figures(values: Record<string, number>): Map<string, PodFigure> {
  return new Map(Object.entries(values).map(([name, value]) => [name, { value, at: now, windowMs: 15_000 }]));
}

function measure(pods: readonly Pod[], values: Record<string, number>, currentReplicas = pods.length) {
  const tolerances = { up: 0.1, down: 0.1 };
  return { pods, figures: figures(values), resource: 'cpu', currentReplicas, tolerances, now };
}

const utilization = (pods: readonly Pod[], values: Record<string, number>, target: number): number =>
  replicasForUtilization(measure(pods, values), target).replicas;

describe('replicas by utilization', () => {
  const two = [makePod('a'), makePod('b')];
  const cases: [string, readonly Pod[], Record<string, number>, number, number][] = [
    ['doubles when the pods use twice the target', two, { a: 1, b: 1 }, 50, 4],
    ['rounds up', two, { a: 0.6, b: 0.6 }, 50, 3],
    ['stays within a tenth of the target', two, { a: 0.54, b: 0.55 }, 50, 2],
    ['halves when idle', [...two, makePod('c'), makePod('d')], { a: 0.2, b: 0.2, c: 0.2, d: 0.2 }, 40, 2],
    ['goes down to one pod', two, { a: 0.01, b: 0.01 }, 50, 1],
    ['takes a missing pod for busy before a scale down', two, { a: 0.4 }, 80, 2],
    ['takes a missing pod for idle before a scale up', two, { a: 1.2 }, 50, 3],
    ['does not turn round because of a missing pod', two, { a: 0.45 }, 50, 2],
  ];
  for (const [what, pods, values, target, expected] of cases) {
    it(what, () => assert.equal(utilization(pods, values, target), expected));
  }

  it('does not count pods that are going, and takes those not ready for idle', () => {
    const young = makePod('young', { ready: false, startedMinutesAgo: 1, changedMinutesAgo: 1 });
    const going = makePod('going', { deleted: true });
    assert.equal(utilization([makePod('a'), going], { a: 1, going: 1 }, 50), 2);
    // 1 used of 2 requested where half is wanted: the young pod will take its share.
    assert.equal(utilization([makePod('a'), young], { a: 1, young: 5 }, 50), 2);
  });

  it('says what it saw, and what is missing', () => {
    const { current } = replicasForUtilization(measure(two, { a: 0.255, b: 0.245 }), 50);
    assert.deepEqual(current, { averageUtilization: 25, averageValue: '250m' });
    const bare = makePod('bare');
    delete bare.spec?.containers[0]?.resources;
    assert.throws(() => utilization([bare], { bare: 1 }, 50), {
      message: 'missing request for cpu in container app of Pod bare',
    });
    assert.throws(() => utilization([], {}, 50), /no pods returned by selector/);
    assert.throws(() => utilization([makePod('p', { phase: 'Pending' })], { p: 1 }, 50), /might be unready/);
  });

  it('looks at one container alone when asked', () => {
    const pod = makePod('a');
    pod.spec?.containers.push({ name: 'side', image: 'x' });
    const { replicas } = replicasForUtilization(measure([pod], { a: 1 }), 50, 'app');
    assert.equal(replicas, 2);
  });
});

describe('replicas by average value', () => {
  it('compares with the amount per pod', () => {
    const pods = [makePod('a'), makePod('b')];
    const found = replicasForAverage(measure(pods, { a: 0.75, b: 0.25 }), 0.25);
    assert.deepEqual(found, { replicas: 4, current: { averageValue: '500m' } });
  });

  it('property: never moves against the ratio, and is near the exact quotient', () => {
    const values = fc.array(fc.double({ min: 0.001, max: 4, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.05, max: 2, noNaN: true }), (used, target) => {
        const pods = used.map((_, i) => makePod(`p${i}`));
        const by = Object.fromEntries(used.map((value, i) => [`p${i}`, value]));
        const { replicas } = replicasForAverage(measure(pods, by), target);
        const total = used.reduce((sum, value) => sum + value, 0);
        const exact = total / target;
        if (Math.abs(exact / pods.length - 1) <= 0.1 - 1e-9) assert.equal(replicas, pods.length);
        else if (Math.abs(exact / pods.length - 1) > 0.1 + 1e-9) {
          assert.ok(Math.abs(replicas - exact) <= 1 + 1e-6, `${replicas} for ${exact}`);
        }
      }),
    );
  });
});

describe('groups of pods', () => {
  const group = (pod: Pod, figure: Partial<PodFigure> | undefined, resource = 'cpu') => {
    const known = figure ? new Map([['p', { value: 1, at: now, windowMs: 15_000, ...figure }]]) : new Map();
    const { readyCount, unready, missing, ignored } = groupPods([pod], known, resource, now);
    if (readyCount) return 'ready';
    return unready.size ? 'unready' : missing.size ? 'missing' : ignored.size ? 'ignored' : 'none';
  };
  it('follow the age, the readiness and the window of the figure', () => {
    assert.equal(group(makePod('p'), {}), 'ready');
    assert.equal(group(makePod('p'), undefined), 'missing');
    assert.equal(group(makePod('p', { phase: 'Failed' }), {}), 'ignored');
    const young = { startedMinutesAgo: 2, changedMinutesAgo: 0.1 };
    assert.equal(group(makePod('p', young), {}), 'unready');
    assert.equal(group(makePod('p', young), { windowMs: 1000 }), 'ready');
    assert.equal(group(makePod('p', { ...young, ready: false }), {}, 'memory'), 'ready');
    assert.equal(group(makePod('p', { ready: false }), {}), 'ready', 'was ready once');
    assert.equal(group(makePod('p', { ready: false, changedMinutesAgo: 60 }), {}), 'unready', 'never was');
  });
});

function limit(input: Partial<LimitInput>): ReturnType<typeof limitReplicas> {
  const history = { recommendations: [], ups: [], downs: [] };
  return limitReplicas({
    current: 4,
    wanted: 4,
    min: 1,
    max: 100,
    behavior: undefined,
    history,
    now,
    ...input,
  });
}

function behavior(given: HpaBehavior): HpaBehavior {
  const full = structuredClone(given);
  defaultBehavior(full);
  return full;
}

describe('limits without a behavior', () => {
  it('at most double at once, or four', () => {
    assert.equal(limit({ wanted: 50 }).replicas, 8);
    assert.equal(limit({ wanted: 50, current: 1 }).replicas, 4);
    assert.deepEqual(limit({ wanted: 50 }).limited.reason, 'ScaleUpLimit');
  });
  it('between minimum and maximum', () => {
    assert.deepEqual(limit({ wanted: 7, max: 6 }).limited, {
      status: true,
      reason: 'TooManyReplicas',
      message: 'the desired replica count is more than the maximum replica count',
    });
    assert.equal(limit({ wanted: 1, min: 3 }).replicas, 3);
    assert.equal(limit({ wanted: 1, min: 3 }).limited.reason, 'TooFewReplicas');
    assert.equal(limit({ wanted: 5 }).limited.status, false);
  });
  it('goes down only when nothing higher was right for five minutes', () => {
    const recommendations = [{ at: now - 4 * minute, replicas: 4 }];
    const history = { recommendations, ups: [], downs: [] };
    const held = limit({ wanted: 1, history });
    assert.equal(held.replicas, 4);
    assert.equal(held.able.reason, 'ScaleDownStabilized');
    assert.equal(limit({ wanted: 1, history, now: now + 2 * minute }).replicas, 1);
  });
});

describe('limits of a behavior', () => {
  it('default policies: four pods or double up; down at once to the minimum', () => {
    const both = behavior({ scaleDown: { stabilizationWindowSeconds: 0 } });
    assert.equal(limit({ wanted: 50, current: 2, behavior: both }).replicas, 6);
    assert.equal(limit({ wanted: 50, current: 10, behavior: both }).replicas, 20);
    assert.equal(limit({ wanted: 1, current: 10, behavior: both }).replicas, 1);
  });
  it('counts what was changed within the period', () => {
    const policies = [{ type: 'Pods', value: 4, periodSeconds: 60 }];
    const slow = behavior({ scaleUp: { policies } });
    const ups = [{ at: now - 30_000, change: 3 }];
    const history = { recommendations: [], ups, downs: [] };
    assert.equal(limit({ wanted: 50, current: 7, behavior: slow, history }).replicas, 8);
    assert.equal(limit({ wanted: 50, current: 7, behavior: slow, history, now: now + minute }).replicas, 11);
  });
  it('selects the policy of the least or the most change, or none', () => {
    const policies = [
      { type: 'Pods', value: 1, periodSeconds: 60 },
      { type: 'Percent', value: 50, periodSeconds: 60 },
    ];
    const down = (selectPolicy: string): number =>
      limit({
        wanted: 1,
        current: 10,
        behavior: behavior({ scaleDown: { policies, selectPolicy, stabilizationWindowSeconds: 0 } }),
      }).replicas;
    assert.equal(down('Max'), 5);
    assert.equal(down('Min'), 9);
    assert.equal(down('Disabled'), 10);
  });
  it('waits in both directions', () => {
    const calm = behavior({ scaleUp: { stabilizationWindowSeconds: 60 } });
    const recommendations = [{ at: now - 30_000, replicas: 5 }];
    const history = { recommendations, ups: [], downs: [] };
    const up = limit({ wanted: 8, behavior: calm, history });
    assert.deepEqual([up.replicas, up.able.reason], [5, 'ScaleUpStabilized']);
    const down = limit({ wanted: 1, behavior: calm, history });
    assert.deepEqual([down.replicas, down.able.reason], [4, 'ScaleDownStabilized']);
  });

  it('property: the outcome lies between minimum and maximum, and never beyond what was wanted', () => {
    const rules = fc.record({
      selectPolicy: fc.constantFrom('Max', 'Min', 'Disabled'),
      stabilizationWindowSeconds: fc.integer({ min: 0, max: 600 }),
      policies: fc.array(
        fc.record({
          type: fc.constantFrom('Pods', 'Percent'),
          value: fc.integer({ min: 1, max: 200 }),
          periodSeconds: fc.integer({ min: 1, max: 600 }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    });
    const replicas = fc.integer({ min: 1, max: 60 });
    const recent = fc.integer({ min: 0, max: 600_000 }).map((ms) => now - ms);
    const input = fc.record({
      current: replicas,
      wanted: replicas,
      behavior: fc.option(fc.record({ scaleUp: rules, scaleDown: rules }), { nil: undefined }),
      history: fc.record({
        recommendations: fc.array(fc.record({ at: recent, replicas })),
        ups: fc.array(fc.record({ at: recent, change: fc.integer({ min: 1, max: 5 }) })),
        downs: fc.array(fc.record({ at: recent, change: fc.integer({ min: 1, max: 5 }) })),
      }),
    });
    fc.assert(
      fc.property(input, (given) => {
        const { current, wanted, history } = given;
        const seen = [...history.recommendations.map((one) => one.replicas), current, wanted];
        const found = limit({ ...given, min: 1, max: 60 }).replicas;
        assert.ok(found >= 1 && found <= 60);
        assert.ok(found >= Math.min(...seen) && found <= Math.max(...seen));
      }),
    );
  });
});
