import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import type { UntypedObject } from '../../../src/api/object.ts';
import type { ApiService } from '../../../src/kube/server/service/service.ts';
import { startTestApi } from '../../support/api.ts';
import { at, configMap, fails, pod, resource, user, widget, widgets } from './support.ts';

async function api(t: TestContext): Promise<ApiService> {
  const started = await startTestApi({ resources: [widgets], clock: new ManualClock(1_700_000_000_000) });
  t.after(started.close);
  return started.service;
}

test('an object without finalizers goes at once; the last state is answered', async (t) => {
  const service = await api(t);
  const configMaps = resource(service, 'configmaps');
  await service.create(configMaps, 'default', configMap('a', { x: '1' }), { user });
  const { removed, object } = await service.delete(configMaps, at('a'), { user });
  assert.deepEqual([removed, (object as UntypedObject)['data']], [true, { x: '1' }]);
  await fails(service.get(configMaps, at('a')), 404, 'NotFound', 'configmaps "a" not found');
  await fails(service.delete(configMaps, at('a'), { user }), 404, 'NotFound', 'configmaps "a" not found');
});

test('finalizers hold a deleted object until the last is taken off', async (t) => {
  const service = await api(t);
  await service.create(widgets, 'default', widget('a', {}, { finalizers: ['x.dev/one', 'x.dev/two'] }), {
    user,
  });
  const { removed, object } = await service.delete(widgets, at('a'), { user });
  assert.equal(removed, false);
  assert.deepEqual(
    [
      object.metadata.deletionTimestamp,
      object.metadata.deletionGracePeriodSeconds,
      object.metadata.generation,
    ],
    ['2023-11-14T22:13:20Z', 0, 2],
  );
  const again = await service.delete(widgets, at('a'), { user });
  assert.equal(
    again.object.metadata.resourceVersion,
    object.metadata.resourceVersion,
    'deleting twice changes nothing',
  );
  const patch = (finalizers: string[]): ReturnType<ApiService['patch']> =>
    service.patch(widgets, at('a'), { type: 'merge', body: { metadata: { finalizers } } }, { user });
  await fails(
    patch(['x.dev/one', 'x.dev/new']),
    422,
    'Invalid',
    /no new finalizers can be added if the object is being deleted, found new finalizers \[\]string\{"x\.dev\/new"\}/,
  );
  assert.equal((await patch(['x.dev/one'])).removed, undefined);
  assert.equal((await patch([])).removed, true);
  await fails(service.get(widgets, at('a')), 404, 'NotFound', /not found/);
});

test('very many finalizers of an object that is being deleted are compared in little time', async (t) => {
  const service = await api(t);
  const finalizers = Array.from({ length: 30_000 }, (_, i) => `x.dev/f${i}`);
  await service.create(widgets, 'default', widget('a', {}, { finalizers }), { user });
  await service.delete(widgets, at('a'), { user });
  const began = performance.now();
  const body = { metadata: { finalizers: finalizers.toReversed() } };
  const { object } = await service.patch(widgets, at('a'), { type: 'merge', body }, { user });
  assert.equal(object.metadata.finalizers?.length, 30_000);
  assert.ok(performance.now() - began < 5000);
});

test('a propagation policy becomes the finalizer that the garbage collector works off', async (t) => {
  const service = await api(t);
  for (const [policy, finalizers] of [
    ['Foreground', ['foregroundDeletion']],
    ['Orphan', ['orphan']],
  ] as const) {
    await service.create(widgets, 'default', widget('a'), { user });
    const { object, removed } = await service.delete(widgets, at('a'), { user, propagationPolicy: policy });
    assert.deepEqual([removed, object.metadata.finalizers], [false, finalizers]);
    const background = await service.delete(widgets, at('a'), { user, propagationPolicy: 'Background' });
    assert.equal(background.removed, true, 'Background takes the finalizer back');
  }
});

test('preconditions protect an object from being taken for another', async (t) => {
  const service = await api(t);
  const { object } = await service.create(widgets, 'default', widget('a'), { user });
  const { uid = '', resourceVersion = '' } = object.metadata;
  await fails(
    service.delete(widgets, at('a'), { user, preconditions: { uid: 'other' } }),
    409,
    'Conflict',
    `Operation cannot be fulfilled on widgets.test.knapsack.dev "a": Precondition failed: UID in precondition: other, UID in object meta: ${uid}`,
  );
  await fails(
    service.delete(widgets, at('a'), { user, preconditions: { resourceVersion: '1' } }),
    409,
    'Conflict',
    /ResourceVersion in precondition: 1/,
  );
  assert.equal(
    (await service.delete(widgets, at('a'), { user, preconditions: { uid, resourceVersion } })).removed,
    true,
  );
});

test('a grace period without measure does not keep a pod from being deleted', async (t) => {
  const service = await api(t);
  const pods = resource(service, 'pods');
  const spec = { nodeName: 'n', terminationGracePeriodSeconds: Number.MAX_SAFE_INTEGER };
  await service.create(pods, 'default', pod('a', spec), { user });
  await service.create(pods, 'default', pod('b', { nodeName: 'n' }), { user });
  for (const [name, request] of [
    ['a', {}],
    ['b', { gracePeriodSeconds: 1e300 }],
  ] as const) {
    const { object } = await service.delete(pods, at(name), { user, ...request });
    assert.match(object.metadata.deletionTimestamp ?? '', /^2123-/);
    assert.equal((await service.delete(pods, at(name), { user, gracePeriodSeconds: 0 })).removed, true);
  }
});

