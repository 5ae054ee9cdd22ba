import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../../src/base/clock.ts';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { resources } from '../../../../src/api/registry.ts';
import { isNotFound } from '../../../../src/kube/api-error.ts';
import { ApiService } from '../../../../src/kube/server/service/service.ts';
import { sqliteBackend } from '../../../../src/kube/store/sqlite.ts';
import { Store } from '../../../../src/kube/store/store.ts';
import { startTestApi } from '../../../support/api.ts';
import { waitFor } from '../../../support/wait.ts';
import { conditions, definitionsOf, fixture, Kind, thing, version } from './support.ts';

async function api(t: TestContext): Promise<{ service: ApiService; definitions: Kind; things: Kind }> {
  const { service, close } = await startTestApi();
  t.after(close);
  return {
    service,
    definitions: definitionsOf(service),
    things: new Kind(service, 'test.example.dev/v1', 'things'),
  };
}

const open = { 'x-kubernetes-preserve-unknown-fields': true };

test('a definition is served as soon as it is stored, and says so', async (t) => {
  const { definitions, things, service } = await api(t);
  const before = service.registry.generation;
  const created = await definitions.create(
    thing([version('v1', { properties: { size: { type: 'integer' } } })]),
  );
  assert.deepEqual(conditions(created), { NamesAccepted: 'True', Established: 'True' });
  assert.deepEqual((created['status'] as { storedVersions: string[] }).storedVersions, ['v1']);
  assert.ok(service.registry.generation > before);
  assert.equal(things.def.singular, 'thing');
  assert.equal(things.def.listKind, 'ThingList');
  const object = await things.create(things.object('a', { spec: { size: 3, unknown: 1 } }));
  assert.deepEqual(object['spec'], { size: 3 });
  assert.equal(object.metadata.generation, 1);
});

