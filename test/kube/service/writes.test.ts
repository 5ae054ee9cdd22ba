import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import type { KubeObject, UntypedObject } from '../../../src/api/object.ts';
import type { ApiService } from '../../../src/kube/server/service/service.ts';
import type { ApiError } from '../../../src/kube/api-error.ts';
import { startTestApi } from '../../support/api.ts';
import { at, configMap, fails, pod, resource, user, widget, widgets } from './support.ts';

async function api(t: TestContext): Promise<ApiService> {
  const started = await startTestApi({ resources: [widgets], clock: new ManualClock(1_700_000_000_000) });
  t.after(started.close);
  return started.service;
}

const mutable = (object: KubeObject): UntypedObject => structuredClone(object as UntypedObject);

test('create: identity, times, defaults; what the client cannot choose is the server’s', async (t) => {
  const service = await api(t);
  const given = widget(
    'a',
    { size: 1 },
    { uid: 'mine', generation: 7, creationTimestamp: null, deletionTimestamp: '2020-01-01T00:00:00Z' },
  );
  const { object } = await service.create(
    widgets,
    'default',
    { ...given, status: { ready: true } },
    { user },
  );
  const { uid, resourceVersion, managedFields: _managers, ...meta } = object.metadata;
  assert.match(uid ?? '', /^[0-9a-f-]{36}$/);
  assert.match(resourceVersion ?? '', /^\d+$/);
  assert.deepEqual(meta, {
    name: 'a',
    namespace: 'default',
    generation: 1,
    creationTimestamp: '2023-11-14T22:13:20Z',
  });
  assert.deepEqual((object as UntypedObject)['spec'], { size: 1, color: 'red' });
  assert.equal((object as UntypedObject)['status'], undefined, 'status is a subresource');
});

test('create: generateName, and what is refused', async (t) => {
  const service = await api(t);
  const configMaps = resource(service, 'configmaps');
  const { object } = await service.create(configMaps, 'default', configMap('', {}, { generateName: 'x-' }), {
    user,
  });
  assert.match(object.metadata.name, /^x-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  const create = (body: unknown, namespace = 'default'): Promise<unknown> =>
    service.create(configMaps, namespace, body, { user });
  await create(configMap('a'));
  const error = await fails(create(configMap('a')), 409, 'AlreadyExists', 'configmaps "a" already exists');
  assert.deepEqual(error.details, { name: 'a', kind: 'configmaps' });
  await fails(
    create({ ...configMap('b'), metadata: { name: 'b' } }, 'nope'),
    404,
    'NotFound',
    'namespaces "nope" not found',
  );
  await fails(
    create(configMap('b'), 'kube-system'),
    400,
    'BadRequest',
    /namespace of the provided object does not match/,
  );
  await fails(
    create(configMap('b', {}, { resourceVersion: '5' })),
    400,
    'BadRequest',
    'resourceVersion should not be set on objects to be created',
  );
  await fails(
    create(configMap('')),
    422,
    'Invalid',
    'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
  );
  await fails(
    create({ ...configMap('b'), kind: 'Secret' }),
    400,
    'BadRequest',
    /kind in the data \(Secret\)/,
  );
  await fails(create([]), 400, 'BadRequest', /not a JSON object/);
  await fails(create({ ...configMap('b'), metadata: 5 }), 400, 'BadRequest', /cannot unmarshal/);
  await fails(
    create(JSON.parse('{"metadata":{"name":"b","labels":{"__proto__":"x"}}}')),
    400,
    'BadRequest',
    /__proto__/,
  );
  let deep: unknown = 'x';
  for (let i = 0; i < 5000; i++) deep = [deep];
  await fails(create({ ...configMap('b'), data: deep }), 400, 'BadRequest', /nested deeper/);
  const controller = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true };
  await fails(
    create(configMap('b', {}, { ownerReferences: [controller, controller] })),
    422,
    'Invalid',
    /Only one reference can have Controller set to true/,
  );
  await fails(
    create(configMap('b', {}, { labels: { a: 'b c' } })),
    422,
    'Invalid',
    /metadata\.labels: Invalid value: "b c"/,
  );
});

