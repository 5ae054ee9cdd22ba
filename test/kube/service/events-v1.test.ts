import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, eventsV1, type Event, type EventV1 } from '../../../src/api/kubernetes/index.ts';
import { startTestApi } from '../../support/api.ts';

const newer: EventV1 = {
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name: 'pulled', namespace: 'default' },
  eventTime: '2026-01-02T03:04:05.000006Z',
  reportingController: 'example.dev/controller',
  reportingInstance: 'controller-0',
  action: 'Pull',
  reason: 'Pulled',
  regarding: { kind: 'Pod', namespace: 'default', name: 'web' },
  note: 'image pulled',
  type: 'Normal',
};

test('an event has two faces, and is one object', async (t) => {
  const { client, service, close } = await startTestApi();
  t.after(close);
  const created = await client.create(eventsV1, newer);
  assert.equal(created.apiVersion, 'events.k8s.io/v1');
  const core = await client.get(events, { namespace: 'default', name: 'pulled' });
  assert.deepEqual(
    [core.apiVersion, core.involvedObject, core.message, core.reportingComponent, core.metadata.uid],
    ['v1', newer.regarding, 'image pulled', 'example.dev/controller', created.metadata.uid],
  );
  const old: Event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'old', namespace: 'default' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'web' },
    message: 'started',
    reason: 'Started',
    source: { component: 'kubelet' },
    count: 3,
    type: 'Normal',
  };
  await client.create(events, old);
  const { items } = await client.list(eventsV1, { fieldSelector: 'regarding.name=web,reason=Started' });
  assert.deepEqual(
    items.map((item) => [item.apiVersion, item.note, item.deprecatedCount, item.deprecatedSource]),
    [['events.k8s.io/v1', 'started', 3, { component: 'kubelet' }]],
  );
  const patch = { type: 'merge', body: { series: { count: 2, lastObservedTime: newer.eventTime } } } as const;
  const patched = await client.patch(eventsV1, { namespace: 'default', name: 'pulled' }, patch);
  assert.equal(patched.series?.count, 2);
  const stream = await service.watch(eventsV1);
  const seen: string[] = [];
  for await (const { object } of stream) {
    seen.push(`${object.metadata.name} ${object.apiVersion}`);
    if (seen.length === 2) break;
  }
  assert.deepEqual(seen, ['old events.k8s.io/v1', 'pulled events.k8s.io/v1']);
  await client.delete(eventsV1, { namespace: 'default', name: 'pulled' });
  await assert.rejects(client.get(events, { namespace: 'default', name: 'pulled' }), { code: 404 });
});

test('events of the newer group say what those of the older may leave out', async (t) => {
  const { client, close } = await startTestApi();
  t.after(close);
  const { action: _action, ...without } = newer;
  await assert.rejects(client.create(eventsV1, without), { message: /action: Required value/ });
  await assert.rejects(client.create(eventsV1, { ...newer, note: 'x'.repeat(2000) }), {
    message: /note: Invalid value: "": can have at most 1024 bytes/,
  });
});
