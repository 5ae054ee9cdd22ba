import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readScalingSpec } from '../../src/api/autoscaling/annotations.ts';
import { timestamp } from '../../src/api/object.ts';
import { defaultServingConfig } from '../../src/api/serving/config/index.ts';
import { activationGraceMs, planScale, type PlanInput } from '../../src/serving/pod-autoscaler/plan.ts';

const now = 10_000_000;
const spec = readScalingSpec({}, 0, defaultServingConfig.autoscaler);
const since = (status: 'True' | 'False' | 'Unknown', ageMs: number, initialized = true) => [
  { type: 'Active', status, lastTransitionTime: timestamp(now - ageMs) },
  { type: 'ScaleTargetInitialized', status: initialized ? ('True' as const) : ('Unknown' as const) },
];

function plan(change: Partial<PlanInput>) {
  const { want, action, Active, initialized } = planScale({
    now,
    desired: 0,
    replicas: 1,
    ready: 1,
    reachable: true,
    spec,
    conditions: since('True', 120_000),
    since: 0,
    progressDeadlineMs: 600_000,
    ...change,
  });
  return { want, action, active: Active.status, reason: Active.reason, initialized };
}

describe('planScale', () => {
  test('active and idle for a window: retire', () => {
    assert.deepEqual(plan({}), {
      want: 0,
      action: 'retire',
      active: 'False',
      reason: 'NoTraffic',
      initialized: true,
    });
  });

  test('active for less than a window: stay', () => {
    assert.deepEqual(plan({ conditions: since('True', 30_000) }).want, 1);
  });

  test('watched for less than a window, as after a restart: stay', () => {
    assert.deepEqual(plan({ since: now - 5_000 }).want, 1);
  });

  test('the retention period holds the last pod, inactive', () => {
    const kept = { ...spec, retentionPeriodMs: 60_000 };
    assert.deepEqual(plan({ spec: kept }), {
      want: 1,
      action: 'none',
      active: 'False',
      reason: 'NoTraffic',
      initialized: true,
    });
    assert.equal(plan({ spec: kept, conditions: since('False', 30_000) }).action, 'none');
    assert.equal(plan({ spec: kept, conditions: since('False', 61_000) }).action, 'retire');
  });

  test('activating: pods get their time even when nobody waits any more', () => {
    const waiting = { ready: 0, conditions: since('Unknown', 60_000) };
    assert.deepEqual(plan(waiting), {
      want: 1,
      action: 'none',
      active: 'Unknown',
      reason: 'Queued',
      initialized: true,
    });
    const late = { ready: 0, conditions: since('Unknown', 600_000 + activationGraceMs + 1000) };
    assert.deepEqual(plan(late), {
      want: 0,
      action: 'scale',
      active: 'False',
      reason: 'TimedOut',
      initialized: true,
    });
  });

  test('demand at zero: scale up, queued', () => {
    const woken = plan({ desired: 2, replicas: 0, ready: 0, conditions: since('False', 1000) });
    assert.deepEqual(woken, {
      want: 2,
      action: 'scale',
      active: 'Unknown',
      reason: 'Queued',
      initialized: true,
    });
  });

  test('a new revision is initialized by its initial-scale pods only', () => {
    const fresh = { ...spec, initialScale: 3 };
    const conditions = since('Unknown', 1000, false);
    assert.equal(plan({ desired: 3, replicas: 3, ready: 2, spec: fresh, conditions }).initialized, false);
    const done = plan({ desired: 3, replicas: 3, ready: 3, spec: fresh, conditions });
    assert.deepEqual([done.initialized, done.active], [true, 'True']);
  });

  test('initial-scale 0 is ready without a pod', () => {
    const none = plan({ replicas: 0, ready: 0, spec: { ...spec, initialScale: 0 }, conditions: undefined });
    assert.deepEqual(none, {
      want: 0,
      action: 'none',
      active: 'False',
      reason: 'NoTraffic',
      initialized: true,
    });
  });

  test('min-scale pods are needed to be active', () => {
    const kept = { ...spec, minScale: 2 };
    assert.equal(plan({ desired: 2, replicas: 2, ready: 1, spec: kept }).active, 'Unknown');
    assert.equal(plan({ desired: 2, replicas: 2, ready: 2, spec: kept }).active, 'True');
    assert.equal(plan({ desired: 1, replicas: 1, ready: 1, reachable: false, spec: kept }).active, 'True');
  });
});
