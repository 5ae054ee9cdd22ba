import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock } from '../../src/base/clock.ts';
import { TimerEntry, TimerWheel } from '../../src/gateway/timer-wheel.ts';

/** Resolution of the wheel, and one for a timer that is rounded up. */
const slackMs = 26;

test('deadlines fire in time, never early, and far ones survive the turn of the wheel', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 20 }), (delays) => {
      const clock = new ManualClock(12_345);
      const wheel = new TimerWheel(clock);
      const fired: number[] = delays.map(() => NaN);
      delays.forEach((delay, i) => {
        const due = clock.now() + delay;
        const entry = new TimerEntry((now) => {
          fired[i] = now - due;
          return Infinity;
        });
        wheel.ensure(entry, due);
      });
      clock.advance(201_000);
      for (const late of fired) assert.ok(late >= 0 && late <= 50, `late by ${late}`);
    }),
  );
});

test('an entry moves only nearer, looks again when told so, and can be cancelled', () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const asked: number[] = [];
  const entry = new TimerEntry((now) => {
    asked.push(now);
    return asked.length < 3 ? now + 1000 : Infinity;
  });
  wheel.ensure(entry, 1000);
  wheel.ensure(entry, 5000);
  wheel.ensure(entry, 500);
  clock.advance(10_000);
  assert.deepEqual(asked, [500, 1500, 2500]);
  wheel.ensure(entry, 11_000);
  wheel.cancel(entry);
  clock.advance(10_000);
  assert.equal(asked.length, 3);
});

test('a deadline is kept when an entry that was due before it asks for a later time', () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const asked: string[] = [];
  const resting = new TimerEntry((now) => {
    asked.push(`resting ${Math.round(now / 1000)}`);
    return now + 60_000;
  });
  const request = new TimerEntry((now) => {
    asked.push(`request ${Math.round(now / 1000)}`);
    return Infinity;
  });
  wheel.ensure(resting, 5000);
  clock.advance(1000);
  wheel.ensure(request, 11_000);
  clock.advance(11_000);
  assert.deepEqual(asked, ['resting 5', 'request 11']);
});

test('every entry is asked at its time, whatever the others do', () => {
  const step = fc.oneof(
    fc.record({
      entry: fc.nat(5),
      in: fc.integer({ min: 0, max: 70_000 }),
      again: fc.option(fc.integer({ min: 1, max: 70_000 }), { nil: Infinity }),
    }),
    fc.record({ cancel: fc.nat(5) }),
    fc.record({ pass: fc.integer({ min: 1, max: 40_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new ManualClock();
      const wheel = new TimerWheel(clock);
      // When each entry has to be asked, and what it answers then.
      const due = Array.from({ length: 6 }, () => Infinity);
      const again = Array.from({ length: 6 }, () => Infinity);
      const entries = due.map(
        (_, i) =>
          new TimerEntry((now) => {
            const planned = due[i] ?? Infinity;
            assert.ok(now >= planned, `entry ${i} asked at ${now}, due at ${planned}`);
            assert.ok(now <= planned + slackMs, `entry ${i} asked at ${now}, due at ${planned}`);
            due[i] = now + (again[i] ?? Infinity);
            again[i] = Infinity;
            return due[i] ?? Infinity;
          }),
      );
      for (const one of steps) {
        if ('pass' in one) clock.advance(one.pass);
        else {
          const i = 'cancel' in one ? one.cancel : one.entry;
          const entry = entries[i];
          assert.ok(entry);
          if ('cancel' in one) {
            wheel.cancel(entry);
            due[i] = Infinity;
          } else if (clock.now() + one.in < (due[i] ?? Infinity)) {
            due[i] = clock.now() + one.in;
            again[i] = one.again;
            wheel.ensure(entry, clock.now() + one.in);
          }
        }
        for (const time of due) assert.ok(clock.now() <= time + slackMs, `nobody was asked at ${time}`);
      }
    }),
    { numRuns: 500 },
  );
});
