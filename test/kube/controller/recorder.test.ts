import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { KubeObject } from '../../../src/api/object.ts';
import { events, type Event } from '../../../src/api/kubernetes/events.ts';
import { Recorder } from '../../../src/kube/controller/recorder.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

const about: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default', uid: 'uid-1', resourceVersion: '7' },
};

describe('event recorder', () => {
  let api: TestApi;
  let clock: ManualClock;
  let recorder: Recorder;
  beforeEach(async () => {
    clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
    api = await startTestApi({ clock });
    recorder = new Recorder({
      client: api.client,
      clock,
      log: silentLogger,
      component: 'tester',
      host: 'here',
    });
  });
  afterEach(async () => {
    await recorder.close();
    await api.close();
  });

  const list = async (): Promise<readonly Event[]> =>
    (await api.client.list(events, { namespace: 'default' })).items;

  it('writes an event about the object, after a moment', async () => {
    recorder.event(about, 'Normal', 'Scaled', 'to 3', 'spec.x');
    assert.deepEqual(await list(), []);
    await recorder.flush();
    const [event] = await list();
    assert.match(event?.metadata.name ?? '', /^web\.[0-9a-f]+$/);
    assert.deepEqual(event?.involvedObject, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: 'web',
      namespace: 'default',
      uid: 'uid-1',
      resourceVersion: '7',
      fieldPath: 'spec.x',
    });
    assert.deepEqual(event.source, { component: 'tester', host: 'here' });
    assert.deepEqual([event.type, event.reason, event.message, event.count], ['Normal', 'Scaled', 'to 3', 1]);
  });

  it('counts what comes again, in one write when it comes at once', async () => {
    for (let i = 0; i < 5; i++) recorder.event(about, 'Warning', 'Failed', 'again');
    await recorder.flush();
    clock.advance(60_000);
    recorder.event(about, 'Warning', 'Failed', 'again');
    recorder.event(about, 'Warning', 'Failed', 'something else');
    await recorder.flush();
    const items = [...(await list())].sort((a, b) => (b.count ?? 0) - (a.count ?? 0));
    assert.deepEqual(
      items.map((event) => event.count),
      [6, 1],
    );
    assert.equal(items[0]?.firstTimestamp, '2026-01-01T00:00:00Z');
    assert.equal(items[0]?.lastTimestamp, '2026-01-01T00:01:00Z');
  });

  it('begins a new event after ten quiet minutes, and when the old one was deleted', async () => {
    recorder.event(about, 'Normal', 'Seen', 'x');
    await recorder.flush();
    clock.advance(11 * 60_000);
    recorder.event(about, 'Normal', 'Seen', 'x');
    await recorder.flush();
    assert.deepEqual(
      (await list()).map((event) => event.count),
      [1, 1],
    );
    for (const { metadata } of await list()) await api.client.delete(events, metadata);
    recorder.event(about, 'Normal', 'Seen', 'x');
    await recorder.flush();
    assert.deepEqual(
      (await list()).map((event) => event.count),
      [2],
    );
  });

  it('does not fail when the namespace is not there, and takes nothing once closed', async () => {
    recorder.event(
      { ...about, metadata: { ...about.metadata, namespace: 'nowhere' } },
      'Normal',
      'Seen',
      'x',
    );
    await recorder.close();
    recorder.event(about, 'Normal', 'Late', 'x');
    await recorder.flush();
    assert.deepEqual(await list(), []);
  });

  it('combines many events of one reason into one, with the last message', async () => {
    for (let i = 0; i < 15; i++) recorder.event(about, 'Normal', 'Created', `pod-${i}`);
    await recorder.flush();
    const items = await list();
    assert.equal(items.length, 10);
    const combined = items.find((event) => event.message?.startsWith('(combined'));
    assert.equal(combined?.message, '(combined from similar events): pod-14');
    assert.equal(combined.count, 6);
    // One that was told by itself before still is.
    recorder.event(about, 'Normal', 'Created', 'pod-0');
    await recorder.flush();
    assert.equal((await list()).find((event) => event.message === 'pod-0')?.count, 2);
  });

  it('lets nobody talk about one object without end, and others are heard', async () => {
    const total = async (): Promise<number> =>
      (await list()).reduce((sum, event) => sum + (event.count ?? 0), 0);
    for (let i = 0; i < 100; i++) recorder.event(about, 'Warning', 'Failed', 'again');
    await recorder.flush();
    assert.equal(await total(), 25);
    clock.advance(5 * 60_000);
    for (let i = 0; i < 100; i++) recorder.event(about, 'Warning', 'Failed', 'again');
    recorder.event({ ...about, metadata: { ...about.metadata, uid: 'uid-2' } }, 'Warning', 'Failed', 'again');
    await recorder.flush();
    assert.equal(await total(), 27);
  });
});
