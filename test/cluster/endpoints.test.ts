import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { portMapAnnotation, type Pod } from '../../src/api/pods.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { endpoints, endpointSlices, services, type Service } from '../../src/api/kubernetes/services.ts';
import { makeEndpoints, makeEndpointSlices } from '../../src/cluster/resources/endpoints.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

function service(spec: Partial<NonNullable<Service['spec']>> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', uid: 'service-uid' },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'web' }], ...spec },
  };
}

function pod(
  name: string,
  ip: string | undefined,
  options: { ready?: boolean; going?: boolean; portMap?: object } = {},
): Pod {
  const { ready = true, going = false, portMap } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      labels: { app: 'web' },
      ...(going ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      ...(portMap ? { annotations: { [portMapAnnotation]: JSON.stringify(portMap) } } : {}),
    },
    spec: { containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 8080, protocol: 'TCP' }] }] },
    status: {
      phase: 'Running',
      ...(ip ? { podIP: ip } : {}),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

const addresses = (list: readonly { ip: string }[] | undefined): string =>
  (list ?? []).map(({ ip }) => ip).join();

describe('endpoints of a service', () => {
  it('resolve a named port in each pod and part ready from not ready', () => {
    const made = makeEndpoints(service(), [
      pod('b', '10.0.0.2'),
      pod('a', '10.0.0.1'),
      pod('c', '10.0.0.3', { ready: false }),
    ]);
    assert.equal(made.subsets?.length, 1);
    const [subset] = made.subsets ?? [];
    assert.deepEqual(subset?.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
    assert.equal(addresses(subset?.addresses), '10.0.0.1,10.0.0.2');
    assert.equal(addresses(subset?.notReadyAddresses), '10.0.0.3');
  });
  it('publish pods that are not ready when the service asks for it', () => {
    const made = makeEndpoints(service({ publishNotReadyAddresses: true }), [
      pod('a', '10.0.0.1', { ready: false }),
    ]);
    assert.equal(addresses(made.subsets?.[0]?.addresses), '10.0.0.1');
  });
  it('leave out pods without an address, ended ones, and those without the named port', () => {
    const ended = pod('e', '10.0.0.5');
    const unnamed = pod('u', '10.0.0.6');
    const list = [
      pod('a', undefined),
      { ...ended, status: { ...ended.status, phase: 'Succeeded' } },
      { ...unnamed, spec: { containers: [{ name: 'app' }] } },
    ];
    assert.equal(makeEndpoints(service(), list).subsets, undefined);
    assert.equal(makeEndpointSlices(service(), list).length, 1);
    assert.equal(makeEndpointSlices(service(), list)[0]?.endpoints, undefined);
  });
  it('use the port that a pod on the host network really got', () => {
    const list = [
      pod('a', '127.0.0.1', { portMap: { 8080: 40001 } }),
      pod('b', '127.0.0.1', { portMap: { 8080: 40002 } }),
    ];
    const ports = makeEndpoints(service(), list).subsets?.map((subset) => subset.ports?.[0]?.port);
    assert.deepEqual(ports, [40001, 40002]);
    assert.deepEqual(
      makeEndpointSlices(service(), list).map((slice) => slice.ports?.[0]?.port),
      [40001, 40002],
    );
  });
  it('show a pod that is going in slices only, as serving', () => {
    const list = [pod('a', '10.0.0.1', { going: true })];
    assert.equal(makeEndpoints(service(), list).subsets, undefined);
    const [slice] = makeEndpointSlices(service(), list);
    assert.deepEqual(slice?.endpoints?.[0]?.conditions, { ready: false, serving: true, terminating: true });
  });
  it('have no ports for a headless service without ports', () => {
    const { ports: _ports, ...headless } = service({ clusterIP: 'None' }).spec ?? {};
    const made = makeEndpoints({ ...service(), spec: headless }, [pod('a', '10.0.0.1')]);
    assert.deepEqual(Object.keys(made.subsets?.[0] ?? {}), ['addresses']);
  });
  it('fill slices of a hundred, always of the same names', () => {
    const list = Array.from({ length: 250 }, (_, i) => pod(`p${i}`, `10.0.${i >> 8}.${i & 255}`));
    const slices = makeEndpointSlices(service(), list);
    assert.deepEqual(
      slices.map((slice) => slice.endpoints?.length),
      [100, 100, 50],
    );
    const names = slices.map((slice) => slice.metadata.name);
    assert.equal(new Set(names).size, 3);
    assert.deepEqual(
      makeEndpointSlices(service(), list.toReversed()).map((slice) => slice.metadata.name),
      names,
    );
    assert.deepEqual(makeEndpointSlices(service(), list.toReversed()), slices);
  });
});

describe('the endpoints controller', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  it('follows pods as they come and go, and the service when it goes', async () => {
    const { metadata, ...rest } = service();
    const key = { namespace: 'default', name: 'web' };
    await cluster.client.create(services, {
      ...rest,
      metadata: { name: metadata.name, namespace: 'default' },
    });
    await waitFor('empty endpoints', async () => Boolean(await cluster.client.get(endpoints, key)));
    for (const name of ['one', 'two']) {
      await cluster.client.create(pods, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', labels: { app: 'web' } },
        spec: { containers: [{ name: 'app', image: 'x:1', ports: [{ name: 'web', containerPort: 8080 }] }] },
      });
    }
    const ready = async (): Promise<number> =>
      ((await cluster.client.get(endpoints, key)).subsets ?? []).reduce(
        (sum, s) => sum + (s.addresses?.length ?? 0),
        0,
      );
    const sliceOptions = { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' };
    const inSlices = async (): Promise<number> =>
      (await cluster.client.list(endpointSlices, sliceOptions)).items.reduce(
        (sum, slice) => sum + (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready).length,
        0,
      );
    await waitFor('two addresses', async () => (await ready()) === 2 && (await inSlices()) === 2);
    await cluster.client.delete(pods, { namespace: 'default', name: 'one' });
    await waitFor('one address', async () => (await ready()) === 1 && (await inSlices()) === 1);
    await cluster.client.delete(endpoints, key);
    await waitFor('endpoints again', async () => (await ready()) === 1);
    await cluster.client.delete(services, key);
    await waitFor('all to go', async () => {
      const slices = await cluster.client.list(endpointSlices, sliceOptions);
      try {
        await cluster.client.get(endpoints, key);
        return false;
      } catch (error) {
        return isNotFound(error) && slices.items.length === 0;
      }
    });
  });

  it('leaves the endpoints of a service without selector alone', async () => {
    const metadata = { name: 'manual', namespace: 'default' };
    await cluster.client.create(services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports: [{ port: 80 }] },
    });
    const subsets = [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ port: 80, protocol: 'TCP' }] }];
    await cluster.client.create(endpoints, { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
    await cluster.client.delete(services, metadata);
    assert.deepEqual((await cluster.client.get(endpoints, metadata)).subsets, subsets);
  });
});
