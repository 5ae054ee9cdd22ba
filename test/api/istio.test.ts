import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { istioResources } from '../../src/api/istio/service-entry.ts';
import { apiVersionOf } from '../../src/api/resource.ts';
import { hasReason } from '../../src/kube/api-error.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

describe('ServiceEntry', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  const spec = {
    hosts: ['*.googleapis.com'],
    ports: [{ number: 443, name: 'https', protocol: 'HTTPS' }],
    location: 'MESH_EXTERNAL',
    somethingNew: { kept: true },
  };

  for (const def of istioResources) {
    it(`can be written in ${def.version} and read in every version`, async () => {
      const name = `entry-${def.version}`;
      const object = {
        apiVersion: apiVersionOf(def),
        kind: 'ServiceEntry',
        metadata: { name, namespace: 'default' },
      };
      await api.client.create(def, { ...object, spec } as typeof object);
      for (const other of istioResources) {
        const found = await api.client.get(other, { namespace: 'default', name });
        assert.equal(found.apiVersion, apiVersionOf(other));
        assert.deepEqual((found as unknown as { spec: object }).spec, spec);
      }
    });
  }

  it('needs a host', async () => {
    const [def] = istioResources;
    assert.ok(def);
    const object = {
      apiVersion: apiVersionOf(def),
      kind: 'ServiceEntry',
      metadata: { name: 'x', namespace: 'default' },
    };
    await assert.rejects(api.client.create(def, { ...object, spec: {} } as typeof object), (error: Error) =>
      hasReason(error, 'Invalid'),
    );
  });
});
