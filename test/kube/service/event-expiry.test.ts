import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { timestamp, type UntypedObject } from '../../../src/api/object.ts';
import { startEventExpiry } from '../../../src/kube/server/service/event-expiry.ts';
import { startTestApi } from '../../support/api.ts';
import { resource, user } from './support.ts';

const minute = 60_000;

test('events go an hour after they last occurred, and only then', async (t) => {
  const clock = new ManualClock(1_700_000_000_000);
  const { service, close } = await startTestApi({ clock });
  t.after(close);
  const events = resource(service, 'events');
  const create = async (name: string, lastSeenMs: number): Promise<void> => {
    const event: UntypedObject = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: 'default' },
      involvedObject: { kind: 'Pod', name: 'a', namespace: 'default' },
      reason: 'Started',
      type: 'Normal',
      lastTimestamp: timestamp(lastSeenMs),
    };
    await service.create(events, 'default', event, { user });
  };
  await create('once', clock.now());
  await create('repeated', clock.now() + 30 * minute);
  const stop = startEventExpiry(service, events, { clock, log: silentLogger });
  const stream = await service.watch(events, { sendInitialEvents: false });
  const gone = stream.next();
  // Each sweep finishes, and schedules the next, before time moves on.
  for (let i = 0; i < 62; i++) {
    clock.advance(minute);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
  const { value } = await gone;
  assert.deepEqual([value?.type, value?.object.metadata.name], ['DELETED', 'once']);
  const { records } = await service.list(events);
  assert.deepEqual(
    records.map(({ object }) => object.metadata.name),
    ['repeated'],
  );
  stop();
  await stream.return();
});
