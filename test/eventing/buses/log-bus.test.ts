/** The default bus: groups, order, bounds, redelivery, removal. */
import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { BusMessage, Delivery } from '../../../src/eventing/buses/bus.ts';
import { decodeEnvelope, encodeEnvelope } from '../../../src/eventing/buses/envelope.ts';
import { LogBus, type LogBusOptions } from '../../../src/eventing/buses/log-bus.ts';
import { ContiguousOffset } from '../../../src/eventing/log/offsets.ts';
import { waitFor } from '../../support/wait.ts';
import { event, temporaryDirectory } from '../support.ts';

function openBus(directory: string, limits: LogBusOptions['limits'] = {}): Promise<LogBus> {
  return LogBus.open({ directory, clock: systemClock, log: silentLogger, limits });
}

const message = (id: string, data = ''): BusMessage => ({
  event: event({ id }, data),
  headers: { 'x-request-id': id },
});
const idOf = (delivery: Delivery): string => delivery.event.attributes.id;
const many = { maxInFlight: () => 100 };

test('each group gets every event since it was made, with its headers', async () => {
  await using directory = await temporaryDirectory();
  const bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.append(message('0'));
  const seen: Record<string, string[]> = { a: [], b: [] };
  for (const [group, ids] of Object.entries(seen)) {
    await topic.createGroup(group);
    topic.subscribe(group, {
      ...many,
      handle: async (delivery) => {
        assert.equal(delivery.headers['x-request-id'], idOf(delivery));
        assert.ok(Math.abs(delivery.appendedAt - Date.now()) < 60_000);
        ids.push(idOf(delivery));
      },
    });
    await topic.append(message(`after ${group}`));
  }
  await waitFor('all deliveries', () => seen['a']?.length === 2 && seen['b']?.length === 1);
  assert.deepEqual(seen, { a: ['after a', 'after b'], b: ['after b'] });
  await bus.close(0);
});

test('an event that is not dealt with holds back the commit, and comes again after a restart', async () => {
  await using directory = await temporaryDirectory();
  let bus = await openBus(directory.path);
  let topic = await bus.open('t');
  await topic.createGroup('g');
  const first: string[] = [];
  topic.subscribe('g', {
    ...many,
    handle: async (delivery) => {
      first.push(idOf(delivery));
      if (idOf(delivery) !== '1') return;
      await new Promise((_, reject) => {
        delivery.signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
      });
    },
  });
  for (const id of ['0', '1', '2', '3']) await topic.append(message(id));
  await waitFor('all to be tried', () => first.length === 4);
  assert.deepEqual(topic.lag(), [{ group: 'g', lag: 3 }]);
  await bus.close(0);

  bus = await openBus(directory.path);
  topic = await bus.open('t');
  const second: string[] = [];
  topic.subscribe('g', { ...many, handle: async (delivery) => void second.push(idOf(delivery)) });
  await waitFor('the rest', () => second.length === 3);
  assert.deepEqual(second, ['1', '2', '3']);
  await waitFor('the commit', () => topic.lag()[0]?.lag === 0);
  await bus.close(0);

  bus = await openBus(directory.path);
  assert.deepEqual((await bus.open('t')).lag(), [{ group: 'g', lag: 0 }]);
  await bus.close(0);
});

test('close waits for what is under way, as long as its grace', async () => {
  await using directory = await temporaryDirectory();
  const bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.createGroup('g');
  const gate = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  topic.subscribe('g', {
    ...many,
    handle: async () => {
      started.resolve();
      await gate.promise;
    },
  });
  await topic.append(message('0'));
  await started.promise;
  const closing = bus.close(60_000);
  gate.resolve();
  await closing;
  const again = await openBus(directory.path);
  assert.equal((await again.open('t')).lag()[0]?.lag, 0);
  await again.close(0);
});

