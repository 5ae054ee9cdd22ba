import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertStatus, configMap, configMaps, startTestServer, type TestServer } from './support.ts';

describe('answers over HTTP', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', configMaps, { body: configMap('present', { a: '1' }) });
  });
  after(() => server.close());

  describe('forms of answers', () => {
    const rows: [string, RegExp, RegExp][] = [
      ['application/json', /^application\/json$/, /^\{"apiVersion":"v1"/],
      ['application/yaml', /^application\/yaml$/, /^apiVersion: v1\n/],
      ['application/vnd.kubernetes.protobuf,application/json', /^application\/json$/, /"kind":"ConfigMap"/],
      ['text/html;q=0.9,*/*;q=0.1', /^application\/json$/, /"kind":"ConfigMap"/],
      [
        'application/json;as=Table;v=v1;g=meta.k8s.io',
        /^application\/json$/,
        /^\{"kind":"Table","apiVersion":"meta\.k8s\.io\/v1"/,
      ],
      [
        'application/json;as=Table;v=v1beta1;g=meta.k8s.io',
        /^application\/json$/,
        /"apiVersion":"meta\.k8s\.io\/v1beta1"/,
      ],
      [
        'application/json;as=Table;v=v9;g=meta.k8s.io,application/json',
        /^application\/json$/,
        /"kind":"ConfigMap"/,
      ],
      [
        'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
        /^application\/json$/,
        /^\{"kind":"PartialObjectMetadata","apiVersion":"meta\.k8s\.io\/v1","metadata":\{"name":"present"/,
      ],
    ];
    for (const [accept, type, body] of rows) {
      it(`serves ${accept}`, async () => {
        const reply = await server.call('GET', `${configMaps}/present`, { headers: { accept } });
        assert.equal(reply.status, 200);
        assert.match(String(reply.headers['content-type']), type);
        assert.match(reply.body.toString(), body);
      });
    }

    it('refuses what it cannot serve', async () => {
      for (const accept of [
        'application/vnd.kubernetes.protobuf',
        'text/html',
        'application/json;as=Table;v=v9;g=meta.k8s.io',
      ]) {
        const reply = await server.call('GET', `${configMaps}/present`, { headers: { accept } });
        assertStatus(
          reply,
          406,
          'NotAcceptable',
          'only the following media types are accepted: application/json, application/yaml',
        );
      }
    });

    it('fills Tables as asked with includeObject', async () => {
      const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
      const rowOf = async (include: string): Promise<{ cells: unknown[]; object?: { kind: string } }> => {
        const path = `${configMaps}?includeObject=${include}&fieldSelector=metadata.name%3Dpresent`;
        const table = (await server.call('GET', path, { headers })).json<{
          rows: { cells: unknown[]; object?: { kind: string } }[];
        }>();
        const [row] = table.rows;
        assert.ok(row);
        return row;
      };
      assert.equal((await rowOf('None')).object, undefined);
      assert.equal((await rowOf('Metadata')).object?.kind, 'PartialObjectMetadata');
      assert.equal((await rowOf('Object')).object?.kind, 'ConfigMap');
      assert.deepEqual((await rowOf('None')).cells.slice(0, 2), ['present', 1]);
    });

    it('answers HEAD without a body', async () => {
      const reply = await server.call('HEAD', `${configMaps}/present`);
      assert.deepEqual([reply.status, reply.body.length], [200, 0]);
    });
  });

  describe('discovery', () => {
    it('has the legacy and the aggregated form', async () => {
      const legacy = (await server.call('GET', '/apis')).json<{ kind: string; groups: { name: string }[] }>();
      assert.equal(legacy.kind, 'APIGroupList');
      assert.ok(legacy.groups.every(({ name }) => name !== ''));
      for (const version of ['v2', 'v2beta1']) {
        const parameters = `g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        const reply = await server.call('GET', '/api', {
          headers: { accept: `application/json;${parameters},application/json` },
        });
        assert.equal(reply.headers['content-type'], `application/json;${parameters}`);
        const list = reply.json<{
          apiVersion: string;
          items: {
            metadata: { name: string };
            versions: { resources: { resource: string; subresources?: { subresource: string }[] }[] }[];
          }[];
        }>();
        assert.equal(list.apiVersion, `apidiscovery.k8s.io/${version}`);
        assert.deepEqual(
          list.items.map((item) => item.metadata.name),
          [''],
        );
        const pods = list.items[0]?.versions[0]?.resources.find(({ resource }) => resource === 'pods');
        assert.deepEqual(
          pods?.subresources?.map(({ subresource }) => subresource),
          ['binding', 'ephemeralcontainers', 'eviction', 'log', 'status'],
        );
      }
    });

    it('lists subresources and their kinds', async () => {
      const { resources } = (await server.call('GET', '/apis/apps/v1')).json<{
        resources: { name: string; kind: string; group?: string }[];
      }>();
      const scale = resources.find(({ name }) => name === 'deployments/scale');
      assert.deepEqual([scale?.kind, scale?.group], ['Scale', 'autoscaling']);
      const crds = (await server.call('GET', '/apis/apiextensions.k8s.io/v1')).json<{
        resources: { name: string; verbs: string[] }[];
      }>();
      assert.deepEqual(
        crds.resources.map(({ name, verbs }) => [name, verbs.length]),
        [
          ['customresourcedefinitions', 8],
          ['customresourcedefinitions/status', 3],
        ],
      );
    });

    it('shows custom kinds as CRDs that can be selected by label', async () => {
      const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
      const all = (await server.call('GET', path)).json<{
        kind: string;
        items: { metadata: { name: string } }[];
      }>();
      assert.equal(all.kind, 'CustomResourceDefinitionList');
      const selected = await server.call(
        'GET',
        `${path}?labelSelector=duck.knative.dev%2Faddressable%3Dtrue`,
      );
      const names = selected
        .json<{ items: { metadata: { name: string } }[] }>()
        .items.map((item) => item.metadata.name);
      assert.ok(
        names.includes('services.serving.knative.dev') && names.length < all.items.length,
        names.join(),
      );
    });
  });

  it('revalidates OpenAPI documents by ETag', async () => {
    const first = await server.call('GET', '/openapi/v3/apis/apps/v1');
    const etag = String(first.headers['etag']);
    const again = await server.call('GET', '/openapi/v3/apis/apps/v1', {
      headers: { 'if-none-match': etag },
    });
    assert.deepEqual([first.status, again.status, again.body.length], [200, 304, 0]);
  });
});
