import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';

const day = 24 * 3600 * 1000;

test('waits longer than a timer of the runtime can', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let calls = 0;
  systemClock.after(60 * day, () => calls++);
  t.mock.timers.tick(1000);
  assert.equal(calls, 0, 'not at once');
  for (let i = 0; i < 59; i++) t.mock.timers.tick(day);
  assert.equal(calls, 0, 'not too early');
  // A tick ends later than what falls due in it, and each part of the wait begins at the end of a tick.
  for (let i = 0; i < 4; i++) t.mock.timers.tick(day);
  assert.equal(calls, 1);
  t.mock.timers.tick(60 * day);
  assert.equal(calls, 1, 'once');
});

test('a long wait can be called off at any time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const cancel = systemClock.after(60 * day, () => assert.fail('called off'));
  for (let i = 0; i < 40; i++) t.mock.timers.tick(day);
  cancel();
  for (let i = 0; i < 40; i++) t.mock.timers.tick(day);
});
