import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Service } from '../../../src/api/kubernetes/services.ts';
import { services } from '../../../src/api/kubernetes/index.ts';
import { startTestApi } from '../../support/api.ts';
import { assertNotQuadratic } from '../../support/growth.ts';
import { fails } from './support.ts';

/** 30000-32767 */
const range = 2768;
const user = 'system:admin';

const serviceOf = (name: string, count: number, from = 1): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: {
    type: 'NodePort',
    ports: Array.from({ length: count }, (_, i) => ({ name: `p${i}`, port: from + i })),
  },
});

test('all node ports can be given out, each once, and then none is free; a thousand more take no longer for it', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const create = (name: string, count: number) =>
    service.create(services, 'default', serviceOf(name, count), { user });
  await fails(
    create('more', range + 2),
    422,
    'Invalid',
    /spec\.ports\[2769\]\.nodePort: .*no node port is free/,
  );
  const { object } = await create('all', range);
  const given = ((object as Service).spec?.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
  assert.equal(new Set(given).size, range);
  assert.ok(given.every((port) => port >= 30_000 && port <= 32_767));
  await fails(create('late', 1), 422, 'Invalid', /no node port is free/);
  await service.delete(services, { namespace: 'default', name: 'all' }, { user });
  const { object: one } = await create('one', 1);
  assert.ok((one as Service).spec?.ports?.[0]?.nodePort);
  await assertNotQuadratic(
    (length) => () => service.create(services, 'default', serviceOf('dry', length), { user, dryRun: true }),
    300,
  );
});
