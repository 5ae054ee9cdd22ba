import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { UntypedObject } from '../../../../src/api/object.ts';
import type { ApiService } from '../../../../src/kube/server/service/service.ts';
import { startTestApi } from '../../../support/api.ts';
import { startConversionServer, converted, review, type ConversionServer } from './conversion-server.ts';
import { definitionsOf, Kind, thing, user, version } from './support.ts';

/** v1alpha1 has `spec.inputs: "a,b"`, v1 has `spec.params: [{name: a}, {name: b}]`: in the style of Tekton's tasks. */
function convert(object: UntypedObject, to: string): UntypedObject {
  const { spec, ...rest } = object as UntypedObject & {
    spec?: { inputs?: string; params?: { name: string }[] };
  };
  if (to.endsWith('/v1')) {
    const params = (spec?.inputs ?? '')
      .split(',')
      .filter(Boolean)
      .map((name) => ({ name }));
    return { ...rest, apiVersion: to, spec: { params } };
  }
  return {
    ...rest,
    apiVersion: to,
    spec: { inputs: (spec?.params ?? []).map(({ name }) => name).join(',') },
  };
}

const old = version('v1alpha1', { properties: { inputs: { type: 'string' } } });
const current = version('v1', {
  properties: {
    params: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string' }, type: { type: 'string', default: 'string' } },
      },
    },
  },
});

interface Setup {
  readonly service: ApiService;
  readonly server: ConversionServer;
  readonly definitions: Kind;
  readonly alpha: Kind;
  readonly stable: Kind;
}

/** Stored as v1alpha1 unless told otherwise. */
async function setup(t: TestContext, clientConfig?: (server: ConversionServer) => object): Promise<Setup> {
  const server = await startConversionServer(convert, ['tasks.default.svc']);
  const { service, close } = await startTestApi();
  t.after(async () => {
    await close();
    await server.close();
  });
  const definitions = definitionsOf(service);
  const config =
    clientConfig ?? (({ port, caBundle }) => ({ url: `https://127.0.0.1:${port}/convert`, caBundle }));
  await definitions.create(
    thing([old, { ...current, storage: false }], {
      conversion: {
        strategy: 'Webhook',
        webhook: { clientConfig: config(server), conversionReviewVersions: ['v1'] },
      },
    }),
  );
  return {
    service,
    server,
    definitions,
    alpha: new Kind(service, 'test.example.dev/v1alpha1', 'things'),
    stable: new Kind(service, 'test.example.dev/v1', 'things'),
  };
}

test('objects are read, listed and watched in a version that they are not stored in', async (t) => {
  const { alpha, stable, service, server } = await setup(t);
  const stream = await service.watch(stable.def, { resourceVersion: service.resourceVersion });
  const made = await alpha.create(alpha.object('a', { spec: { inputs: 'x,y' } }));
  assert.equal(server.asked.length, 0, 'what is stored as it was sent needs no conversion');
  const read = await stable.get('a');
  assert.equal(read.apiVersion, 'test.example.dev/v1');
  assert.deepEqual(read['spec'], {
    params: [
      { name: 'x', type: 'string' },
      { name: 'y', type: 'string' },
    ],
  });
  assert.equal(read.metadata.uid, made.metadata.uid);
  assert.equal(read.metadata.resourceVersion, made.metadata.resourceVersion);
  for (let i = 0; i < 3; i++) await alpha.create(alpha.object(`b${i}`, { spec: { inputs: 'z' } }));
  const list = await stable.list();
  assert.deepEqual(
    list.map(({ metadata, apiVersion }) => [metadata.name, apiVersion]),
    [
      ['a', 'test.example.dev/v1'],
      ['b0', 'test.example.dev/v1'],
      ['b1', 'test.example.dev/v1'],
      ['b2', 'test.example.dev/v1'],
    ],
  );
  const before = server.asked.length;
  await stable.list();
  assert.equal(server.asked.length, before, 'what was converted once is kept');
  const seen: string[] = [];
  for await (const { type, object } of stream) {
    seen.push(`${type} ${object.metadata.name} ${object.apiVersion.split('/')[1]}`);
    if (seen.length === 4) break;
  }
  assert.deepEqual(seen, ['ADDED a v1', 'ADDED b0 v1', 'ADDED b1 v1', 'ADDED b2 v1']);
});

