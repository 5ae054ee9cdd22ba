/** Objects that an older version stored, in a form that is not written any more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pods } from '../../../src/api/kubernetes/pods.ts';

import { startTestApi } from '../../support/api.ts';

const user = 'jane';
const key = { namespace: 'default', name: 'old' };

test('a write to an object that an older version stored changes what its client changed, not its form', async (t) => {
  const api = await startTestApi();
  t.after(() => api.close());
  const made = await api.service.create(
    pods,
    'default',
    {
      metadata: { name: 'old' },
      spec: { containers: [{ name: 'c', image: 'x', resources: { limits: { cpu: '1' } } }] },
    },
    { user },
  );
  const { spec } = made.object as typeof made.object & { spec: { containers: object[] } };
  const containers = [
    { ...spec.containers[0], resources: { limits: { cpu: '1000m' }, requests: { cpu: '1000m' } } },
  ];
  const { status: _none, ...older } = structuredClone({
    ...made.object,
    spec: { ...spec, containers },
    status: {},
  });
  await api.store.put(api.store.table('pods'), 'default/old', older);
  const body = { metadata: { labels: { a: 'b' } } };
  const labelled = await api.service.patch(pods, key, { type: 'merge', body }, { user });
  assert.deepEqual(labelled.object.metadata.labels, { a: 'b' });
  assert.equal(labelled.object.metadata.generation, made.object.metadata.generation);
});
