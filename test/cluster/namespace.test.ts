import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { configMaps, namespaces, serviceAccounts } from '../../src/api/kubernetes/core.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { deployments } from '../../src/api/kubernetes/workloads.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { makeDeployment, startTestCluster, type TestCluster } from './support.ts';

describe('namespaces', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ rootCertificate: 'PEM' });
  });
  after(() => cluster.close());

  const create = (name: string) =>
    cluster.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  const gone = (name: string) =>
    waitFor(`namespace ${name} to go`, async () => {
      try {
        await cluster.client.get(namespaces, { name });
        return false;
      } catch (error) {
        return isNotFound(error);
      }
    });

  it('have a default service account and the root certificate, also after those are deleted', async () => {
    await create('furnished');
    const account = { namespace: 'furnished', name: 'default' };
    const certificate = { namespace: 'furnished', name: 'kube-root-ca.crt' };
    await waitFor('the account', async () => Boolean(await cluster.client.get(serviceAccounts, account)));
    const map = await waitFor('the certificate', () => cluster.client.get(configMaps, certificate));
    assert.equal(map.data?.['ca.crt'], 'PEM');
    await cluster.client.delete(serviceAccounts, account);
    await cluster.client.patch(configMaps, certificate, {
      type: 'merge',
      body: { data: { 'ca.crt': 'changed' } },
    });
    await waitFor('the account again', async () =>
      Boolean(await cluster.client.get(serviceAccounts, account)),
    );
    await waitFor(
      'the certificate again',
      async () => (await cluster.client.get(configMaps, certificate)).data?.['ca.crt'] === 'PEM',
    );
  });

  it('are emptied and removed when deleted', async () => {
    await create('full');
    const deployment = makeDeployment('web', { replicas: 3 });
    deployment.metadata.namespace = 'full';
    await cluster.client.create(deployments, deployment);
    await waitFor('pods', async () => (await cluster.pods('full')).length === 3);
    await cluster.client.delete(namespaces, { name: 'full' });
    await gone('full');
    assert.deepEqual((await cluster.client.list(pods, { namespace: 'full' })).items, []);
    assert.deepEqual((await cluster.client.list(deployments, { namespace: 'full' })).items, []);
    await create('full');
    await waitFor('a new one furnished', async () =>
      Boolean(await cluster.client.get(serviceAccounts, { namespace: 'full', name: 'default' })),
    );
    assert.deepEqual((await cluster.client.list(deployments, { namespace: 'full' })).items, []);
  });

  it('say what holds them', async () => {
    await create('held');
    const key = { namespace: 'held', name: 'sticky' };
    const metadata = { ...key, finalizers: ['example.com/hold'] };
    await cluster.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
    await cluster.client.delete(namespaces, { name: 'held' });
    const conditions = await waitFor('the conditions', async () => {
      const { status } = await cluster.client.get(namespaces, { name: 'held' });
      const finalizers = status?.conditions?.find((c) => c.type === 'NamespaceFinalizersRemaining');
      const contents = status?.conditions?.find((c) => c.type === 'NamespaceContentRemaining');
      return (
        contents?.message === 'Some resources are remaining: configmaps has 1 resource instances' &&
        finalizers
      );
    });
    assert.equal(
      conditions.message,
      'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
    );
    await cluster.client.patch(configMaps, key, { type: 'merge', body: { metadata: { finalizers: null } } });
    await gone('held');
  });
});
