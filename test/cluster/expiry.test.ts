import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { timestamp } from '../../src/api/object.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { eventExpiryController, eventLifetimeMs } from '../../src/cluster/event-expiry.ts';
import { maxEndedPods, podCollectionController } from '../../src/cluster/pod-collection.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers, type Kernel } from '../../src/kube/controller/kernel.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

const start = Date.parse('2026-01-01T00:00:00Z');

describe('what goes with time', () => {
  let api: TestApi;
  let clock: ManualClock;
  let informers: SharedInformers;
  let kernel: Kernel;
  beforeEach(async () => {
    clock = new ManualClock(start);
    api = await startTestApi({ clock });
    informers = new SharedInformers({ client: api.client, clock, log: silentLogger });
    const env = { client: api.client, informers, clock, log: silentLogger };
    kernel = await startControllers([eventExpiryController(env), podCollectionController(env)], env);
  });
  afterEach(async () => {
    await kernel.stop();
    informers.close();
    await api.close();
  });

  /** A pod in whatever state, as a node would have left it. */
  async function makePod(name: string, options: { node?: string; phase?: string } = {}): Promise<void> {
    const metadata = { name, namespace: 'default' };
    const spec = {
      containers: [{ name: 'app', image: 'a:1' }],
      ...(options.node ? { nodeName: options.node } : {}),
    };
    await api.client.create(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec });
    if (!options.phase) return;
    const body = { status: { phase: options.phase } };
    await api.client.patch(pods, metadata, { type: 'merge', body }, { subresource: 'status' });
  }
  const podNames = async (): Promise<string[]> =>
    (await api.client.list(pods, { namespace: 'default' })).items.map((pod) => pod.metadata.name);
  /** Runs of all controllers so far. */
  const runs = (): number =>
    kernel.stats().reduce((sum, { outcomes }) => sum + Object.values(outcomes).reduce((a, b) => a + b, 0), 0);

  it('deletes events an hour after they were last seen, or came', async () => {
    for (const [name, at] of [
      ['old', start - 10 * eventLifetimeMs],
      ['young', start + 60_000],
    ] as const) {
      await api.client.create(events, {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace: 'default' },
        involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
        lastTimestamp: timestamp(at),
      });
    }
    const names = async (): Promise<string> =>
      (await api.client.list(events, { namespace: 'default' })).items.map((e) => e.metadata.name).join();
    await waitFor('both to be looked at', () => runs() >= 2);
    clock.advance(eventLifetimeMs - 1);
    assert.equal(await names(), 'old,young');
    clock.advance(1);
    await waitFor('the old one to go', async () => (await names()) === 'young');
    clock.advance(60_000);
    await waitFor('the young one to go', async () => (await names()) === '');
  });

  it('tells the end of a pod of a node that is gone to those who wait for it', async () => {
    await makePod('held', { node: 'gone' });
    const key = { namespace: 'default', name: 'held' };
    const body = { metadata: { finalizers: ['example.com/count'] } };
    await api.client.patch(pods, key, { type: 'merge', body });
    await waitFor('the cache', () =>
      Promise.resolve(informers.for(pods).get('default/held')?.metadata.finalizers !== undefined),
    );
    const pod = await waitFor('the end', async () => {
      clock.advance(10_000);
      const found = await api.client.get(pods, key);
      return found.metadata.deletionTimestamp !== undefined && found;
    });
    assert.equal(pod.status?.phase, 'Failed');
    const condition = pod.status?.conditions?.find((c) => c.type === 'DisruptionTarget');
    assert.equal(condition?.reason, 'DeletionByPodGC');
    await api.client.patch(pods, key, { type: 'merge', body: { metadata: { finalizers: null } } });
    await waitFor('no pod', async () => (await api.client.list(pods)).items.length === 0);
  });

  it('removes pods of a node that is gone, when it does not come back', async () => {
    await api.client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'there' } });
    await makePod('safe', { node: 'there' });
    await makePod('lost', { node: 'gone' });
    await waitFor('both to be looked at', () => runs() >= 2);
    clock.advance(39_000);
    assert.deepEqual(await podNames(), ['lost', 'safe']);
    clock.advance(2000);
    await waitFor('the lost one to go', async () => (await podNames()).join() === 'safe');
  });

  it('keeps only so many ended pods, the newest', async () => {
    for (let i = 0; i < maxEndedPods; i++) {
      clock.advance(1000);
      await makePod(`done-${String(i).padStart(3, '0')}`, { phase: 'Succeeded' });
    }
    await makePod('running');
    clock.advance(1000);
    await makePod('last', { phase: 'Failed' });
    await waitFor('the oldest to go', async () => !(await podNames()).includes('done-000'));
    const names = await podNames();
    assert.ok(names.includes('done-001') && names.includes('last') && names.includes('running'));
    assert.equal(names.length, maxEndedPods + 1);
  });
});
