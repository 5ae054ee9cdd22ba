/** How long pods put up with a node in trouble, when they do not say. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pods } from '../../../../src/api/kubernetes/index.ts';
import type { Pod } from '../../../../src/api/pods.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { pod, user } from '../../service/support.ts';

type Tolerations = NonNullable<NonNullable<Pod['spec']>['tolerations']>;

describe('default tolerations of pods', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  const forTrouble = (trouble: string): Tolerations[number] => ({
    key: `node.kubernetes.io/${trouble}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: 300,
  });
  const create = async (name: string, tolerations?: Tolerations): Promise<Tolerations | undefined> => {
    const spec = tolerations ? { tolerations } : {};
    const { object } = await api.service.create(pods, 'default', pod(name, spec), { user });
    return (object as unknown as Pod).spec?.tolerations;
  };

  it('are five minutes for a node that is not ready or not reachable', async () => {
    assert.deepEqual(await create('plain'), [forTrouble('not-ready'), forTrouble('unreachable')]);
  });

  it('come after those of the pod, where it has none for the same', async () => {
    const own: Tolerations = [
      { key: 'gpu', operator: 'Exists' },
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', tolerationSeconds: 1 },
    ];
    assert.deepEqual(await create('own', own), [...own, forTrouble('unreachable')]);
    const everything: Tolerations = [{ operator: 'Exists' }];
    assert.deepEqual(await create('everything', everything), everything);
    const notHere: Tolerations = [{ operator: 'Exists', effect: 'NoSchedule' }];
    assert.deepEqual(await create('not-here', notHere), [
      ...notHere,
      forTrouble('not-ready'),
      forTrouble('unreachable'),
    ]);
  });

  it('stay when a client sends the pod without them', async () => {
    await create('updated');
    const body = { spec: { tolerations: null }, metadata: { labels: { a: 'b' } } };
    const key = { namespace: 'default', name: 'updated' };
    const updated = await api.client.patch(pods, key, { type: 'merge', body });
    assert.equal(updated.metadata.labels?.['a'], 'b');
    assert.deepEqual(updated.spec?.tolerations, [forTrouble('not-ready'), forTrouble('unreachable')]);
  });
});