test('form: Kubernetes’ words for its own kinds, a CRD’s for others', async (t) => {
  const service = await api(t);
  const pods = resource(service, 'pods');
  const error = await fails(
    service.create(pods, 'default', { ...pod('x'), spec: {} }, { user }),
    422,
    'Invalid',
    'Pod "x" is invalid: spec.containers: Required value',
  );
  assert.deepEqual(error.details, {
    name: 'x',
    kind: 'Pod',
    causes: [{ reason: 'FieldValueRequired', message: 'Required value', field: 'spec.containers' }],
  });
  await fails(
    service.create(widgets, 'default', widget('x', { size: 'big', color: 'green' }), { user }),
    422,
    'Invalid',
    'Widget.test.knapsack.dev "x" is invalid: spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
  );
  await fails(
    service.create(widgets, 'default', widget('x', { size: 0, color: 'green' }), { user }),
    422,
    'Invalid',
    'Widget.test.knapsack.dev "x" is invalid: [spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1, spec.color: Unsupported value: "green": supported values: "red", "blue"]',
  );
});

test('unknown fields: dropped with a warning, silently, or refused; kept where the schema says so', async (t) => {
  const service = await api(t);
  const body = widget('a', { size: 1, foo: 1, anything: { goes: true } });
  await fails(
    service.create(widgets, 'default', body, { user, fieldValidation: 'Strict' }),
    400,
    'BadRequest',
    'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.foo"',
  );
  const { warnings, object } = await service.create(widgets, 'default', body, { user });
  assert.deepEqual(warnings, ['unknown field "spec.foo"']);
  assert.deepEqual((object as UntypedObject)['spec'], { size: 1, anything: { goes: true }, color: 'red' });
  const ignored = await service.create(widgets, 'default', widget('b', { foo: 1 }), {
    user,
    fieldValidation: 'Ignore',
  });
  assert.deepEqual(ignored.warnings, []);
});

test('update: version zero is none: a built-in kind is written whatever its version, a custom one is not', async (t) => {
  const service = await api(t);
  const configMaps = resource(service, 'configmaps');
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'z', resourceVersion: '0' } };
  await service.create(configMaps, 'default', body, { user });
  const { object } = await service.update(configMaps, at('z'), { ...body, data: { a: '1' } }, { user });
  assert.deepEqual((object as { data?: object }).data, { a: '1' });
  const { object: stored } = await service.create(widgets, 'default', widget('z', { size: 1 }), { user });
  const custom = mutable(stored);
  await fails(
    service.update(
      widgets,
      at('z'),
      { ...custom, metadata: { ...custom.metadata, resourceVersion: '0' } },
      { user },
    ),
    422,
    'Invalid',
    /must be specified for an update/,
  );
});