test('a pod on a node gets its grace period and goes when the node says so', async (t) => {
  const service = await api(t);
  const pods = resource(service, 'pods');
  await service.create(pods, 'default', pod('a', { nodeName: 'n', terminationGracePeriodSeconds: 20 }), {
    user,
  });
  const { object, removed } = await service.delete(pods, at('a'), { user });
  assert.equal(removed, false);
  assert.deepEqual(
    [object.metadata.deletionTimestamp, object.metadata.deletionGracePeriodSeconds],
    ['2023-11-14T22:13:40Z', 20],
  );
  const longer = await service.delete(pods, at('a'), { user, gracePeriodSeconds: 60 });
  assert.equal(longer.object.metadata.deletionGracePeriodSeconds, 20, 'it can only get shorter');
  const shorter = await service.delete(pods, at('a'), { user, gracePeriodSeconds: 5 });
  assert.deepEqual(
    [shorter.object.metadata.deletionTimestamp, shorter.object.metadata.deletionGracePeriodSeconds],
    ['2023-11-14T22:13:25Z', 5],
  );
  const status = await service.patch(
    pods,
    at('a'),
    { type: 'merge', body: { status: { phase: 'Running' } } },
    { user, subresource: 'status' },
  );
  assert.equal(status.removed, undefined, 'a status write does not end it');
  assert.equal((await service.delete(pods, at('a'), { user, gracePeriodSeconds: 0 })).removed, true);

  await service.create(pods, 'default', pod('b'), { user });
  assert.equal((await service.delete(pods, at('b'), { user })).removed, true, 'no node has it');
  await service.create(pods, 'default', pod('c', { nodeName: 'n' }), { user });
  await service.patch(
    pods,
    at('c'),
    { type: 'merge', body: { status: { phase: 'Succeeded' } } },
    { user, subresource: 'status' },
  );
  assert.equal((await service.delete(pods, at('c'), { user })).removed, true, 'it has ended');
  await service.create(pods, 'default', pod('d', { nodeName: 'n' }), { user });
  assert.equal(
    (await service.delete(pods, at('d'), { user, gracePeriodSeconds: 0 })).removed,
    true,
    'forced',
  );
});

test('a namespace goes through Terminating: nothing new inside, gone when finalized', async (t) => {
  const service = await api(t);
  const namespaces = resource(service, 'namespaces');
  const key = { name: 'team' };
  await service.create(namespaces, undefined, { metadata: key }, { user });
  const { object, removed } = await service.delete(namespaces, key, { user });
  assert.equal(removed, false);
  assert.deepEqual(
    [(object as UntypedObject)['status'], (object as UntypedObject)['spec']],
    [{ phase: 'Terminating' }, { finalizers: ['kubernetes'] }],
  );
  const refused = await fails(
    service.create(widgets, 'team', { ...widget('a'), metadata: { name: 'a' } }, { user }),
    403,
    'Forbidden',
    'widgets.test.knapsack.dev "a" is forbidden: unable to create new content in namespace team because it is being terminated',
  );
  assert.equal(refused.details?.causes?.[0]?.reason, 'NamespaceTerminating');
  const update = structuredClone(object as UntypedObject);
  update['spec'] = {};
  const usual = await service.update(namespaces, key, update, { user });
  assert.equal(usual.removed, undefined, 'only the finalize subresource takes the finalizer off');
  const final = await service.update(namespaces, key, update, { user, subresource: 'finalize' });
  assert.equal(final.removed, true);
  await fails(service.get(namespaces, key), 404, 'NotFound', 'namespaces "team" not found');
});

test('deleting a collection takes what the selector says and no more', async (t) => {
  const service = await api(t);
  for (const [name, app] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
  ] as const) {
    await service.create(widgets, 'default', widget(name, {}, { labels: { app } }), { user });
  }
  const { records } = await service.deleteCollection(
    widgets,
    { namespace: 'default', labelSelector: 'app=x' },
    { user },
  );
  assert.deepEqual(
    records.map(({ object }) => object.metadata.name),
    ['a', 'b'],
  );
  const left = await service.list(widgets);
  assert.deepEqual(
    left.records.map(({ object }) => object.metadata.name),
    ['c'],
  );
});

test('an object that no longer satisfies its kind can still lose its finalizer while it is being deleted', async (t) => {
  let strict = false;
  const strange = {
    ...widgets,
    plural: 'strangers',
    kind: 'Stranger',
    validate: () => (strict ? [{ type: 'Forbidden', path: 'spec', detail: 'not any more' } as const] : []),
  };
  const { service, close } = await startTestApi({ resources: [strange] });
  t.after(close);
  const body = { ...widget('a', {}, { finalizers: ['x.dev/one'] }), kind: 'Stranger' };
  await service.create(strange, 'default', body, { user });
  strict = true;
  const release = (): ReturnType<ApiService['patch']> =>
    service.patch(strange, at('a'), { type: 'merge', body: { metadata: { finalizers: null } } }, { user });
  await fails(
    release(),
    422,
    'Invalid',
    'Stranger.test.knapsack.dev "a" is invalid: spec: Forbidden: not any more',
  );
  await service.delete(strange, at('a'), { user });
  assert.equal((await release()).removed, true);
});

test('a collection of thousands goes in parts, all of it, and the event loop comes round in between', async (t) => {
  const service = await api(t);
  const count = 1700;
  await Promise.all(
    Array.from({ length: count }, (_, i) => service.create(widgets, 'default', widget(`w${i}`), { user })),
  );
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const dry = await service.deleteCollection(widgets, { namespace: 'default' }, { user, dryRun: true });
  running = false;
  assert.ok(turns >= 3, String(turns));
  assert.equal(dry.records.length, count);
  assert.equal((await service.list(widgets)).records.length, count);
  const { records } = await service.deleteCollection(widgets, { namespace: 'default' }, { user });
  assert.equal(records.length, count);
  assert.deepEqual((await service.list(widgets)).records, []);
});