test('objects are written in a version that they are not stored in', async (t) => {
  const { alpha, stable } = await setup(t);
  const made = await stable.create(stable.object('a', { spec: { params: [{ name: 'x' }] } }));
  assert.deepEqual([made.apiVersion, made.metadata.generation], ['test.example.dev/v1', 1]);
  assert.deepEqual((await alpha.get('a'))['spec'], { inputs: 'x' });
  const patched = await stable.merge('a', { spec: { params: [{ name: 'x' }, { name: 'y' }] } });
  assert.deepEqual([patched.apiVersion, patched.metadata.generation], ['test.example.dev/v1', 2]);
  assert.deepEqual((await alpha.get('a'))['spec'], { inputs: 'x,y' });
  const again = await stable.merge('a', { spec: { params: [{ name: 'x' }, { name: 'y' }] } });
  assert.equal(again.metadata.resourceVersion, patched.metadata.resourceVersion, 'nothing changed');
  const replaced = await stable.update({
    ...structuredClone(again),
    spec: { params: [] },
  });
  assert.equal(replaced.metadata.generation, 3);
  await assert.rejects(stable.update({ ...structuredClone(again), spec: {} }), {
    code: 409,
  });
  await assert.rejects(stable.merge('a', { spec: { params: [{}] } }), {
    code: 422,
    message: /params\[0\]\.name: Required/,
  });
  await stable.delete('a');
  await assert.rejects(alpha.get('a'), { code: 404 });
});

test('writers of two versions at once lose nothing', async (t) => {
  const { alpha, stable } = await setup(t);
  await alpha.create(alpha.object('a', { spec: { inputs: 'x' } }));
  await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      (i % 2 ? stable : alpha)
        .merge('a', { metadata: { labels: { [`l${i}`]: 'x' } } })
        .catch((error: unknown) => {
          // A writer may lose the race five times; then it is told so.
          assert.equal((error as { code: number }).code, 409);
        }),
    ),
  );
  const { labels = {} } = (await stable.get('a')).metadata;
  assert.ok(Object.keys(labels).length >= 4);
});

test('a new storage version takes over object by object, as they are written', async (t) => {
  const { definitions, alpha, stable, server, service } = await setup(t);
  await alpha.create(alpha.object('a', { spec: { inputs: 'x' } }));
  const name = 'things.test.example.dev';
  const flipped = await definitions.merge(name, {
    spec: { versions: [{ ...old, storage: false }, current] },
  });
  assert.deepEqual((flipped['status'] as { storedVersions: string[] }).storedVersions, ['v1alpha1', 'v1']);
  assert.deepEqual((await stable.get('a'))['spec'], { params: [{ name: 'x', type: 'string' }] });
  // A write that changes nothing else migrates the object.
  const before = (await stable.get('a')).metadata.resourceVersion;
  const migrated = await stable.update(structuredClone(await stable.get('a')));
  assert.notEqual(migrated.metadata.resourceVersion, before);
  const asked = server.asked.length;
  await stable.get('a');
  assert.equal(server.asked.length, asked, 'it is stored as v1 now');
  await assert.rejects(definitions.merge(name, { spec: { versions: [current] } }), {
    message: /status\.storedVersions\[0\]: Invalid value: "v1alpha1": must appear in spec\.versions/,
  });
  const status = { type: 'merge', body: { status: { storedVersions: ['v1'] } } } as const;
  await service.patch(definitions.def, { name }, status, { user, subresource: 'status' });
  await definitions.merge(name, { spec: { versions: [current] } });
  assert.throws(() => alpha.def, /not served/);
});

test('the webhook may be a Service of the cluster', async (t) => {
  const { alpha, stable, service, server } = await setup(t, ({ caBundle }) => ({
    caBundle,
    service: { namespace: 'default', name: 'tasks', path: '/convert', port: 8443 },
  }));
  await alpha.create(alpha.object('a', { spec: { inputs: 'x' } }));
  await assert.rejects(stable.get('a'), { code: 500, message: /service "tasks" not found/ });
  const core = (plural: string) => new Kind(service, 'v1', plural);
  await core('services').create(
    core('services').object('tasks', {
      spec: { ports: [{ name: 'https', port: 8443, targetPort: server.port }] },
    }),
  );
  await assert.rejects(stable.get('a'), { code: 500, message: /no endpoints available for service "tasks"/ });
  await core('endpoints').create(
    core('endpoints').object('tasks', {
      subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'https', port: server.port }] }],
    }),
  );
  assert.deepEqual((await stable.get('a'))['spec'], { params: [{ name: 'x', type: 'string' }] });
});