test('objects are pruned, defaulted and checked by the schema', async (t) => {
  const { definitions, service } = await api(t);
  await definitions.create(fixture('certificates.yaml'));
  const certificates = new Kind(service, 'pki.example.dev/v1', 'certificates');
  const spec = { secretName: 'web', issuerRef: { name: 'ca' } };
  const created = await certificates.create(
    certificates.object('web', {
      spec: { ...spec, bogus: 1, keystores: [{ name: 'x', bogus: 1 }], extra: { kept: [1, { a: 'b' }] } },
      status: { replicas: 9 },
    }),
  );
  assert.deepEqual(created['spec'], {
    ...spec,
    issuerRef: { name: 'ca', kind: 'Issuer' },
    keystores: [{ name: 'x', format: 'PKCS12' }],
    extra: { kept: [1, { a: 'b' }] },
    replicas: 1,
  });
  assert.equal(created['status'], undefined);
  const faults: readonly (readonly [object, RegExp])[] = [
    [{ secretName: 'web' }, /spec\.issuerRef: Required value/],
    [{ ...spec, secretName: 'A B' }, /should match '\^\[a-z0-9\]/],
    [{ ...spec, secretName: '' }, /should be at least 1 chars long/],
    [
      { ...spec, issuerRef: { name: 'x', kind: 'Other' } },
      /Unsupported value: "Other": supported values: "Issuer", "ClusterIssuer"/,
    ],
    [{ ...spec, dnsNames: ['a', 'a'] }, /spec\.dnsNames\[1\]: Duplicate value: "a"/],
    [
      { ...spec, keystores: [{ name: 'x' }, { name: 'x' }] },
      /spec\.keystores\[1\]: Duplicate value: \{"name":"x"\}/,
    ],
    [{ ...spec, replicas: -1 }, /greater than or equal to 0/],
    [{ ...spec, port: true }, /must be of type integer,string: "boolean"/],
    [{ ...spec, duration: 'soon' }, /must be of type duration: "soon"/],
    [
      { ...spec, duration: '1h', renewBefore: '2h' },
      /spec: Invalid value: "object": renewBefore must be shorter than duration/,
    ],
  ];
  for (const [wrong, message] of faults) {
    await assert.rejects(certificates.create(certificates.object('bad', { spec: wrong })), {
      code: 422,
      message,
    });
  }
  await assert.rejects(certificates.merge('web', { spec: { secretName: 'other' } }), {
    code: 422,
    message:
      'Certificate.pki.example.dev "web" is invalid: spec.secretName: Invalid value: "string": secretName is immutable',
  });
});

test('a schema change is served at once; what is stored stays as it is', async (t) => {
  const { definitions, things } = await api(t);
  await definitions.create(thing([version('v1', { properties: { size: { type: 'integer' } } })]));
  await things.create(things.object('a', { spec: { size: 1 } }));
  const stricter = version('v1', {
    properties: { size: { type: 'integer', minimum: 5 }, color: { type: 'string', default: 'red' } },
  });
  await definitions.merge('things.test.example.dev', { spec: { versions: [stricter] } });
  await assert.rejects(things.create(things.object('b', { spec: { size: 1 } })), {
    message: /spec\.size: Invalid value: 1: spec\.size in body should be greater than or equal to 5/,
  });
  // What was not changed may stay, although it would not be accepted anew.
  const next = await things.merge('a', { metadata: { labels: { x: 'y' } } });
  assert.deepEqual(next['spec'], { size: 1, color: 'red' });
  await assert.rejects(things.merge('a', { spec: { size: 2 } }), { message: /greater than or equal to 5/ });
});

test('deleting a definition deletes its objects first, waits for their finalizers, and ends watches', async (t) => {
  const { definitions, things, service } = await api(t);
  await definitions.create(thing([version('v1', open)]));
  const held = things.object('held', {});
  held.metadata.finalizers = ['example.dev/hold'];
  await things.create(held);
  for (let i = 0; i < 150; i++) await things.create(things.object(`free-${i}`));
  const { def } = things;
  const stream = await service.watch(def, { resourceVersion: service.resourceVersion });
  await definitions.delete('things.test.example.dev');
  const terminating = await definitions.get('things.test.example.dev');
  assert.deepEqual(terminating.metadata.finalizers, ['customresourcecleanup.apiextensions.k8s.io']);
  await assert.rejects(things.create(things.object('late')), { code: 405, message: /is terminating/ });
  await waitFor('all but the held one to go', async () => (await things.list()).length === 1);
  assert.equal(conditions(await definitions.get('things.test.example.dev'))['Terminating'], 'True');
  await things.merge('held', { metadata: { finalizers: null } });
  await waitFor('the definition to go', () =>
    definitions.get('things.test.example.dev').then(() => false, isNotFound),
  );
  assert.equal(service.registry.find('test.example.dev/v1', 'things'), undefined);
  let deleted = 0;
  for await (const event of stream) if (event.type === 'DELETED') deleted++;
  assert.equal(deleted, 151);
});

test('names belong to who had them first, and are free again when that goes', async (t) => {
  const { definitions, service } = await api(t);
  const first = thing([version('v1', open)]);
  await definitions.create(first);
  const rival: UntypedObject = thing([version('v1', open)], {
    names: { plural: 'others', kind: 'Other', shortNames: ['things'] },
  });
  rival.metadata.name = 'others.test.example.dev';
  const refused = await definitions.create(rival);
  assert.deepEqual(conditions(refused), { NamesAccepted: 'False', Established: 'False' });
  assert.match(JSON.stringify(refused['status']), /ShortNamesConflict.*\\"things\\" is already in use/);
  assert.equal(service.registry.find('test.example.dev/v1', 'others'), undefined);
  await definitions.delete('things.test.example.dev');
  await waitFor('the other definition', () => service.registry.find('test.example.dev/v1', 'others'));
});

test("the platform's own kinds are listed and cannot be changed or removed, only annotated", async (t) => {
  const { definitions, service } = await api(t);
  const name = 'services.serving.knative.dev';
  const own = await definitions.get(name);
  assert.equal(own.metadata.labels?.['duck.knative.dev/addressable'], 'true');
  // Knative's own manifest has other versions and schemas.
  const upstream = {
    apiVersion: own.apiVersion,
    kind: own.kind,
    metadata: { name, labels: { 'app.kubernetes.io/version': '1.16.0' } },
    spec: {
      ...(own['spec'] as object),
      versions: [
        { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } },
      ],
    },
  };
  const applied = await definitions.merge(name, upstream);
  assert.deepEqual(applied['spec'], own['spec']);
  assert.equal(applied.metadata.labels?.['app.kubernetes.io/version'], '1.16.0');
  assert.equal(applied.metadata.labels?.['duck.knative.dev/addressable'], 'true');
  await assert.rejects(definitions.delete(name), { code: 403, message: /part of this platform/ });
  assert.ok(service.registry.find('serving.knative.dev/v1', 'services'));
  await assert.rejects(definitions.create(upstream), { code: 409 });
});