test('update: the optimistic lock, and no version moves when nothing changes', async (t) => {
  const service = await api(t);
  const { object } = await service.create(widgets, 'default', widget('a', { size: 1 }), { user });
  const first = mutable(object);
  const same = await service.update(widgets, at('a'), first, { user });
  assert.equal(same.object, object, 'the same stored object');
  const changed = await service.update(widgets, at('a'), { ...first, spec: { size: 2 } }, { user });
  assert.equal(changed.object.metadata.generation, 2);
  await fails(
    service.update(widgets, at('a'), { ...first, spec: { size: 3 } }, { user }),
    409,
    'Conflict',
    'Operation cannot be fulfilled on widgets.test.knapsack.dev "a": the object has been modified; please apply your changes to the latest version and try again',
  );
  await fails(
    service.update(widgets, at('a'), widget('a'), { user }),
    422,
    'Invalid',
    /metadata\.resourceVersion: Invalid value: 0: must be specified for an update/,
  );
  await fails(
    service.update(widgets, at('b'), widget('b'), { user }),
    404,
    'NotFound',
    'widgets.test.knapsack.dev "b" not found',
  );
  await fails(
    service.update(widgets, at('a'), widget('b'), { user }),
    400,
    'BadRequest',
    'the name of the object (b) does not match the name on the URL (a)',
  );
  const next = mutable(changed.object);
  await fails(
    service.update(widgets, at('a'), { ...next, metadata: { ...next.metadata, uid: 'other' } }, { user }),
    409,
    'Conflict',
    /Precondition failed: UID in precondition: other/,
  );
  await fails(
    service.update(
      widgets,
      at('a'),
      { ...next, metadata: { ...next.metadata, deletionTimestamp: '2020-01-01T00:00:00Z' } },
      { user },
    ),
    422,
    'Invalid',
    /metadata\.deletionTimestamp: Invalid value: .*: field is immutable/,
  );
  const passedOver = { ...next, metadata: { ...next.metadata, creationTimestamp: '2020-01-01T00:00:00Z' } };
  const kept = await service.update(widgets, at('a'), passedOver, { user });
  assert.deepEqual(kept.object, next);
});

