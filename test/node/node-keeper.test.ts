import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { namespaces } from '../../src/api/kubernetes/core.ts';
import { leases } from '../../src/api/kubernetes/leases.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import type { Headroom } from '../../src/node/node-conditions.ts';
import { NodeKeeper } from '../../src/node/node-keeper.ts';
import { readMachine } from '../../src/node/node-object.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

const start = Date.parse('2026-01-02T03:04:05Z');

describe('node keeper', () => {
  let api: TestApi;
  let clock: ManualClock;
  let keeper: NodeKeeper;
  let headroom: Headroom;
  beforeEach(async () => {
    api = await startTestApi();
    clock = new ManualClock(start);
    headroom = { memoryBytes: 2 ** 30, diskShare: 0.5, pidShare: 0.9 };
    keeper = makeKeeper();
  });
  afterEach(async () => {
    await keeper.close();
    await api.close();
  });

  function makeKeeper(): NodeKeeper {
    const options = { client: api.client, clock, log: silentLogger, headroom: () => headroom };
    return new NodeKeeper(options, readMachine('n', '/'), 'test://1');
  }
  const makeLeaseNamespace = () =>
    api.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'kube-node-lease' },
    });
  const lease = () => api.client.get(leases, { namespace: 'kube-node-lease', name: 'n' });
  const node = () => api.client.get(nodes, { name: 'n' });
  const conditions = async (): Promise<Record<string, string>> =>
    Object.fromEntries((await node()).status?.conditions?.map(({ type, status }) => [type, status]) ?? []);
  const renewed = (at: string) =>
    waitFor(`renewal at ${at}`, async () => (await lease()).spec?.renewTime === at);

  it('gives to pods what others advertise in the capacity of the node, and no more', async () => {
    await keeper.register();
    const advertise = async (amount: string | null): Promise<void> => {
      const body = { status: { capacity: { 'example.com/dongle': amount } } };
      const type = 'merge';
      keeper.follow(await api.client.patch(nodes, { name: 'n' }, { type, body }, { subresource: 'status' }));
    };
    const { cpu } = (await node()).status?.allocatable ?? {};
    const dongles = async () => (await node()).status?.allocatable?.['example.com/dongle'];
    await advertise('4');
    await waitFor('four', async () => (await dongles()) === '4');
    await advertise('3');
    await waitFor('three', async () => (await dongles()) === '3');
    await advertise(null);
    await waitFor('none', async () => (await dongles()) === undefined);
    assert.equal((await node()).status?.allocatable?.['cpu'], cpu);
  });

  it('renews the lease of the node each twenty seconds', async () => {
    await makeLeaseNamespace();
    const { metadata } = await keeper.register();
    clock.advance(0);
    await renewed('2026-01-02T03:04:05.000000Z');
    const made = await lease();
    assert.equal(made.spec?.leaseDurationSeconds, 40);
    assert.equal(made.spec.holderIdentity, 'n');
    assert.equal(made.metadata.ownerReferences?.[0]?.uid, metadata.uid);
    clock.advance(20_000);
    await renewed('2026-01-02T03:04:25.000000Z');
    await api.client.delete(leases, { namespace: 'kube-node-lease', name: 'n' });
    clock.advance(20_000);
    await waitFor(
      'a new lease',
      async () => (await lease()).spec?.renewTime === '2026-01-02T03:04:45.000000Z',
    );
  });

  it('does without where there is no namespace for leases', async () => {
    await keeper.register();
    clock.advance(0);
    await keeper.close();
    await assert.rejects(lease(), isNotFound);
  });

  it('tells what the machine is short of when that turns, and that it lives each five minutes', async () => {
    await keeper.register();
    const first = await node();
    assert.deepEqual(await conditions(), {
      MemoryPressure: 'False',
      DiskPressure: 'False',
      PIDPressure: 'False',
      Ready: 'True',
    });
    const advance = async (ms: number): Promise<void> => {
      clock.advance(ms);
      // Whatever the timers began is done when the keeper's queue is empty.
      await new Promise((resolve) => setImmediate(resolve));
    };
    await advance(60_000);
    assert.equal((await node()).metadata.resourceVersion, first.metadata.resourceVersion);
    headroom = { memoryBytes: 2 ** 20, diskShare: 0.01, pidShare: 0.01 };
    await advance(60_000);
    await waitFor('pressure', async () => (await conditions())['MemoryPressure'] === 'True');
    assert.equal((await conditions())['DiskPressure'], 'True');
    assert.equal((await conditions())['PIDPressure'], 'True');
    const of = async (type: string) => (await node()).status?.conditions?.find((one) => one.type === type);
    assert.equal((await of('MemoryPressure'))?.lastTransitionTime, '2026-01-02T03:06:05Z');
    assert.equal((await of('Ready'))?.lastTransitionTime, '2026-01-02T03:04:05Z');
    for (let i = 0; i < 5; i++) await advance(60_000);
    await waitFor('heartbeat', async () => (await of('Ready'))?.lastHeartbeatTime === '2026-01-02T03:11:05Z');
    assert.equal((await of('Ready'))?.lastTransitionTime, '2026-01-02T03:04:05Z');
  });

  it('keeps the time of the last change across a restart, and what others wrote', async () => {
    await keeper.register();
    await keeper.close();
    const body = { metadata: { labels: { tier: 'x' } }, spec: { unschedulable: true } };
    await api.client.patch(nodes, { name: 'n' }, { type: 'merge', body });
    clock.advance(3_600_000);
    keeper = makeKeeper();
    await keeper.register();
    const found = await node();
    const ready = found.status?.conditions?.find((one) => one.type === 'Ready');
    assert.equal(ready?.lastTransitionTime, '2026-01-02T03:04:05Z');
    assert.equal(ready.lastHeartbeatTime, '2026-01-02T04:04:05Z');
    assert.equal(found.metadata.labels?.['tier'], 'x');
    assert.equal(found.spec?.unschedulable, true);
  });
});
