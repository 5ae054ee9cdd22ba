import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { LoadWindow } from '../../../src/serving/autoscaler/window.ts';

const near = (actual: number, expected: number, within = 1e-6): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`);

describe('LoadWindow', () => {
  test('is empty at first and after a whole window without load', () => {
    const window = new LoadWindow(6000);
    assert.equal(window.average(10_000), 0);
    window.record(10_000, 11_000, 5);
    near(window.average(11_000), 5);
    assert.equal(window.average(30_000), 0);
  });

  test('averages from the first report, not over seconds before it', () => {
    const window = new LoadWindow(60_000);
    window.record(0, 1000, 10);
    window.record(1000, 2000, 20);
    near(window.average(2000), 15);
  });

  test('seconds without a report count as idle', () => {
    const window = new LoadWindow(60_000);
    window.record(0, 1000, 10);
    near(window.average(10_000), 1);
  });

  test('a report that spans two buckets counts once', () => {
    const window = new LoadWindow(60_000);
    window.record(500, 1500, 8);
    near(window.average(1500), 8);
  });

  test('a new burst after a pause is not thinned by the pause', () => {
    const window = new LoadWindow(6000);
    window.record(0, 1000, 1);
    window.record(20_000, 21_000, 30);
    near(window.average(21_000), 30);
  });

  test('newer seconds weigh more in the exponential average', () => {
    const rising = new LoadWindow(6000);
    const falling = new LoadWindow(6000);
    for (let i = 0; i < 6; i++) {
      rising.record(i * 1000, (i + 1) * 1000, i);
      falling.record(i * 1000, (i + 1) * 1000, 5 - i);
    }
    assert.ok(rising.exponentialAverage(6000) > 2.5);
    assert.ok(falling.exponentialAverage(6000) < 2.5);
  });

  test('steady load is its own average, in both ways of averaging', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1000, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.integer({ min: 0, max: 999 }),
        fc.integer({ min: 1000, max: 60_000 }),
        (load, seconds, start, offset, size) => {
          const window = new LoadWindow(size);
          const first = start * 1000 + offset;
          for (let i = 0; i < seconds; i++) window.record(first + i * 1000, first + (i + 1) * 1000, load);
          near(window.average(first + seconds * 1000), load, load * 1e-6 + 1e-6);
          near(window.exponentialAverage(first + seconds * 1000), load, load * 1e-6 + 1e-6);
        },
      ),
    );
  });

  test('an average lies between the least and the most', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1000, noNaN: true }), { minLength: 1, maxLength: 100 }),
        fc.integer({ min: 0, max: 999 }),
        (loads, offset) => {
          const window = new LoadWindow(30_000);
          loads.forEach((load, i) => window.record(offset + i * 1000, offset + (i + 1) * 1000, load));
          const average = window.average(offset + loads.length * 1000);
          assert.ok(average <= Math.max(...loads) + 1e-6 && average >= 0, String(average));
        },
      ),
    );
  });
});
