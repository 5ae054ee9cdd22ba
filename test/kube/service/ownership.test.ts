/** Who owns which field, after every kind of write. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import type { KubeObject, ManagedFieldsEntry, UntypedObject } from '../../../src/api/object.ts';
import type { ResourceDef } from '../../../src/api/resource.ts';
import type { WriteRequest, WriteResult } from '../../../src/kube/server/service/requests.ts';
import type { ApiService } from '../../../src/kube/server/service/service.ts';
import { startTestApi } from '../../support/api.ts';
import { at, configMap, fails, resource, widget, widgets } from './support.ts';

interface Started {
  readonly service: ApiService;
  readonly clock: ManualClock;
  readonly configMaps: ResourceDef;
  readonly deployments: ResourceDef;
}

async function api(t: TestContext): Promise<Started> {
  const clock = new ManualClock(1_700_000_000_000);
  const started = await startTestApi({ resources: [widgets], clock });
  t.after(started.close);
  const { service } = started;
  return {
    service,
    clock,
    configMaps: resource(service, 'configmaps'),
    deployments: resource(service, 'deployments', 'apps'),
  };
}

const as = (fieldManager: string, more: Partial<WriteRequest> = {}): WriteRequest => ({
  user: 'tester',
  fieldManager,
  ...more,
});

/** `manager operation[/subresource]: fields`, the fields as JSON without their marks. */
function owners(object: KubeObject): string[] {
  return (object.metadata.managedFields ?? []).map(
    ({ manager, operation, subresource, fieldsV1 }) =>
      `${manager} ${operation}${subresource ? `/${subresource}` : ''} ${JSON.stringify(fieldsV1).replaceAll(/"(f:)?|:\{\}/g, '')}`,
  );
}

const times = (object: KubeObject): (string | undefined)[] =>
  (object.metadata.managedFields ?? []).map(({ time }) => time);

function apply(
  { service }: Started,
  def: ResourceDef,
  config: object,
  request: WriteRequest,
  name = 'a',
): Promise<WriteResult> {
  return service.patch(def, at(name), { type: 'apply', body: config }, request);
}

const config = (data: Record<string, string>, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', ...more },
  data,
});

test('creates and updates: what was added or modified belongs to the manager, time and all', async (t) => {
  const { service, clock, configMaps } = await api(t);
  const created = await service.create(
    configMaps,
    'default',
    configMap('a', { x: '1', y: '1' }, { labels: { l: '1' } }),
    as('one'),
  );
  assert.deepEqual(owners(created.object), ['one Update {data:{.,x,y},metadata:{labels:{.,l}}}']);
  assert.deepEqual(created.object.metadata.managedFields?.[0], {
    manager: 'one',
    operation: 'Update',
    apiVersion: 'v1',
    time: '2023-11-14T22:13:20Z',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:data': { '.': {}, 'f:x': {}, 'f:y': {} },
      'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } },
    },
  });
  clock.advance(5000);
  const second = await service.patch(
    configMaps,
    at('a'),
    { type: 'merge', body: { data: { y: '2' } } },
    as('two'),
  );
  assert.deepEqual(owners(second.object), [
    'one Update {data:{.,x},metadata:{labels:{.,l}}}',
    'two Update {data:{y}}',
  ]);
  assert.deepEqual(times(second.object), ['2023-11-14T22:13:20Z', '2023-11-14T22:13:25Z']);
  clock.advance(5000);
  const same = await service.patch(
    configMaps,
    at('a'),
    { type: 'merge', body: { data: { y: '2' } } },
    as('three'),
  );
  assert.equal(same.object, second.object, 'nothing was written');
  const removed = await service.patch(
    configMaps,
    at('a'),
    { type: 'merge', body: { data: null } },
    as('three'),
  );
  assert.deepEqual(owners(removed.object), ['one Update {metadata:{labels:{.,l}}}']);
});

