import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configMaps } from '../../../src/api/kubernetes/core.ts';
import { startTestApi } from '../../support/api.ts';

describe('concurrent writes', () => {
  it('never lose one another: patches of one object that go out together all count', async () => {
    const api = await startTestApi();
    try {
      const key = { namespace: 'default', name: 'shared' };
      await api.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: key });
      const names = Array.from({ length: 50 }, (_, i) => `key-${i}`);
      await Promise.all(
        names.map((name) =>
          api.client.patch(configMaps, key, { type: 'merge', body: { data: { [name]: 'x' } } }),
        ),
      );
      const { data = {} } = await api.client.get(configMaps, key);
      assert.deepEqual(Object.keys(data).sort(), names.sort());
    } finally {
      await api.close();
    }
  });
});
