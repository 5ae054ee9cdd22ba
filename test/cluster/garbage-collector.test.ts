import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { KubeObject, OwnerReference } from '../../src/api/object.ts';
import { configMaps, secrets } from '../../src/api/kubernetes/core.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { deployments, replicaSets } from '../../src/api/kubernetes/workloads.ts';
import { judge, ownersInCircle } from '../../src/cluster/garbage-decisions.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { makeDeployment, startTestCluster, type TestCluster } from './support.ts';

function object(metadata: Partial<KubeObject['metadata']> = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', uid: 'x', ...metadata } };
}
const ref = (uid: string, blockOwnerDeletion = false): OwnerReference => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name: uid,
  uid,
  blockOwnerDeletion,
});
const waitingOwner = object({
  deletionTimestamp: '2026-01-01T00:00:00Z',
  finalizers: ['foregroundDeletion'],
});

describe('what becomes of an object', () => {
  it('keeps one without owners, and one that is going anyway', () => {
    assert.deepEqual(judge(object(), [], false), { action: 'keep' });
    const going = object({ deletionTimestamp: '2026-01-01T00:00:00Z' });
    assert.deepEqual(judge(going, [{ ref: ref('a'), owner: undefined }], false), { action: 'keep' });
  });
  it('deletes one whose owners are all gone', () => {
    const verdict = judge(object(), [{ ref: ref('a'), owner: undefined }], true);
    assert.deepEqual(verdict, { action: 'delete', policy: 'Background' });
  });
  it('only lets go of the owners that are gone while another lives', () => {
    const owners = [
      { ref: ref('a'), owner: undefined },
      { ref: ref('b'), owner: object({ uid: 'b' }) },
    ];
    assert.deepEqual(judge(object(), owners, false), { action: 'release', uids: ['a'] });
  });
  it('deletes foreground when the owner waits and others depend on it', () => {
    assert.deepEqual(judge(object(), [{ ref: ref('a', true), owner: waitingOwner }], true), {
      action: 'delete',
      policy: 'Foreground',
    });
  });
  it('stays when it does not block its owner', () => {
    assert.deepEqual(judge(object(), [{ ref: ref('a'), owner: waitingOwner }], false), { action: 'keep' });
  });
});

describe('owners in a circle', () => {
  /** `edges`: object → what blocks its deletion and waits itself. */
  const owners = (metadata: Partial<KubeObject['metadata']>, edges: Record<string, string[]>): string[] => [
    ...ownersInCircle(
      { ...waitingOwner, metadata: { ...waitingOwner.metadata, ...metadata } },
      (uid) => edges[uid] ?? [],
    ),
  ];
  it('are found behind any number of others', () => {
    assert.deepEqual(owners({ uid: 'a', ownerReferences: [ref('a', true)] }, { a: ['a'] }), ['a']);
    const edges = { a: ['b'], b: ['c', 'd'], c: ['a'], d: [] };
    assert.deepEqual(owners({ uid: 'a', ownerReferences: [ref('c', true), ref('x', true)] }, edges), ['c']);
  });
  it('are not there while one on the way does not wait', () => {
    const edges = { a: ['b'], b: [] };
    assert.deepEqual(owners({ uid: 'a', ownerReferences: [ref('c', true)] }, edges), []);
  });
  it('are not those whose deletion the object does not block', () => {
    assert.deepEqual(owners({ uid: 'a', ownerReferences: [ref('b')] }, { a: ['b'], b: ['a'] }), []);
  });
  it('are not the owners of a circle further down', () => {
    const edges = { a: ['b'], b: ['c'], c: ['b'] };
    assert.deepEqual(owners({ uid: 'a', ownerReferences: [ref('x', true)] }, edges), []);
  });
});