test('the manager is the one named, or the program, or the user', async (t) => {
  const { service, configMaps } = await api(t);
  const named = async (name: string, request: Partial<WriteRequest>): Promise<string | undefined> => {
    const body = configMap(name, { x: '1' });
    const { object } = await service.create(configMaps, 'default', body, {
      user: 'system:serviceaccount:ns:robot',
      ...request,
    });
    return object.metadata.managedFields?.[0]?.manager;
  };
  assert.equal(await named('a', { fieldManager: 'me', userAgent: 'kubectl/v1.33 (linux)' }), 'me');
  assert.equal(await named('b', { userAgent: 'kubectl/v1.33 (linux)' }), 'kubectl');
  assert.equal(await named('c', { userAgent: `\u0007${'é'.repeat(100)}/1` }), 'é'.repeat(64));
  assert.equal(await named('d', { userAgent: '' }), 'unknown');
  assert.equal(await named('e', {}), 'robot');
});

test('a client may edit the entries, reset them, and not break them', async (t) => {
  const { service, clock, configMaps } = await api(t);
  const create = (name: string): Promise<WriteResult> =>
    service.create(configMaps, 'default', configMap(name, { x: '1' }), as('one'));
  const patch = (name: string, managedFields: unknown, more: object = {}): Promise<WriteResult> =>
    service.patch(
      configMaps,
      at(name),
      { type: 'merge', body: { metadata: { managedFields }, ...more } },
      as('two'),
    );
  const { object } = await create('a');
  const entry = object.metadata.managedFields?.[0] as ManagedFieldsEntry;
  for (const broken of [
    [{ ...entry, operation: 'Delete' }],
    [{ ...entry, fieldsType: 'FieldsV2' }],
    [{ ...entry, apiVersion: '' }],
    [{ ...entry, fieldsV1: { nonsense: {} } }],
    [{ ...entry, fieldsV1: { 'k:{': {} } }],
    null,
  ]) {
    assert.equal((await patch('a', broken)).object, object, JSON.stringify(broken));
  }
  clock.advance(60_000);
  assert.equal(
    (await patch('a', [{ ...entry, time: '2024-01-01T00:00:00Z' }])).object,
    object,
    'only a time',
  );
  const edited = await patch('a', [{ ...entry, manager: 'renamed', fieldsV1: { 'f:data': { 'f:x': {} } } }]);
  assert.deepEqual(owners(edited.object), ['renamed Update {data:{x}}']);
  const spelled = await patch('a', [
    {
      ...entry,
      manager: 'k',
      fieldsV1: { 'k:{"b":1, "a":"x"}': null, 'f:z': {}, 'f:a': { '.': {} }, '?:x': {} },
    },
  ]);
  assert.deepEqual(spelled.object.metadata.managedFields?.[0]?.fieldsV1, {
    'f:a': {},
    'f:z': {},
    'k:{"a":"x","b":1}': {},
  });
  for (const [i, reset] of [[], [{}]].entries()) {
    await create(`r${i}`);
    assert.deepEqual(owners((await patch(`r${i}`, reset)).object), []);
    // Untracked until the next apply.
    assert.deepEqual(owners((await patch(`r${i}`, null, { data: { y: '1' } })).object), []);
  }
  const { object: again } = await service.patch(
    configMaps,
    at('r0'),
    { type: 'apply', body: config({ x: '2' }, { name: 'r0' }) },
    as('applier', { force: true }),
  );
  assert.deepEqual(owners(again), ['applier Apply {data:{x}}', 'before-first-apply Update {data:{.,y}}']);
});

