import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock } from '../../../src/base/clock.ts';
import { WorkQueue } from '../../../src/kube/controller/queue.ts';

function makeQueue() {
  const clock = new ManualClock();
  return { clock, queue: new WorkQueue(clock, () => {}) };
}

describe('work queue', () => {
  it('hands a key out once however often it was added', () => {
    const { queue } = makeQueue();
    queue.add('a');
    queue.add('a');
    assert.equal(queue.take(), 'a');
    assert.equal(queue.take(), undefined);
  });

  it('keeps a key that changes while running until it is done', () => {
    const { queue } = makeQueue();
    queue.add('a');
    queue.take();
    queue.add('a');
    assert.equal(queue.take(), undefined);
    queue.done('a');
    assert.equal(queue.take(), 'a');
  });

  it('takes the earliest of several delays', () => {
    const { queue, clock } = makeQueue();
    queue.addAfter('a', 100);
    queue.addAfter('a', 10);
    queue.addAfter('a', 50);
    clock.advance(10);
    assert.equal(queue.take(), 'a');
    queue.done('a');
    clock.advance(1000);
    assert.equal(queue.take(), undefined);
  });

  it('doubles the back-off of a failing key and resets it on forget', () => {
    const { queue, clock } = makeQueue();
    const delays: number[] = [];
    for (let i = 0; i < 4; i++) {
      queue.addRateLimited('a');
      let waited = 0;
      while (queue.take() === undefined) {
        clock.advance(1);
        waited++;
      }
      queue.done('a');
      delays.push(waited);
    }
    assert.deepEqual(delays, [5, 10, 20, 40]);
    queue.forget('a');
    queue.addRateLimited('a');
    clock.advance(5);
    assert.equal(queue.take(), 'a');
  });

  it('never runs a key twice at the same time and never loses one (property)', () => {
    const operation = fc.oneof(
      fc.record({
        op: fc.constantFrom('add' as const, 'done' as const),
        key: fc.constantFrom('a', 'b', 'c'),
      }),
      fc.record({ op: fc.constantFrom('take' as const), key: fc.constant('') }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const { queue } = makeQueue();
        const running = new Set<string>();
        const owed = new Set<string>();
        for (const { op, key } of operations) {
          if (op === 'add') {
            queue.add(key);
            owed.add(key);
          } else if (op === 'take') {
            const taken = queue.take();
            if (taken === undefined) continue;
            assert.ok(!running.has(taken), 'handed out while running');
            running.add(taken);
            owed.delete(taken);
          } else if (running.delete(key)) {
            queue.done(key);
          }
        }
        for (const key of running) queue.done(key);
        for (let key = queue.take(); key !== undefined; key = queue.take()) owed.delete(key);
        assert.equal(owed.size, 0, 'an added key was lost');
      }),
    );
  });
});