describe('garbage collection', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  async function start(name: string): Promise<void> {
    await cluster.client.create(deployments, makeDeployment(name, { replicas: 2 }));
    await waitFor('two pods', async () => {
      const { status } = await cluster.client.get(deployments, { namespace: 'default', name });
      return status?.availableReplicas === 2;
    });
  }

  async function counts(name: string): Promise<string> {
    const options = { namespace: 'default', labelSelector: `app=${name}` };
    const sets = await cluster.client.list(replicaSets, options);
    const all = await cluster.client.list(pods, options);
    const there = await cluster.client.list(deployments, {
      namespace: 'default',
      fieldSelector: `metadata.name=${name}`,
    });
    return `${there.items.length} ${sets.items.length} ${all.items.length}`;
  }

  it('takes ReplicaSets and pods with a deployment, in the background', async () => {
    await start('background');
    assert.equal(await counts('background'), '1 1 2');
    const key = { namespace: 'default', name: 'background' };
    await cluster.client.delete(deployments, key, { propagationPolicy: 'Background' });
    await assert.rejects(cluster.client.get(deployments, key), isNotFound);
    await waitFor('all to go', async () => (await counts('background')) === '0 0 0');
  });

  it('takes them first, in the foreground', async () => {
    await start('foreground');
    const order: string[] = [];
    const note = (kind: string) => (change: { type: string; object: KubeObject }) => {
      if (change.type === 'deleted' && change.object.metadata.name.startsWith('foreground')) order.push(kind);
    };
    cluster.informers.for(deployments).onChange(note('Deployment'));
    cluster.informers.for(replicaSets).onChange(note('ReplicaSet'));
    cluster.informers.for(pods).onChange(note('Pod'));
    const key = { namespace: 'default', name: 'foreground' };
    await cluster.client.delete(deployments, key, { propagationPolicy: 'Foreground' });
    await waitFor('all to go', async () => (await counts('foreground')) === '0 0 0');
    await waitFor('the caches', () => order.length === 4);
    assert.deepEqual(order, ['Pod', 'Pod', 'ReplicaSet', 'Deployment']);
  });

  it('leaves them, orphaned, and a new deployment adopts them', async () => {
    await start('orphan');
    const key = { namespace: 'default', name: 'orphan' };
    const before = (await cluster.pods()).filter((pod) => pod.metadata.labels?.['app'] === 'orphan');
    await cluster.client.delete(deployments, key, { propagationPolicy: 'Orphan' });
    await waitFor('the deployment to go', async () => (await counts('orphan')) === '0 1 2');
    const [set] = (
      await cluster.client.list(replicaSets, { namespace: 'default', labelSelector: 'app=orphan' })
    ).items;
    assert.equal(set?.metadata.ownerReferences, undefined);
    await start('orphan');
    assert.equal(await counts('orphan'), '1 1 2');
    const after = (await cluster.pods()).filter((pod) => pod.metadata.labels?.['app'] === 'orphan');
    const names = (list: typeof before): string[] => list.map((pod) => pod.metadata.name).sort();
    assert.deepEqual(names(after), names(before));
  });

  it('deletes what names an owner that does not exist, and keeps what has one that does', async () => {
    const base = { apiVersion: 'v1', kind: 'ConfigMap' };
    const owner = await cluster.client.create(configMaps, {
      ...base,
      metadata: { name: 'owner', namespace: 'default' },
    });
    const good = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid ?? '' };
    const absent = {
      apiVersion: 'v1',
      kind: 'Secret',
      name: 'nobody',
      uid: '00000000-0000-0000-0000-000000000000',
    };
    const make = (name: string, ownerReferences: OwnerReference[]) =>
      cluster.client.create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: 'default', ownerReferences },
      });
    await make('lost', [absent]);
    await make('kept', [good, absent]);
    await make('foreign', [{ apiVersion: 'example.com/v1', kind: 'Thing', name: 'x', uid: 'x' }]);
    const names = async (): Promise<string> =>
      (await cluster.client.list(secrets, { namespace: 'default' })).items.map((s) => s.metadata.name).join();
    await waitFor('the lost one to go', async () => (await names()) === 'foreign,kept');
    await waitFor('the absent owner to be forgotten', async () => {
      const kept = await cluster.client.get(secrets, { namespace: 'default', name: 'kept' });
      return (
        kept.metadata.ownerReferences?.length === 1 && kept.metadata.ownerReferences[0]?.name === 'owner'
      );
    });
    await cluster.client.delete(configMaps, { namespace: 'default', name: 'owner' });
    await waitFor('the kept one to follow its owner', async () => (await names()) === 'foreign');
  });

  it('ends the deletion of objects that own each other in a circle, in the foreground', async () => {
    const namespace = 'default';
    const names = ['circle-a', 'circle-b', 'circle-c'];
    const base = { apiVersion: 'v1', kind: 'Secret' };
    const made = await Promise.all(
      names.map((name) => cluster.client.create(secrets, { ...base, metadata: { name, namespace } })),
    );
    for (const [index, name] of names.entries()) {
      const owner = made[(index + 1) % names.length]?.metadata;
      const reference = { ...base, name: owner?.name ?? '', uid: owner?.uid ?? '', blockOwnerDeletion: true };
      const body = { metadata: { ownerReferences: [reference] } };
      await cluster.client.patch(secrets, { namespace, name }, { type: 'merge', body });
    }
    await cluster.client.delete(
      secrets,
      { namespace, name: 'circle-a' },
      { propagationPolicy: 'Foreground' },
    );
    await waitFor('the circle to go', async () => {
      const { items } = await cluster.client.list(secrets, { namespace });
      return items.every(({ metadata }) => !names.includes(metadata.name));
    });
  });
});