test('no more events than allowed are in flight, and one at a time keeps order', async () => {
  await using directory = await temporaryDirectory();
  const bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.createGroup('bounded');
  await topic.createGroup('ordered');
  let active = 0;
  let most = 0;
  let handled = 0;
  topic.subscribe('bounded', {
    maxInFlight: () => 3,
    handle: async () => {
      most = Math.max(most, ++active);
      await new Promise((resolve) => setImmediate(resolve));
      active--;
      handled++;
    },
  });
  const order: string[] = [];
  topic.subscribe('ordered', {
    maxInFlight: () => 1,
    handle: async (delivery) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
      order.push(idOf(delivery));
    },
  });
  const ids = Array.from({ length: 50 }, (_, i) => String(i));
  await Promise.all(ids.map((id) => topic.append(message(id))));
  await waitFor('all', () => handled === 50 && order.length === 50);
  assert.equal(most, 3);
  assert.deepEqual(order, ids);
  await bus.close(0);
});

test('memory is bounded by bytes, too: large events wait on disk', async () => {
  await using directory = await temporaryDirectory();
  const bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.createGroup('g');
  const gate = Promise.withResolvers<void>();
  let started = 0;
  topic.subscribe('g', {
    maxInFlight: () => 1000,
    handle: async () => {
      started++;
      await gate.promise;
    },
  });
  const megabyte = 'x'.repeat(1024 * 1024);
  for (let i = 0; i < 24; i++) await topic.append(message(String(i), megabyte));
  await waitFor('as many as may be', () => started === 15);
  gate.resolve();
  await waitFor('all', () => started === 24);
  await bus.close(0);
});

test('a handler that fails gets the event again', async () => {
  await using directory = await temporaryDirectory();
  const bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.createGroup('g');
  let tries = 0;
  topic.subscribe('g', {
    ...many,
    handle: async () => {
      if (++tries === 1) throw new Error('not today');
    },
  });
  await topic.append(message('0'));
  await waitFor('the second try', () => tries === 2);
  await waitFor('the commit', () => topic.lag()[0]?.lag === 0);
  await bus.close(0);
});

test('deleted groups and topics are gone for good', async () => {
  await using directory = await temporaryDirectory();
  let bus = await openBus(directory.path);
  const topic = await bus.open('t');
  await topic.createGroup('g');
  topic.subscribe('g', { ...many, handle: () => Promise.resolve() });
  await topic.deleteGroup('g');
  assert.deepEqual(topic.lag(), []);
  assert.throws(() => topic.subscribe('g', { ...many, handle: () => Promise.resolve() }), /does not exist/);
  await bus.delete('t');
  await bus.delete('t');
  await assert.rejects(topic.append(message('0')), { code: 'EVENTING_LOG_CLOSED' });
  assert.deepEqual(await bus.stored(), []);
  assert.deepEqual((await bus.open('t')).lag(), []);
  await bus.close(0);
  // A crash between the two steps of a removal.
  await mkdir(join(directory.path, 'half.removed'));
  bus = await openBus(directory.path);
  assert.deepEqual(await readdir(directory.path), ['t']);
  await assert.rejects(async () => bus.open('../elsewhere'), /not a topic name/);
  await bus.close(0);
});

test('a commit never passes an event that is not done', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(Array.from({ length: 30 }, (_, i) => i)), (order) => {
      const offsets = new ContiguousOffset(0);
      const done = new Set<number>();
      for (const offset of order) {
        done.add(offset);
        const committed = offsets.done(offset);
        for (let i = 0; i < committed; i++) assert.ok(done.has(i));
        assert.ok(!done.has(committed));
      }
    }),
  );
});

test('an envelope keeps event and headers', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), fc.uint8Array(), (headers, data) => {
      const original = { event: { ...event({ id: 'ü' }), data: Buffer.from(data) }, headers };
      const decoded = decodeEnvelope(encodeEnvelope(original));
      assert.deepEqual(decoded.event, original.event);
      assert.deepEqual({ ...decoded.headers }, { ...headers });
    }),
  );
});