test('at most ten managers that update, the oldest together', async (t) => {
  const { service, clock, configMaps } = await api(t);
  await service.create(configMaps, 'default', configMap('a', { x: '0' }), as('m0'));
  for (let i = 1; i <= 14; i++) {
    clock.advance(1000);
    const body = { data: { [`k${i}`]: '1' } };
    await service.patch(configMaps, at('a'), { type: 'merge', body }, as(`m${i}`));
  }
  const { object } = await service.get(configMaps, at('a'));
  const found = (object.metadata.managedFields ?? []).map(({ manager }) => manager);
  assert.equal(found.length, 10);
  assert.equal(found[0], 'ancient-changes');
  assert.equal(found[9], 'm14');
  assert.match(owners(object)[0] ?? '', /\{data:\{\.,k1,k2,k3,k4,k5,x\}\}/);
});

test('status and scale have entries of their own; a status write does not own the rest', async (t) => {
  const started = await api(t);
  const { service } = started;
  await service.create(
    widgets,
    'default',
    { ...widget('a', { size: 1 }), status: { ready: false } },
    as('user'),
  );
  const { object } = await service.patch(
    widgets,
    at('a'),
    { type: 'merge', body: { spec: { size: 9 }, status: { ready: true } } },
    as('controller', { subresource: 'status' }),
  );
  assert.deepEqual(owners(object), [
    'controller Update/status {status:{.,ready}}',
    'user Update {spec:{.,color,size}}',
  ]);
  await service.patch(
    widgets,
    at('a'),
    { type: 'merge', body: { spec: { replicas: 3 } } },
    as('autoscaler', { subresource: 'scale' }),
  );
  const scaled = (await service.get(widgets, at('a'))).object;
  assert.ok(owners(scaled).includes('autoscaler Update/scale {spec:{replicas}}'));
  const applied = {
    apiVersion: 'test.knapsack.dev/v1',
    kind: 'Widget',
    metadata: { name: 'a' },
    spec: { replicas: 1 },
  };
  await fails(
    apply(started, widgets, applied, as('git')),
    409,
    'Conflict',
    'Apply failed with 1 conflict: conflict with "autoscaler" with subresource "scale" using test.knapsack.dev/v1: .spec.replicas',
  );
  const scale = {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'a' },
    spec: { replicas: 7 },
  };
  const shown = await apply(started, widgets, scale, as('git', { subresource: 'scale', force: true }));
  assert.equal((shown.object as UntypedObject & { spec: { replicas: number } }).spec.replicas, 7);
  const after = (await service.get(widgets, at('a'))).object;
  assert.deepEqual(owners(after), [
    'git Apply/scale {spec:{replicas}}',
    'controller Update/status {status:{.,ready}}',
    'user Update {spec:{.,color,size}}',
  ]);
  await fails(
    apply(started, widgets, { ...scale, kind: 'Scala' }, as('git', { subresource: 'scale' })),
    400,
    'BadRequest',
    /invalid object type/,
  );
  const viaStatus = await apply(
    started,
    widgets,
    { ...applied, spec: { size: 5 }, status: { ready: false } },
    as('git', { subresource: 'status', force: true }),
  );
  assert.deepEqual((viaStatus.object as UntypedObject)['spec'], { size: 1, color: 'red', replicas: 7 });
  assert.ok(owners(viaStatus.object).includes('git Apply/status {status:{ready}}'));
});

test('apply: creates, changes, leaves out, and writes nothing when nothing changes', async (t) => {
  const started = await api(t);
  const { service, clock, configMaps } = started;
  const created = await apply(started, configMaps, config({ x: '1', y: '1' }), as('git'));
  assert.equal(created.created, true);
  assert.deepEqual(owners(created.object), ['git Apply {data:{x,y}}']);
  clock.advance(5000);
  const same = await apply(started, configMaps, config({ x: '1', y: '1' }), as('git'));
  assert.equal(same.created, undefined);
  assert.equal(same.object, created.object);
  await service.patch(configMaps, at('a'), { type: 'merge', body: { data: { z: '9' } } }, as('hand'));
  const dry = await apply(started, configMaps, config({ x: '5' }), as('git', { dryRun: true }));
  assert.deepEqual((dry.object as UntypedObject)['data'], { x: '5', z: '9' });
  const { object } = await apply(started, configMaps, config({ x: '2' }), as('git'));
  assert.deepEqual(
    (object as UntypedObject)['data'],
    { x: '2', z: '9' },
    'y was applied before, and is not now',
  );
  assert.deepEqual(owners(object), ['git Apply {data:{x}}', 'hand Update {data:{z}}']);
  const gone = await apply(started, configMaps, config({}), as('git'));
  assert.deepEqual((gone.object as UntypedObject)['data'], { z: '9' });
});

