/** What `kn` and other Go programs send for Knative's kinds, and the versions that they ask for. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestServer, type TestServer } from './support.ts';

describe("Knative's own clients", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const service = (metadata: object): object => ({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'hello', namespace: 'default', creationTimestamp: null },
    spec: { template: { metadata, spec: { containers: [{ image: 'example.com/hello' }] } } },
    status: {},
  });

  it('send an empty creationTimestamp with each template: no warning, and no other template', async () => {
    const path = '/apis/serving.knative.dev/v1/namespaces/default/services';
    const labels = { team: 'a' };
    const created = await server.call('POST', `${path}?fieldValidation=Strict`, {
      body: service({ creationTimestamp: null, labels }),
    });
    assert.equal(created.status, 201, created.body.toString());
    assert.equal(created.headers['warning'], undefined);
    const { metadata } = created.json<{ metadata: { generation: number; resourceVersion: string } }>();
    const patched = await server.call('PATCH', `${path}/hello`, {
      body: { spec: { template: { metadata: { labels } } } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    const again = patched.json<{ metadata: { generation: number; resourceVersion: string } }>().metadata;
    assert.deepEqual(
      [again.generation, again.resourceVersion],
      [metadata.generation, metadata.resourceVersion],
    );
  });

  it('send null for the service of a gRPC probe', async () => {
    const readinessProbe = { grpc: { port: 0, service: null } };
    const reply = await server.call('POST', '/apis/serving.knative.dev/v1/namespaces/default/services', {
      body: {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name: 'probed' },
        spec: { template: { spec: { containers: [{ image: 'example.com/hello', readinessProbe }] } } },
      },
    });
    assert.equal(reply.status, 201, reply.body.toString());
  });

  it('find PingSources under v1beta2 as under v1', async () => {
    const base = '/apis/sources.knative.dev';
    const body = {
      apiVersion: 'sources.knative.dev/v1beta2',
      kind: 'PingSource',
      metadata: { name: 'minutely' },
      spec: {
        schedule: '* * * * *',
        data: '{}',
        sink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'x' } },
      },
    };
    const created = await server.call('POST', `${base}/v1beta2/namespaces/default/pingsources`, { body });
    assert.equal(created.status, 201, created.body.toString());
    const versions = await Promise.all(
      ['v1', 'v1beta2'].map((version) =>
        server.call('GET', `${base}/${version}/namespaces/default/pingsources/minutely`),
      ),
    );
    const [v1, v1beta2] = versions.map((reply) => reply.json<{ apiVersion: string; spec: object }>());
    assert.equal(v1?.apiVersion, 'sources.knative.dev/v1');
    assert.equal(v1beta2?.apiVersion, 'sources.knative.dev/v1beta2');
    assert.deepEqual(v1?.spec, v1beta2?.spec);
    const crd = await server.call(
      'GET',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pingsources.sources.knative.dev',
    );
    const names = crd.json<{ spec: { versions: { name: string; storage: boolean }[] } }>().spec.versions;
    assert.deepEqual(
      names.map(({ name, storage }) => ({ name, storage })),
      [
        { name: 'v1', storage: true },
        { name: 'v1beta2', storage: false },
      ],
    );
  });
});