test('an answer that is wrong is refused in the words of kube-apiserver', async (t) => {
  const { alpha, stable, server, definitions, service } = await setup(t);
  await alpha.create(alpha.object('a', { spec: { inputs: 'x' } }));
  const what = 'conversion webhook for test.example.dev/v1alpha1, Kind=Thing';
  const changed =
    (change: (object: UntypedObject) => unknown): ConversionServer['answer'] =>
    (request) =>
      converted(request, (object, to) => change(convert(object, to)) as UntypedObject);
  const cases: readonly (readonly [ConversionServer['answer'], string])[] = [
    [
      ({ uid }) => review({ uid, convertedObjects: [], result: { status: 'Success' } }),
      `${what} returned 0 objects, expected 1`,
    ],
    [
      ({ uid }) => review({ uid, result: { status: 'Failure', message: 'no way' } }),
      `${what} failed: no way`,
    ],
    [
      () => ({ kind: 'Nonsense' }),
      `${what} failed: expected apiextensions.k8s.io/v1, Kind=ConversionReview, got undefined, Kind="Nonsense"`,
    ],
    [() => review({ uid: 'other' }), `${what} failed: expected response.uid=`],
    [
      changed((object) => ({ ...object, metadata: { ...object.metadata, name: 'b' } })),
      `${what} returned invalid converted object at index 0: must have the same name`,
    ],
    [
      changed((object) => ({ ...object, metadata: { ...object.metadata, uid: 'b' } })),
      'must have the same UID',
    ],
    [changed((object) => ({ ...object, kind: 'Other' })), 'invalid kind (expected Thing, got "Other")'],
    [
      changed((object) => ({ ...object, apiVersion: 'x/v1' })),
      'invalid groupVersion (expected test.example.dev/v1, got "x/v1")',
    ],
    [
      changed((object) => ({ ...object, metadata: { ...object.metadata, labels: { 'a b': 'c' } } })),
      'metadata.labels: ',
    ],
    [changed(() => 'text'), 'not an object'],
  ];
  for (const [answer, message] of cases) {
    server.answer = answer;
    await assert.rejects(stable.get('a'), (error: Error & { code: number }) => {
      assert.equal(error.code, 500);
      assert.ok(error.message.includes(message), error.message);
      return true;
    });
    await assert.rejects(stable.list());
    await assert.rejects(stable.merge('a', { metadata: { labels: { x: 'y' } } }));
  }
  await server.close();
  await assert.rejects(stable.get('a'), {
    message:
      /failed: Post "https:\/\/127\.0\.0\.1:\d+\/convert\?timeout=30s": dial tcp .* connection refused/,
  });
  // What is on its way out does not wait for a webhook that is gone.
  await stable.delete('a');
  await alpha.create(alpha.object('b'));
  await definitions.delete('things.test.example.dev');
  assert.ok(service);
});

test('metadata that a webhook may not touch is kept, labels and annotations are its own', async (t) => {
  const { alpha, stable, server } = await setup(t);
  const object = alpha.object('a', { spec: { inputs: 'x' } });
  object.metadata.labels = { kept: 'no' };
  object.metadata.finalizers = ['example.dev/hold'];
  await alpha.create(object);
  server.answer = (request) =>
    converted(request, (given, to) => {
      const next = convert(given, to);
      const { name, uid, namespace = '' } = next.metadata;
      return {
        ...next,
        metadata: { name, namespace, ...(uid ? { uid } : {}), labels: { made: 'here' }, finalizers: [] },
      };
    });
  const { metadata } = await stable.get('a');
  assert.deepEqual(metadata.labels, { made: 'here' });
  assert.deepEqual(metadata.finalizers, ['example.dev/hold']);
});

test('the strategy None renames versions', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const spec = { properties: { size: { type: 'integer' } } };
  const beta = { properties: { size: { type: 'integer' }, color: { type: 'string', default: 'red' } } };
  await definitionsOf(service).create(
    thing([version('v1', spec), version('v2beta1', beta, { storage: false })]),
  );
  const stored = new Kind(service, 'test.example.dev/v1', 'things');
  const other = new Kind(service, 'test.example.dev/v2beta1', 'things');
  await stored.create(stored.object('a', { spec: { size: 1 } }));
  assert.deepEqual((await other.get('a'))['spec'], { size: 1, color: 'red' });
  await other.merge('a', { spec: { size: 2 } });
  const read = await stored.get('a');
  assert.deepEqual([read.apiVersion, read['spec']], ['test.example.dev/v1', { size: 2 }]);
});
