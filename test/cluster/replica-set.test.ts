import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { controllerOf, timestamp } from '../../src/api/object.ts';
import type { Pod } from '../../src/api/pods.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { replicaSets, type ReplicaSet } from '../../src/api/kubernetes/workloads.ts';
import { deletionCostAnnotation, rankForDeletion } from '../../src/cluster/pod-state.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

const now = Date.parse('2026-01-02T00:00:00Z');

interface Given {
  name: string;
  node?: boolean;
  phase?: string;
  /** Seconds ready. */
  ready?: number;
  cost?: string;
  restarts?: number;
  /** Seconds old. */
  age?: number;
}

function pod({ name, node = true, phase = 'Running', ready, cost, restarts = 0, age = 1000 }: Given): Pod {
  const condition = {
    type: 'Ready',
    status: 'True',
    lastTransitionTime: timestamp(now - (ready ?? 0) * 1000),
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      creationTimestamp: timestamp(now - age * 1000),
      ...(cost === undefined ? {} : { annotations: { [deletionCostAnnotation]: cost } }),
    },
    spec: { containers: [], ...(node ? { nodeName: 'node-1' } : {}) },
    status: {
      phase,
      ...(ready === undefined ? {} : { conditions: [condition] }),
      containerStatuses: [
        { name: 'app', image: '', imageID: '', ready: ready !== undefined, restartCount: restarts },
      ],
    },
  };
}

describe('which pods a ReplicaSet deletes first', () => {
  const cases: [string, Given, Given][] = [
    ['one without a node', { name: 'first', node: false }, { name: 'b', phase: 'Pending' }],
    ['one that is pending', { name: 'first', phase: 'Pending' }, { name: 'b' }],
    ['one that is not ready', { name: 'first' }, { name: 'b', ready: 10 }],
    ['the cheaper one', { name: 'first', ready: 5000, cost: '-1' }, { name: 'b', ready: 10 }],
    [
      'a malformed cost counts as none',
      { name: 'first', ready: 10, cost: '1e9' },
      { name: 'b', ready: 5000 },
    ],
    ['the one ready for less time', { name: 'first', ready: 10 }, { name: 'b', ready: 500 }],
    ['the one that restarted more', { name: 'first', ready: 10, restarts: 3 }, { name: 'b', ready: 10 }],
    ['the younger one', { name: 'first', ready: 10, age: 10 }, { name: 'b', ready: 10 }],
  ];
  for (const [what, first, second] of cases) {
    it(what, () => {
      assert.equal(rankForDeletion([pod(second), pod(first)], now)[0]?.metadata.name, 'first');
    });
  }

  it('is an order: it does not depend on how the pods come', () => {
    const given = fc.record({
      name: fc.uuid(),
      node: fc.boolean(),
      phase: fc.constantFrom('Pending', 'Running', 'Unknown'),
      ready: fc.option(fc.nat(10_000), { nil: undefined }),
      cost: fc.constantFrom('0', '5', '-7'),
      restarts: fc.nat(3),
      age: fc.nat(10_000),
    });
    const shuffled = fc
      .uniqueArray(given, { selector: ({ name }) => name, maxLength: 12 })
      .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })));
    fc.assert(
      fc.property(shuffled, ([list, other]) => {
        const names = (items: readonly (typeof list)[number][]): string[] =>
          rankForDeletion(
            items.map(({ ready, ...rest }) => pod({ ...rest, ...(ready === undefined ? {} : { ready }) })),
            now,
          ).map((item) => item.metadata.name);
        assert.deepEqual(names(list), names(other));
      }),
    );
  });
});

function makeSet(name: string, replicas: number): ReplicaSet {
  const labels = { set: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { name: '', labels },
        spec: { containers: [{ name: 'app', image: 'example.com/app:1' }] },
      },
    },
  };
}

