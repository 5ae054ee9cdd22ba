/** Pods leave nodes whose taints they do not tolerate, and a cordon is a taint. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { KubernetesTypes } from '../../src/api/generated/kubernetes-types.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { cordonTaints, patienceMs } from '../../src/cluster/taints/decisions.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

type Taint = KubernetesTypes['core.v1.Taint'];
type Toleration = KubernetesTypes['core.v1.Toleration'];

const namespace = 'default';
const hourMs = 3_600_000;
const gpu: Taint = { key: 'gpu', value: 'true', effect: 'NoExecute' };

describe('the patience of a pod', () => {
  const patience = (tolerations: Toleration[], taints: Taint[] = [gpu]) =>
    patienceMs({ containers: [], tolerations }, taints);

  it('is none, some, or endless', () => {
    assert.equal(patience([], []), undefined);
    assert.equal(patience([]), 0);
    assert.equal(patience([], [{ key: 'gpu', effect: 'NoSchedule' }]), undefined);
    assert.equal(patience([{ key: 'gpu', operator: 'Exists' }]), undefined);
    assert.equal(patience([{ operator: 'Exists', tolerationSeconds: 5 }]), 5000);
    assert.equal(patience([{ key: 'gpu', value: 'true', tolerationSeconds: -1 }]), 0);
    assert.equal(patience([{ key: 'gpu', value: 'false' }]), 0);
    assert.equal(patience([{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule' }]), 0);
  });

  it('is the shortest that it needs: the first that covers a taint counts', () => {
    const other: Taint = { key: 'other', effect: 'NoExecute' };
    const [short, long, forever] = [
      { key: 'gpu', operator: 'Exists', tolerationSeconds: 5 },
      { operator: 'Exists', tolerationSeconds: 60 },
      { operator: 'Exists' },
    ] as const;
    assert.equal(patience([short, long], [gpu, other]), 5000);
    assert.equal(patience([short, forever], [gpu, other]), 5000);
    assert.equal(patience([long, short], [gpu, other]), 60_000);
    assert.equal(patience([short], [gpu, other]), 0);
  });
});

it('a cordon is one taint among others', () => {
  const cordon: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
  assert.equal(cordonTaints(undefined, cordon), undefined);
  assert.equal(cordonTaints({ taints: [gpu] }, cordon), undefined);
  assert.deepEqual(cordonTaints({ unschedulable: true, taints: [gpu] }, cordon), [gpu, cordon]);
  assert.equal(cordonTaints({ unschedulable: true, taints: [cordon] }, cordon), undefined);
  assert.deepEqual(cordonTaints({ taints: [cordon, gpu] }, cordon), [gpu]);
});

describe('taints of the node', () => {
  let cluster: TestCluster;
  let clock: ManualClock;
  before(async () => {
    clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
    cluster = await startTestCluster({ clock });
  });
  after(() => cluster.close());

  const setNode = (spec: object) =>
    cluster.client.patch(nodes, { name: 'node-1' }, { type: 'merge', body: { spec } });
  const get = (name: string): Promise<Pod> => cluster.client.get(pods, { namespace, name });

  /** Runs on the node when it returns. */
  async function run(name: string, tolerations: Toleration[] = [], finalizers?: string[]): Promise<Pod> {
    await cluster.client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, ...(finalizers ? { finalizers } : {}) },
      spec: { containers: [{ name: 'app', image: 'i' }], tolerations },
    });
    return waitFor(`${name} to run`, async () => {
      const pod = await get(name);
      return pod.status?.phase === 'Running' && pod;
    });
  }

  const gone = (name: string) =>
    waitFor(`${name} to go`, () =>
      get(name).then(
        () => false,
        (error: unknown) => isNotFound(error),
      ),
    );

  /** Words of the events about a pod, which are written when a moment has passed. */
  async function told(name: string, count: number): Promise<string[]> {
    return waitFor(`${count} events of ${name}`, async () => {
      clock.advance(500);
      const { items } = await cluster.client.list(events, { namespace });
      const own = items.filter(
        (event) => event.involvedObject.name === name && event.reason === 'TaintManagerEviction',
      );
      return (
        own.length === count && own.map((event) => `${event.source?.component}: ${event.message}`).sort()
      );
    });
  }

  it('evict what does not tolerate them, at once or when its patience is over', async () => {
    await run('plain', [], ['example.com/look']);
    await run('patient', [{ key: 'gpu', operator: 'Exists', tolerationSeconds: 7200 }]);
    await run('immune', [{ operator: 'Exists' }]);
    await setNode({ taints: [gpu] });

    const leaving = await waitFor('plain to be deleted', async () => {
      const pod = await get('plain');
      return pod.metadata.deletionTimestamp !== undefined && pod;
    });
    const condition = leaving.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual(
      [condition?.status, condition?.reason, condition?.message],
      ['True', 'DeletionByTaintManager', 'Taint manager: deleting due to NoExecute taint'],
    );
    assert.ok(
      leaving.status?.conditions?.some(({ type }) => type === 'Ready'),
      'the others stay',
    );
    assert.deepEqual(await told('plain', 1), [
      'taint-eviction-controller: Marking for deletion Pod default/plain',
    ]);
    const body = { metadata: { finalizers: null } };
    await cluster.client.patch(pods, { namespace, name: 'plain' }, { type: 'merge', body });
    await gone('plain');

    clock.advance(hourMs);
    assert.equal((await get('patient')).metadata.deletionTimestamp, undefined);
    await waitFor('the patient one to go', async () => {
      clock.advance(hourMs);
      return get('patient').then(
        () => false,
        (error: unknown) => isNotFound(error),
      );
    });
    assert.equal((await get('immune')).metadata.deletionTimestamp, undefined);
    await setNode({ taints: null });
  });

  it('that go in time spare the pod', async () => {
    await run('spared', [{ key: 'gpu', operator: 'Exists', tolerationSeconds: 7200 }]);
    const waiting = await run('witness');
    await setNode({ taints: [gpu] });
    await gone(waiting.metadata.name);
    await setNode({ taints: null });
    assert.deepEqual(await told('spared', 1), [
      'taint-eviction-controller: Cancelling deletion of Pod default/spared',
    ]);
    clock.advance(3 * hourMs);
    // Its time begins anew.
    const again = await run('witness-2');
    await setNode({ taints: [gpu] });
    await gone(again.metadata.name);
    assert.equal((await get('spared')).metadata.deletionTimestamp, undefined);
    await setNode({ taints: null });
  });

  it('show a cordon, beside what others set', async () => {
    const taints = async (): Promise<string[]> => {
      const node = await cluster.client.get(nodes, { name: 'node-1' });
      return (node.spec?.taints ?? []).map(({ key, effect, timeAdded }) => {
        return `${key}:${effect}${timeAdded === undefined ? '' : ' since'}`;
      });
    };
    const untilTaints = (expected: string[]) =>
      waitFor(`taints ${expected.join()}`, async () => (await taints()).join() === expected.join());
    await setNode({ taints: [{ key: 'disk', effect: 'PreferNoSchedule' }] });
    await setNode({ unschedulable: true });
    await untilTaints(['disk:PreferNoSchedule', 'node.kubernetes.io/unschedulable:NoSchedule since']);
    await setNode({ unschedulable: null });
    await untilTaints(['disk:PreferNoSchedule']);
    await setNode({ taints: null });
  });
});