test('definitions and their objects survive a restart', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-crd-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const first = await startTestApi({ store: await Store.open(sqliteBackend(dir)) });
  const definitions = definitionsOf(first.service);
  await definitions.create(thing([version('v1', open)]));
  await definitions.merge('services.serving.knative.dev', { metadata: { annotations: { mine: 'yes' } } });
  const things = new Kind(first.service, 'test.example.dev/v1', 'things');
  await things.create(things.object('kept', { spec: { a: 1 } }));
  const doomed = thing([version('v1', open)], { names: { plural: 'doomed', kind: 'Doomed' } });
  doomed.metadata.name = 'doomed.test.example.dev';
  await definitions.create(doomed);
  const held = new Kind(first.service, 'test.example.dev/v1', 'doomed');
  const holder = held.object('held');
  holder.metadata.finalizers = ['example.dev/hold'];
  await held.create(holder);
  await definitions.delete('doomed.test.example.dev');
  await first.close();

  const store = await Store.open(sqliteBackend(dir));
  const service = new ApiService({ store, resources, clock: systemClock });
  t.after(() => store.close());
  const again = new Kind(service, 'test.example.dev/v1', 'things');
  assert.deepEqual((await again.get('kept'))['spec'], { a: 1 });
  const own = await definitionsOf(service).get('services.serving.knative.dev');
  assert.equal(own.metadata.annotations?.['mine'], 'yes');
  // The deletion that was under way goes on.
  await new Kind(service, 'test.example.dev/v1', 'doomed').merge('held', { metadata: { finalizers: null } });
  await waitFor('the deletion to end', () =>
    definitionsOf(service)
      .get('doomed.test.example.dev')
      .then(() => false, isNotFound),
  );
});

test('a watch of definitions sees them with what they define', async (t) => {
  const { definitions, service } = await api(t);
  const stream = await service.watch(definitions.def, { resourceVersion: service.resourceVersion });
  const created = definitions.create(thing([version('v1', open)]));
  for await (const { type, object } of stream) {
    assert.equal(type, 'ADDED');
    assert.equal(conditions(object as UntypedObject)['Established'], 'True');
    assert.ok(service.registry.find('test.example.dev/v1', 'things'));
    break;
  }
  await created;
});

test('a field selector may ask for what a definition declares', async (t) => {
  const { definitions, things, service } = await api(t);
  await definitions.create(
    thing([
      version(
        'v1',
        { properties: { color: { type: 'string' } } },
        { selectableFields: [{ jsonPath: '.spec.color' }] },
      ),
    ]),
  );
  await things.create(things.object('a', { spec: { color: 'red' } }));
  await things.create(things.object('b', { spec: { color: 'blue' } }));
  const { records } = await service.list(things.def, { fieldSelector: 'spec.color=blue' });
  assert.deepEqual(
    records.map(({ object }) => object.metadata.name),
    ['b'],
  );
  await assert.rejects(service.list(things.def, { fieldSelector: 'spec.size=1' }), { code: 400 });
});

test('no schema makes an object take for ever', async (t) => {
  const { definitions, things } = await api(t);
  const text = { type: 'string', pattern: '(a*)*(a*)*b' };
  const branches = Array.from({ length: 300 }, (_, i) => ({ properties: { a: { enum: [i] } } }));
  const item = { type: 'object', properties: { a: { type: 'integer' } }, not: { anyOf: branches } };
  await definitions.create(
    thing([
      version('v1', {
        properties: { texts: { type: 'array', items: text }, items: { type: 'array', items: item } },
      }),
    ]),
  );
  const long = Array.from({ length: 200 }, () => 'a'.repeat(10_000));
  await assert.rejects(things.create(things.object('x', { spec: { texts: long } })), { code: 422 });
  const many = Array.from({ length: 100_000 }, () => ({ a: -1 }));
  await assert.rejects(things.create(things.object('x', { spec: { items: many } })), {
    code: 422,
    message: /the schema takes too long to check on this object/,
  });
});