describe('replica sets', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  const podsOf = async (name: string): Promise<Pod[]> =>
    (await cluster.pods()).filter((item) => item.metadata.labels?.['set'] === name);

  async function scale(name: string, replicas: number): Promise<void> {
    const key = { namespace: 'default', name };
    await cluster.client.patch(replicaSets, key, { type: 'merge', body: { spec: { replicas } } });
  }

  async function settled(name: string, replicas: number): Promise<ReplicaSet> {
    return waitFor(`${name} to have ${replicas} ready pods`, async () => {
      const set = await cluster.client.get(replicaSets, { namespace: 'default', name });
      const { status, metadata } = set;
      const ok =
        status?.observedGeneration === metadata.generation &&
        status?.replicas === replicas &&
        (status?.readyReplicas ?? 0) === replicas;
      return ok && set;
    });
  }

  it('never makes more pods than asked for, however fast it is scaled', async () => {
    let created = 0;
    const unsubscribe = cluster.informers.for(pods).onChange(({ type, object }) => {
      if (type === 'added' && object.metadata.labels?.['set'] === 'fast') created++;
    });
    await cluster.client.create(replicaSets, makeSet('fast', 1));
    for (const replicas of [5, 5, 9, 9, 20]) await scale('fast', replicas);
    await settled('fast', 20);
    await cluster.node?.settled();
    assert.equal((await podsOf('fast')).length, 20);
    assert.equal(created, 20);
    for (const replicas of [19, 10, 3]) await scale('fast', replicas);
    await settled('fast', 3);
    assert.equal((await podsOf('fast')).length, 3);
    unsubscribe();
    assert.equal(created, 20, 'scaling down makes no new pods');
  });

  it('replaces a pod that was deleted and one that failed', async () => {
    await cluster.client.create(replicaSets, makeSet('heal', 2));
    await settled('heal', 2);
    const [first, second] = await podsOf('heal');
    assert.ok(first && second);
    await cluster.client.delete(pods, { namespace: 'default', name: first.metadata.name });
    const key = { namespace: 'default', name: second.metadata.name };
    await cluster.client.patch(
      pods,
      key,
      { type: 'merge', body: { status: { phase: 'Failed' } } },
      { subresource: 'status' },
    );
    await waitFor('two other pods', async () => {
      const running = (await podsOf('heal')).filter((item) => item.status?.phase === 'Running');
      const uids = running.map((item) => item.metadata.uid);
      return (
        running.length === 2 && !uids.includes(first.metadata.uid) && !uids.includes(second.metadata.uid)
      );
    });
  });

  it('adopts pods that match and lets go of pods that no longer do', async () => {
    await cluster.client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'stray', namespace: 'default', labels: { set: 'adopt' } },
      spec: { containers: [{ name: 'app', image: 'example.com/app:1' }] },
    });
    await cluster.client.create(replicaSets, makeSet('adopt', 1));
    const set = await settled('adopt', 1);
    const key = { namespace: 'default', name: 'stray' };
    await waitFor(
      'the adoption',
      async () => controllerOf(await cluster.client.get(pods, key))?.uid === set.metadata.uid,
    );
    assert.equal((await podsOf('adopt')).length, 1);
    await cluster.client.patch(pods, key, {
      type: 'merge',
      body: { metadata: { labels: { set: 'debug' } } },
    });
    await waitFor('the release', async () => controllerOf(await cluster.client.get(pods, key)) === undefined);
    await waitFor('another pod', async () => (await podsOf('adopt')).length === 1);
  });

  it('cuts a long name, so that its pods have host names', async () => {
    const set = makeSet('long', 1);
    set.metadata.name = `${'x'.repeat(40)}.${'y'.repeat(60)}`;
    await cluster.client.create(replicaSets, set);
    await waitFor('a pod', async () => (await podsOf('long')).length === 1);
    const [made] = await podsOf('long');
    assert.equal(made?.metadata.name.length, 63);
    assert.ok(set.metadata.name.startsWith(made?.metadata.name.slice(0, 58) ?? '-'));
  });
});
