import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { endpoints, endpointSlices, services, type Endpoints } from '../../src/api/kubernetes/services.ts';
import { makeMirrorSlices } from '../../src/cluster/resources/mirror-slices.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

const key = { namespace: 'default', name: 'db' };

function makeEndpoints(
  subsets: Endpoints['subsets'],
  metadata: Partial<Endpoints['metadata']> = {},
): Endpoints {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...key, ...metadata },
    ...(subsets ? { subsets } : {}),
  };
}

describe('mirrored slices', () => {
  it('part address families and ready from not ready, and keep what addresses say of themselves', () => {
    const source = makeEndpoints(
      [
        {
          addresses: [{ ip: '10.0.0.1', hostname: 'a' }, { ip: 'fd00::1' }],
          notReadyAddresses: [{ ip: '10.0.0.2', nodeName: 'n' }],
          ports: [{ name: 'sql', port: 5432 }],
        },
        { addresses: [{ ip: '10.0.0.3' }] },
        { ports: [{ port: 1 }] },
      ],
      {
        uid: 'u',
        labels: { tier: 'x' },
        annotations: { note: 'y', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
      },
    );
    const slices = makeMirrorSlices(source);
    assert.deepEqual(
      slices.map(({ addressType, endpoints: list, ports }) => [addressType, list, ports]),
      [
        [
          'IPv4',
          [
            { addresses: ['10.0.0.1'], conditions: { ready: true }, hostname: 'a' },
            { addresses: ['10.0.0.2'], conditions: { ready: false }, nodeName: 'n' },
          ],
          [{ name: 'sql', port: 5432, protocol: 'TCP' }],
        ],
        [
          'IPv6',
          [{ addresses: ['fd00::1'], conditions: { ready: true } }],
          [{ name: 'sql', port: 5432, protocol: 'TCP' }],
        ],
        ['IPv4', [{ addresses: ['10.0.0.3'], conditions: { ready: true } }], undefined],
      ],
    );
    assert.equal(new Set(slices.map((slice) => slice.metadata.name)).size, 3);
    assert.deepEqual(slices[0]?.metadata.annotations, { note: 'y' });
    assert.equal(slices[0].metadata.labels?.['tier'], 'x');
    assert.equal(slices[0].metadata.ownerReferences?.[0]?.kind, 'Endpoints');
  });
});

describe('the mirroring controller', () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await startTestCluster({ node: false });
  });
  afterEach(() => cluster.close());

  const addresses = async (): Promise<string[]> => {
    const labelSelector = 'kubernetes.io/service-name=db';
    const { items } = await cluster.client.list(endpointSlices, { namespace: 'default', labelSelector });
    return items.flatMap((slice) => (slice.endpoints ?? []).flatMap((one) => one.addresses)).sort();
  };
  const until = (...expected: string[]) =>
    waitFor(expected.join() || 'no slice', async () => String(await addresses()) === String(expected));
  const makeService = (selector?: Record<string, string>) =>
    cluster.client.create(services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: key,
      spec: { ports: [{ port: 5432 }], ...(selector ? { selector } : {}) },
    });

  it('follows hand-made Endpoints of a service without selector, until they go', async () => {
    await cluster.client.create(
      endpoints,
      makeEndpoints([{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 5432 }] }]),
    );
    await makeService();
    await until('10.0.0.1');
    const body = { subsets: [{ addresses: [{ ip: '10.0.0.2' }], ports: [{ port: 5432 }] }] };
    await cluster.client.patch(endpoints, key, { type: 'merge', body });
    await until('10.0.0.2');
    const skip = { metadata: { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } } };
    await cluster.client.patch(endpoints, key, { type: 'merge', body: skip });
    await until();
    const back = { metadata: { labels: null } };
    await cluster.client.patch(endpoints, key, { type: 'merge', body: back });
    await until('10.0.0.2');
    await cluster.client.delete(services, key);
    await until();
  });

  it('puts a slice back that somebody has deleted', async () => {
    await makeService();
    await cluster.client.create(
      endpoints,
      makeEndpoints([{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 5432 }] }]),
    );
    await until('10.0.0.1');
    const { items } = await cluster.client.list(endpointSlices, { namespace: 'default' });
    for (const { metadata } of items) {
      await cluster.client.delete(endpointSlices, { namespace: 'default', name: metadata.name });
    }
    await until('10.0.0.1');
  });

  it('leaves services with a selector to their own controller', async () => {
    await makeService({ app: 'db' });
    const managed = 'endpointslice-controller.k8s.io';
    await waitFor('the slice of the other controller', async () => {
      const { items } = await cluster.client.list(endpointSlices, { namespace: 'default' });
      return items.some(
        (slice) => slice.metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === managed,
      );
    });
    const { items } = await cluster.client.list(endpointSlices, { namespace: 'default' });
    assert.equal(items.length, 1);
  });
});
