import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { readScalingSpec, type ScalingSpec } from '../../../src/api/autoscaling/annotations.ts';
import { defaultServingConfig } from '../../../src/api/serving/config/index.ts';
import {
  activatorCount,
  decideScale,
  initialScaleState,
  type ScaleInput,
} from '../../../src/serving/autoscaler/decide.ts';

const defaults = readScalingSpec({}, 0, defaultServingConfig.autoscaler);

function input(change: Partial<Omit<ScaleInput, 'spec'>> & { spec?: Partial<ScalingSpec> } = {}): ScaleInput {
  return {
    now: 1_000_000,
    stableLoad: 0,
    panicLoad: 0,
    readyPods: 1,
    held: 0,
    reachable: true,
    initialized: true,
    state: initialScaleState(0, 0),
    ...change,
    spec: { ...defaults, ...change.spec },
  };
}

describe('decideScale', () => {
  const table: [string, Parameters<typeof input>[0], number][] = [
    ['nothing asked for', {}, 0],
    ['one request needs one pod', { stableLoad: 1, panicLoad: 1 }, 1],
    ['70 % of 100 fit one pod', { stableLoad: 70, panicLoad: 70 }, 1],
    ['a little more needs two', { stableLoad: 70.1, panicLoad: 70.1 }, 2],
    ['a held request is worth a pod', { held: 1 }, 1],
    ['a held request is worth activation-scale', { held: 1, readyPods: 0, spec: { activationScale: 3 } }, 3],
    ['activation-scale means nothing without demand', { spec: { activationScale: 3 } }, 0],
    ['min-scale', { spec: { minScale: 2 } }, 2],
    ['min-scale of a revision without route', { reachable: false, spec: { minScale: 2 } }, 0],
    ['max-scale', { stableLoad: 7000, panicLoad: 7000, spec: { maxScale: 5 } }, 5],
    ['initial-scale until reached', { initialized: false, spec: { initialScale: 4 } }, 4],
    ['scale to zero off', { spec: { enableScaleToZero: false } }, 1],
    ['not more than halved at a time', { readyPods: 10 }, 5],
    ['halved rounds down', { readyPods: 3 }, 1],
    ['a revision without route may drop at once', { readyPods: 10, reachable: false }, 0],
    ['up-rate limits', { stableLoad: 7000, panicLoad: 7000, readyPods: 2, spec: { maxScaleUpRate: 2 } }, 4],
  ];
  for (const [what, change, desired] of table) {
    test(what, () => assert.equal(decideScale(input(change)).desired, desired));
  }

  test('panic: over twice the capacity it adds by the short window, and holds for a stable window', () => {
    const first = decideScale(input({ stableLoad: 10, panicLoad: 150 }));
    assert.deepEqual([first.panic, first.desired], [true, 3]);
    const calmer = { stableLoad: 20, panicLoad: 20, readyPods: 3 };
    const later = decideScale(input({ ...calmer, now: 1_030_000, state: first.state }));
    assert.deepEqual([later.panic, later.desired], [true, 3]);
    const over = decideScale(input({ ...calmer, now: 1_061_000, state: later.state }));
    assert.deepEqual([over.panic, over.desired], [false, 1]);
  });

  test('a scaler that finds pods running does not remove them before it knows', () => {
    const state = initialScaleState(4, 1_000_000);
    assert.equal(decideScale(input({ readyPods: 4, state, now: 1_002_000 })).desired, 4);
    assert.equal(decideScale(input({ readyPods: 4, state, now: 1_061_000 })).desired, 2);
  });

  test('scale-down-delay keeps the highest wish', () => {
    const spec = { scaleDownDelayMs: 30_000 };
    const high = decideScale(input({ stableLoad: 200, panicLoad: 200, readyPods: 3, spec }));
    assert.equal(high.desired, 3);
    const soon = decideScale(input({ readyPods: 3, spec, now: 1_020_000, state: high.state }));
    assert.equal(soon.desired, 3);
    const late = decideScale(input({ readyPods: 3, spec, now: 1_031_000, state: soon.state }));
    assert.equal(late.desired, 1);
  });

  test('excess burst capacity', () => {
    assert.equal(decideScale(input({ readyPods: 3, panicLoad: 10 })).excessBurstCapacity, 300 - 211 - 10);
    assert.equal(decideScale(input({ spec: { targetBurstCapacity: 0 } })).excessBurstCapacity, 0);
    assert.equal(decideScale(input({ spec: { targetBurstCapacity: -1 } })).excessBurstCapacity, -1);
    assert.equal(activatorCount(defaults, 3, 100), 6);
    assert.equal(activatorCount({ ...defaults, targetBurstCapacity: 0 }, 3, 100), 2);
  });
});

const load = fc.double({ min: 0, max: 100_000, noNaN: true });
const anyInput = fc
  .record({
    stableLoad: load,
    panicLoad: load,
    readyPods: fc.nat(1000),
    held: fc.nat(1000),
    reachable: fc.boolean(),
    initialized: fc.boolean(),
    panicSince: fc.option(fc.integer({ min: 900_000, max: 1_000_000 }), { nil: undefined }),
    panicPeak: fc.nat(50),
    minScale: fc.nat(20),
    above: fc.nat(100),
    unlimited: fc.boolean(),
    initialScale: fc.integer({ min: 1, max: 10 }),
    activationScale: fc.integer({ min: 1, max: 10 }),
    scaleDownDelayMs: fc.constantFrom(0, 30_000),
  })
  .map(
    ({
      panicSince,
      panicPeak,
      minScale,
      above,
      unlimited,
      initialScale,
      activationScale,
      scaleDownDelayMs,
      ...rest
    }) =>
      input({
        ...rest,
        state: { panicSince, panicPeak: panicSince === undefined ? 0 : panicPeak, wishes: [] },
        spec: {
          minScale,
          maxScale: unlimited ? 0 : Math.max(1, minScale, initialScale) + above,
          initialScale,
          activationScale,
          scaleDownDelayMs,
        },
      }),
  );

describe('properties of decideScale', () => {
  test('stays within min-scale and max-scale', () => {
    fc.assert(
      fc.property(anyInput, (given) => {
        const { desired } = decideScale(given);
        const { minScale, maxScale } = given.spec;
        assert.ok(Number.isInteger(desired) && desired >= 0);
        if (given.reachable) assert.ok(desired >= minScale);
        if (maxScale > 0) assert.ok(desired <= maxScale);
      }),
    );
  });

  test('never zero while requests are held', () => {
    fc.assert(fc.property(anyInput, (given) => given.held === 0 || decideScale(given).desired > 0));
  });

  test('more load never means fewer pods', () => {
    fc.assert(
      fc.property(anyInput, load, load, (given, moreStable, morePanic) => {
        const more = {
          ...given,
          stableLoad: given.stableLoad + moreStable,
          panicLoad: given.panicLoad + morePanic,
        };
        assert.ok(decideScale(more).desired >= decideScale(given).desired);
      }),
    );
  });

  test('in panic it never goes below its peak', () => {
    fc.assert(
      fc.property(anyInput, (given) => {
        const { panic, state, desired } = decideScale(given);
        if (!panic || given.spec.maxScale > 0) return;
        assert.ok(state.panicPeak >= given.state.panicPeak && desired >= state.panicPeak);
      }),
    );
  });
});