test('generation moves with what is wanted, never with metadata or status; each subresource writes its own part only', async (t) => {
  const service = await api(t);
  await service.create(widgets, 'default', widget('a', { size: 1, replicas: 2 }), { user });
  const patch = async (body: unknown, subresource?: 'status' | 'scale'): Promise<UntypedObject> => {
    await service.patch(
      widgets,
      at('a'),
      { type: 'merge', body },
      { user, ...(subresource ? { subresource } : {}) },
    );
    return (await service.get(widgets, at('a'))).object as UntypedObject;
  };
  const labelled = await patch({ metadata: { labels: { x: 'y' } } });
  assert.equal(labelled.metadata.generation, 1);
  const ready = await patch(
    {
      status: { ready: true, replicas: 2, selector: 'a=b' },
      spec: { size: 9 },
      metadata: { labels: { x: 'z' } },
    },
    'status',
  );
  assert.deepEqual(
    [ready.metadata.generation, ready['spec'], ready.metadata.labels],
    [1, { size: 1, replicas: 2, color: 'red' }, { x: 'y' }],
  );
  assert.deepEqual(ready['status'], { ready: true, replicas: 2, selector: 'a=b' });
  const kept = await patch({ status: { ready: false }, spec: { size: 3 } });
  assert.deepEqual(
    [kept.metadata.generation, kept['status']],
    [2, { ready: true, replicas: 2, selector: 'a=b' }],
  );

  const { object: scale } = await service.get(widgets, at('a'), { subresource: 'scale' });
  assert.deepEqual(
    [scale.kind, scale.apiVersion, (scale as UntypedObject)['spec'], (scale as UntypedObject)['status']],
    ['Scale', 'autoscaling/v1', { replicas: 2 }, { replicas: 2, selector: 'a=b' }],
  );
  const scaled = await patch({ spec: { replicas: 5, size: 100 } }, 'scale');
  assert.deepEqual([scaled.metadata.generation, scaled['spec']], [3, { size: 3, replicas: 5, color: 'red' }]);
  await fails(
    patch({ spec: { replicas: -1 } }, 'scale'),
    422,
    'Invalid',
    'Scale.autoscaling "a" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  );
  await fails(
    service.update(
      widgets,
      at('a'),
      { ...mutable(scale), spec: { replicas: 1 } },
      { user, subresource: 'scale' },
    ),
    409,
    'Conflict',
    /has been modified/,
  );
  const configMaps = resource(service, 'configmaps');
  await service.create(configMaps, 'default', configMap('a'), { user });
  await fails(
    service.patch(configMaps, at('a'), { type: 'merge', body: {} }, { user, subresource: 'status' }),
    404,
    'NotFound',
    'the server could not find the requested resource',
  );
});

test('patches: each kind of resource takes its own, and every form passes validation', async (t) => {
  const service = await api(t);
  await service.create(widgets, 'default', widget('a', { size: 1 }), { user });
  const patch = (type: 'merge' | 'strategic' | 'json', body: unknown, request = {}): Promise<unknown> =>
    service.patch(widgets, at('a'), { type, body }, { user, ...request });
  await fails(patch('strategic', {}), 415, 'UnsupportedMediaType', /accepted media types include/);
  await fails(patch('merge', []), 400, 'BadRequest', /error decoding patch/);
  await fails(patch('merge', { spec: { size: 0 } }), 422, 'Invalid', /greater than or equal to 1/);
  await fails(
    patch('merge', { spec: { foo: 1 } }, { fieldValidation: 'Strict' }),
    400,
    'BadRequest',
    /unknown field "spec.foo"/,
  );
  await fails(
    patch('merge', { metadata: { name: 'b' } }),
    400,
    'BadRequest',
    /does not match the name on the URL/,
  );
  await fails(
    patch('merge', { metadata: { resourceVersion: '1' }, spec: { size: 4 } }),
    409,
    'Conflict',
    /has been modified/,
  );
  await patch('json', [{ op: 'replace', path: '/spec/size', value: 8 }]);
  const { object } = await service.get(widgets, at('a'));
  assert.deepEqual((object as UntypedObject)['spec'], { size: 8, color: 'red' });
});

test('a dry run answers as the write would and leaves no trace', async (t) => {
  const service = await api(t);
  const before = service.resourceVersion;
  const made = await service.create(widgets, 'default', widget('a', { size: 1 }), { user, dryRun: true });
  assert.deepEqual((made.object as UntypedObject)['spec'], { size: 1, color: 'red' });
  assert.deepEqual(JSON.parse(made.bytes.toString()), made.object);
  await fails(service.get(widgets, at('a')), 404, 'NotFound', /not found/);
  await fails(
    service.create(widgets, 'default', widget('a', { size: 0 }), { user, dryRun: true }),
    422,
    'Invalid',
    /size/,
  );
  assert.equal(service.resourceVersion, before);
  await service.create(widgets, 'default', widget('a'), { user });
  await service.delete(widgets, at('a'), { user, dryRun: true });
  assert.equal((await service.get(widgets, at('a'))).object.metadata.name, 'a');
});

test('what the store cannot keep is a 503 that names the cause', async (t) => {
  const started = await startTestApi({ resources: [widgets] });
  t.after(started.close);
  await started.store.close();
  await fails(
    started.service.create(widgets, 'default', widget('a'), { user }),
    503,
    'ServiceUnavailable',
    /STORE_CLOSED/,
  );
});

test('an object with more faults than anyone reads is refused with the first thousand', async (t) => {
  const service = await api(t);
  const labels = Object.fromEntries(Array.from({ length: 150_000 }, (_, i) => [`bad key ${i}`, '']));
  const object = { ...widget('a', { size: 1 }), metadata: { name: 'a', labels } };
  await assert.rejects(service.create(widgets, 'default', object, { user }), (error: ApiError) => {
    assert.equal(error.code, 422);
    assert.equal(error.details?.causes?.length, 1000);
    assert.match(error.message, /and 149000 more faults\]$/);
    return true;
  });
});

test('an object whose faults repeat long values is refused with an answer that somebody can read', async (t) => {
  const service = await api(t);
  const labels = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, 'x'.repeat(50_000)]));
  const object = { ...widget('a', { size: 1 }), metadata: { name: 'a', labels } };
  await assert.rejects(service.create(widgets, 'default', object, { user }), (error: ApiError) => {
    assert.equal(error.code, 422);
    assert.ok(error.message.length < 200_000, String(error.message.length));
    assert.match(error.message, /xxx\.\.\.: must be no more than 63 bytes, .*and 42 more faults\]$/s);
    assert.equal(error.details?.causes?.[0]?.field, 'metadata.labels');
    assert.match(error.details?.causes?.[0]?.message ?? '', /^Invalid value: "xxx/);
    return true;
  });
});