test('apply: shared fields stay until the last owner leaves them out', async (t) => {
  const started = await api(t);
  const { configMaps } = started;
  await apply(started, configMaps, config({ x: '1' }), as('one'));
  const both = await apply(started, configMaps, config({ x: '1' }), as('two'));
  assert.deepEqual(owners(both.object), ['one Apply {data:{x}}', 'two Apply {data:{x}}']);
  const left = await apply(started, configMaps, config({}), as('one'));
  assert.deepEqual((left.object as UntypedObject)['data'], { x: '1' });
  const none = await apply(started, configMaps, config({}), as('two'));
  assert.deepEqual((none.object as UntypedObject)['data'] ?? {}, {});
});

test('apply: conflicts name managers and fields, and force takes them over', async (t) => {
  const started = await api(t);
  const { service, deployments } = started;
  const deployment = (replicas: number, image: string): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'a', namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'a' } },
      template: {
        metadata: { labels: { app: 'a' } },
        spec: { containers: [{ name: 'main', image, ports: [{ containerPort: 80 }] }] },
      },
    },
  });
  await service.create(deployments, 'default', deployment(1, 'app:1'), as('kubectl-client-side-apply'));
  const single = await fails(
    apply(started, deployments, deployment(2, 'app:1'), as('git')),
    409,
    'Conflict',
    'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas',
  );
  assert.deepEqual(single.details, {
    causes: [
      {
        reason: 'FieldManagerConflict',
        message: 'conflict with "kubectl-client-side-apply" using apps/v1',
        field: '.spec.replicas',
      },
    ],
  });
  const several = await fails(
    apply(started, deployments, deployment(2, 'app:2'), as('git')),
    409,
    'Conflict',
    /^Apply failed with 2 conflicts: /,
  );
  assert.equal(
    several.message,
    'Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="main"].image',
  );
  const forced = await apply(started, deployments, deployment(2, 'app:2'), as('git', { force: true }));
  const [git, client] = forced.object.metadata.managedFields ?? [];
  assert.deepEqual(git?.fieldsV1, {
    'f:spec': {
      'f:replicas': {},
      'f:selector': {},
      'f:template': {
        'f:metadata': { 'f:labels': { 'f:app': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"main"}': {
              '.': {},
              'f:image': {},
              'f:name': {},
              'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
            },
          },
        },
      },
    },
  });
  assert.doesNotMatch(JSON.stringify(client?.fieldsV1), /f:image"|f:replicas/);
});

