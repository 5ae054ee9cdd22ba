import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { dealHand, Level, type Release } from '../../../../src/kube/server/flow-control/level.ts';
import { fails } from '../../service/support.ts';

const { signal } = new AbortController();
const queuing = { queues: 8, handSize: 1, lengthLimit: 3 };

/** A seat that is free. */
function taken(seat: Release | Promise<Release>): Release {
  assert.ok(typeof seat === 'function', 'there was no free seat');
  return seat;
}
/** A flow that waits in another queue than `flow` does. */
function otherFlow(flow: string): string {
  const [own] = dealHand(flow, queuing.queues, 1);
  for (let i = 0; ; i++) if (dealHand(`other${i}`, queuing.queues, 1)[0] !== own) return `other${i}`;
}
const refusal = 'Too many requests, please try again later.';

describe('a priority level', () => {
  it('refuses whoever finds no seat, where it has no queues', () => {
    const level = new Level({ seats: 1 });
    const release = taken(level.enter('a', signal));
    assert.throws(() => level.enter('a', signal), { code: 429, message: refusal });
    release();
    release();
    assert.equal(level.running, 0);
    taken(level.enter('a', signal))();
  });

  it('lets waiting requests in as seats come free, those of a flow in their order', async () => {
    const level = new Level({ seats: 1, queuing });
    const release = taken(level.enter('a', signal));
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (number) => {
      const seat = await level.enter('a', signal);
      order.push(number);
      assert.equal(level.running, 1);
      seat();
    });
    assert.equal(level.waiting, 3);
    release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
    assert.deepEqual([level.running, level.waiting], [0, 0]);
  });

  it('a flow that fills its queue is refused, and another one has its turn between', async () => {
    const level = new Level({ seats: 1, queuing });
    const release = taken(level.enter('a', signal));
    const order: string[] = [];
    const wait = async (flow: string): Promise<void> => {
      const seat = await level.enter(flow, signal);
      order.push(flow);
      seat();
    };
    const other = otherFlow('a');
    const waiting = [wait('a'), wait('a'), wait('a')];
    await fails(wait('a'), 429, 'TooManyRequests', refusal);
    waiting.push(wait(other));
    release();
    await Promise.all(waiting);
    assert.deepEqual(order, ['a', other, 'a', 'a']);
  });

  it('a client that has gone does not wait', async () => {
    const level = new Level({ seats: 1, queuing });
    const release = taken(level.enter('a', signal));
    const gone = new AbortController();
    const waiting = level.enter('a', gone.signal);
    assert.ok(waiting instanceof Promise);
    gone.abort();
    await fails(waiting, 429, 'TooManyRequests', refusal);
    release();
    assert.deepEqual([level.running, level.waiting], [0, 0]);
  });

  it('waiting ends after a quarter of a minute', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const level = new Level({ seats: 0, queuing });
    const waiting = level.enter('a', signal);
    assert.ok(waiting instanceof Promise);
    context.mock.timers.tick(15_000);
    await fails(waiting, 429, 'TooManyRequests', refusal);
    assert.equal(level.waiting, 0);
  });

  it('more seats let in who waits', async () => {
    const level = new Level({ seats: 0, queuing });
    const waiting = level.enter('a', signal);
    level.limits = { seats: 1, queuing };
    (await waiting)();
    assert.equal(level.running, 0);
  });
});

it('a hand has as many different queues as it should, the same ones each time', () => {
  const sizes = fc.integer({ min: 1, max: 200 }).chain((queues) =>
    fc.record({
      queues: fc.constant(queues),
      handSize: fc.integer({ min: 1, max: Math.min(queues, 8) }),
      flow: fc.string(),
    }),
  );
  fc.assert(
    fc.property(sizes, ({ queues, handSize, flow }) => {
      const hand = dealHand(flow, queues, handSize);
      assert.equal(new Set(hand).size, handSize);
      assert.ok(hand.every((number) => number >= 0 && number < queues));
      assert.deepEqual(dealHand(flow, queues, handSize), hand);
    }),
  );
});
