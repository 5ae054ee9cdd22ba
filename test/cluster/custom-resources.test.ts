import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, namespaces } from '../../src/api/kubernetes/core.ts';
import type { UntypedObject } from '../../src/api/object.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { definitionsOf, Kind, thing, version } from '../kube/server/definitions/support.ts';
import { startTestCluster, type TestCluster } from './support.ts';

const open = { 'x-kubernetes-preserve-unknown-fields': true };

function configMap(name: string, owner: UntypedObject): UntypedObject {
  const { name: ownerName, uid = '' } = owner.metadata;
  const reference = {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: ownerName,
    uid,
    blockOwnerDeletion: true,
  };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', ownerReferences: [reference] },
  };
}

async function gone({ client }: TestCluster, name: string): Promise<void> {
  await waitFor(`the ConfigMap ${name} to go`, () =>
    client.get(configMaps, { namespace: 'default', name }).then(() => false, isNotFound),
  );
}

test('what a custom resource owns goes with it, and with its definition', async (t) => {
  const cluster = await startTestCluster({ node: false });
  t.after(() => cluster.close());
  const { client, service } = cluster;
  const definitions = definitionsOf(service);
  await definitions.create(thing([version('v1', open)]));
  const things = new Kind(service, 'test.example.dev/v1', 'things');
  const first = await things.create(things.object('first'));
  await client.create(configMaps, configMap('of-first', first));
  await things.delete('first');
  await gone(cluster, 'of-first');
  const second = await things.create(things.object('second'));
  await client.create(configMaps, configMap('of-second', second));
  // A change of the definition does not make its objects look absent.
  await definitions.merge('things.test.example.dev', {
    spec: { versions: [version('v1', { ...open, description: 'x' })] },
  });
  await client.delete(
    things.def,
    { namespace: 'default', name: 'second' },
    { propagationPolicy: 'Foreground' },
  );
  await gone(cluster, 'of-second');
  await waitFor('the owner to go', () => things.get('second').then(() => false, isNotFound));
  const third = await things.create(things.object('third'));
  await client.create(configMaps, configMap('of-third', third));
  await definitions.delete('things.test.example.dev');
  await gone(cluster, 'of-third');
});

test('a namespace is emptied of custom resources, also of those that nobody can convert', async (t) => {
  const cluster = await startTestCluster({ node: false });
  t.after(() => cluster.close());
  const { client, service } = cluster;
  const definitions = definitionsOf(service);
  const unreachable = {
    strategy: 'Webhook',
    webhook: { conversionReviewVersions: ['v1'], clientConfig: { url: 'https://127.0.0.1:1/' } },
  };
  const versions = [version('v1', open), version('v2', open, { storage: false })];
  await definitions.create(thing(versions, { conversion: unreachable }));
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'full' } });
  const things = new Kind(service, 'test.example.dev/v1', 'things');
  for (let i = 0; i < 20; i++) {
    const object = things.object(`t${i}`);
    object.metadata.namespace = 'full';
    await client.create(things.def, object);
  }
  // Stored as v1, to be stored as v2 from now on.
  const flipped = versions.map((one, i) => ({ ...one, storage: i === 1 }));
  await definitions.merge('things.test.example.dev', { spec: { versions: flipped } });
  await client.delete(namespaces, { name: 'full' });
  await waitFor('the namespace to go', () =>
    client.get(namespaces, { name: 'full' }).then(() => false, isNotFound),
  );
  assert.equal((await service.list(things.def, {})).records.length, 0);
});