test('apply: preconditions, and bodies that are no configuration', async (t) => {
  const started = await api(t);
  const { configMaps } = started;
  const { object } = await apply(started, configMaps, config({ x: '1' }), as('git'));
  const refused = (body: unknown, code: number, reason: string, message: string | RegExp, name = 'a') =>
    fails(apply(started, configMaps, body as object, as('git'), name), code, reason, message);
  await refused(config({}, { resourceVersion: '1' }), 409, 'Conflict', /the object has been modified/);
  await refused(config({}, { uid: 'other' }), 409, 'Conflict', /UID in precondition: other/);
  await refused(
    config({}, { name: 'b', uid: 'other' }),
    409,
    'Conflict',
    'Operation cannot be fulfilled on configmaps "b": uid mismatch: the provided object specified uid other, and no existing object was found',
    'b',
  );
  await refused(config({}, { name: 'b', resourceVersion: '5' }), 409, 'Conflict', /has been modified/, 'b');
  await refused(config({}, { name: undefined, generateName: 'b-' }), 400, 'BadRequest', /generateName/, 'b');
  await refused(config({}, { name: 'c' }), 400, 'BadRequest', /does not match the name on the URL/);
  await refused(config({}, { managedFields: [] }), 400, 'BadRequest', 'metadata.managedFields must be nil');
  await refused(
    { ...config({}), kind: 'Secret' },
    400,
    'BadRequest',
    'invalid object type: /v1, Kind=Secret',
  );
  await refused([], 400, 'BadRequest', /cannot unmarshal/);
  await refused(
    { ...config({}), dota: {} },
    400,
    'BadRequest',
    'failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dota: field not declared in schema',
  );
  await refused({ ...config({}), data: { x: 1 } }, 400, 'BadRequest', /\.data\.x: expected string, got 1/);
  const unconditional = config(
    { x: '2' },
    { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion },
  );
  const { object: next } = await apply(started, configMaps, unconditional, as('git'));
  assert.deepEqual(owners(next), ['git Apply {data:{x}}']);
  await fails(
    apply(
      started,
      widgets,
      { apiVersion: 'test.knapsack.dev/v1', kind: 'Widget' },
      as('git', { subresource: 'status' }),
      'nope',
    ),
    404,
    'NotFound',
    /"nope" not found/,
  );
});

test('apply: kubectl goes on from client-side apply, and keeps its annotation right', async (t) => {
  const started = await api(t);
  const { service, configMaps } = started;
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration';
  const last = JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a' },
    data: { x: '1', y: '1' },
  });
  const object = configMap('a', { x: '1', y: '1' }, { annotations: { [annotation]: last } });
  await service.create(configMaps, 'default', object, as('kubectl-client-side-apply'));
  await service.patch(configMaps, at('a'), { type: 'merge', body: { data: { y: '2' } } }, as('hand'));
  await fails(apply(started, configMaps, config({ x: '3' }), as('other')), 409, 'Conflict', /\.data\.x/);
  const taken = await apply(started, configMaps, config({ x: '3' }), as('kubectl'));
  assert.deepEqual((taken.object as UntypedObject)['data'], { x: '3', y: '2' });
  assert.equal(
    taken.object.metadata.annotations?.[annotation],
    '{"apiVersion":"v1","data":{"x":"3"},"kind":"ConfigMap","metadata":{"name":"a"}}\n',
  );
  // What somebody else changed since is a conflict for kubectl, too.
  await fails(
    apply(started, configMaps, config({ x: '3', y: '3' }), as('kubectl')),
    409,
    'Conflict',
    'Apply failed with 1 conflict: conflict with "hand" using v1: .data.y',
  );
});

test('apply: items of lists come and go one by one, in the order of the configuration', async (t) => {
  const started = await api(t);
  const pods = resource(started.service, 'pods');
  const pod = (...names: string[]): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a' },
    spec: {
      containers: [{ name: 'main', image: 'x', env: names.map((name) => ({ name, value: '1' })) }],
    },
  });
  const env = ({ object }: WriteResult): string[] =>
    (
      object as UntypedObject & { spec: { containers: { env: { name: string }[] }[] } }
    ).spec.containers[0]?.env.map(({ name }) => name) ?? [];
  const dry = { dryRun: true };
  await apply(started, pods, pod('b', 'a', 'c'), as('one'));
  assert.deepEqual(env(await apply(started, pods, pod('b', 'a', 'c'), as('two'))), ['b', 'a', 'c']);
  // What is left out goes from the pod, which its kind refuses.
  await fails(
    apply(started, pods, pod('c', 'b'), as('one', dry)),
    422,
    'Invalid',
    /pod updates may not change fields/,
  );
});
