/** Priority classes, namespaces that stay, and the system's own classes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  namespaces,
  pods,
  priorityClasses,
  systemPriorityClasses,
  type PriorityClass,
} from '../../../../src/api/kubernetes/index.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { at, fails, pod, user } from '../../service/support.ts';

describe('priority of pods', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
    for (const item of systemPriorityClasses()) await api.client.create(priorityClasses, item);
  });
  after(() => api.close());

  const classOf = (name: string, value: number, more: Partial<PriorityClass> = {}): PriorityClass => ({
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name },
    value,
    ...more,
  });
  const create = async (name: string, spec: Record<string, unknown> = {}) => {
    const { object } = await api.service.create(pods, 'default', pod(name, spec), { user });
    const { priorityClassName, priority, preemptionPolicy } = (
      object as unknown as { spec: Record<string, unknown> }
    ).spec;
    return [priorityClassName, priority, preemptionPolicy];
  };

  it('is nothing special without a class', async () => {
    assert.deepEqual(await create('plain'), [undefined, 0, 'PreemptLowerPriority']);
  });

  it('is the number of the class', async () => {
    await api.client.create(priorityClasses, classOf('high', 1000, { preemptionPolicy: 'Never' }));
    assert.deepEqual(await create('high', { priorityClassName: 'high' }), ['high', 1000, 'Never']);
    assert.deepEqual(await create('critical', { priorityClassName: 'system-node-critical' }), [
      'system-node-critical',
      2000001000,
      'PreemptLowerPriority',
    ]);
  });

  it('is that of the default class, of which there is one', async () => {
    await api.client.create(priorityClasses, classOf('usual', 10, { globalDefault: true }));
    assert.deepEqual(await create('usual'), ['usual', 10, 'PreemptLowerPriority']);
    await fails(
      api.client.create(priorityClasses, classOf('second', 20, { globalDefault: true })),
      403,
      'Forbidden',
      'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as default. Only one default can exist',
    );
    await api.client.delete(priorityClasses, { name: 'usual' });
  });

  it('cannot be chosen freely', async () => {
    await fails(
      create('unknown', { priorityClassName: 'nope' }),
      403,
      'Forbidden',
      'pods "unknown" is forbidden: no PriorityClass with name nope was found',
    );
    await fails(
      create('chosen', { priority: 7 }),
      403,
      'Forbidden',
      'pods "chosen" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name',
    );
  });

  it('stays when a client sends the pod without it', async () => {
    await create('updated', { priorityClassName: 'high' });
    const sent = pod('updated', { priorityClassName: 'high' }, { labels: { a: 'b' } });
    const { object: stored } = await api.service.get(pods, at('updated'));
    const spec = { ...(stored as unknown as { spec: Record<string, unknown> }).spec };
    delete spec['priority'];
    delete spec['preemptionPolicy'];
    const { object } = await api.service.update(pods, at('updated'), { ...sent, spec }, { user });
    assert.equal((object as unknown as { spec: { priority: number } }).spec.priority, 1000);
  });

  for (const [what, item, message] of [
    [
      'a number for the system',
      classOf('huge', 1_000_000_001),
      /maximum allowed value of a user defined priority is 1000000000/,
    ],
    ["a name of the system's", classOf('system-mine', 1), /system-mine is not a known system priority class/],
    [
      'an unknown policy',
      classOf('odd', 1, { preemptionPolicy: 'Maybe' }),
      /preemptionPolicy: Unsupported value: "Maybe"/,
    ],
  ] as const) {
    it(`refuses a class with ${what}`, async () => {
      await fails(api.client.create(priorityClasses, item), 422, 'Invalid', message);
    });
  }

  it('the value of a class stays', async () => {
    await fails(
      api.client.patch(priorityClasses, { name: 'high' }, { type: 'merge', body: { value: 5 } }),
      422,
      'Invalid',
      /value: Forbidden: may not be changed in an update\./,
    );
  });
});

describe('namespaces that every cluster has', () => {
  it('cannot be deleted', async () => {
    const api = await startTestApi();
    try {
      for (const name of ['default', 'kube-system']) {
        await fails(
          api.client.delete(namespaces, { name }),
          403,
          'Forbidden',
          `namespaces "${name}" is forbidden: this namespace may not be deleted`,
        );
      }
      await api.client.delete(namespaces, { name: 'knative-serving' });
    } finally {
      await api.close();
    }
  });
});
