import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UntypedObject } from '../../../src/api/object.ts';
import { configMaps } from '../../../src/api/kubernetes/index.ts';
import { roles } from '../../../src/api/kubernetes/rbac.ts';
import { memoryBackend } from '../../../src/kube/store/backend.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { startTestApi } from '../../support/api.ts';
import { fails } from './support.ts';

const user = 'system:admin';
const limit = 1.5 * 1024 * 1024;

const role = (name: string, bytes: number): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name },
  rules: [{ apiGroups: [''], resources: ['x'], resourceNames: ['x'.repeat(bytes)], verbs: ['get'] }],
});

test('an object is at most as large as etcd takes it, however it came to be', async (t) => {
  const { service, store, close } = await startTestApi();
  t.after(close);
  const words = `Request entity too large: limit is ${limit}`;
  await service.create(roles, 'default', role('a', limit - 2000), { user });
  const before = store.resourceVersion;
  await fails(
    service.create(roles, 'default', role('b', limit), { user }),
    413,
    'RequestEntityTooLarge',
    words,
  );
  const key = { namespace: 'default', name: 'a' };
  await fails(service.update(roles, key, role('a', limit), { user }), 413, 'RequestEntityTooLarge', words);
  const patch = { type: 'merge', body: { metadata: { annotations: { a: 'x'.repeat(4000) } } } } as const;
  await fails(service.patch(roles, key, patch, { user }), 413, 'RequestEntityTooLarge', words);
  await fails(service.get(roles, { namespace: 'default', name: 'b' }), 404, 'NotFound', /not found/);
  assert.equal(store.resourceVersion, before);
  const { object } = await service.update(roles, key, role('a', 10), { user });
  assert.equal(object.metadata.resourceVersion, String(before + 1));
});

test('what JSON adds to a text does not count', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const quotes = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'q' },
    data: { a: '"'.repeat(1024 * 1024) },
  };
  const { bytes } = await service.create(configMaps, 'default', quotes, { user });
  assert.ok(bytes.length > limit);
});

test('an object that is too large already may shrink and go', async (t) => {
  const huge = (bytes: number): UntypedObject => ({
    ...(role('a', bytes) as UntypedObject),
    metadata: { name: 'a', namespace: 'default', resourceVersion: '7' },
  });
  const name = 'roles.rbac.authorization.k8s.io';
  const store = await Store.open({
    ...memoryBackend(),
    load: (visit) => {
      const bytes = Buffer.from(JSON.stringify(huge(limit + 1000)));
      visit({ table: name, key: 'default/a', resourceVersion: 7, bytes });
      return Promise.resolve(7);
    },
  });
  t.after(() => store.close());
  const table = store.table(name);
  await assert.rejects(store.put(table, 'default/a', huge(limit + 2000)), { name: 'ObjectTooLarge' });
  await store.put(table, 'default/a', huge(limit + 500));
  await store.remove(table, 'default/a', huge(limit + 500));
  assert.equal(table.size, 0);
});
