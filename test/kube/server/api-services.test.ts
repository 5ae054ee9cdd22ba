import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionsOf, thing, version } from './definitions/support.ts';
import { startTestServer } from './support.ts';

test('every group version that is served is an APIService, custom ones as soon as they are', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const path = '/apis/apiregistration.k8s.io/v1/apiservices';
  const names = async (): Promise<string[]> =>
    (await server.call('GET', path))
      .json<{ items: { metadata: { name: string } }[] }>()
      .items.map(({ metadata }) => metadata.name);
  const before = await names();
  for (const name of ['v1.', 'v1.apps', 'v1.serving.knative.dev']) assert.ok(before.includes(name), name);
  await definitionsOf(server.api.service).create(thing([version('v1', {})]));
  assert.ok((await names()).includes('v1.test.example.dev'));
  const one = (await server.call('GET', `${path}/v1.apps`)).json<{
    status: { conditions: { status: string }[] };
  }>();
  assert.equal(one.status.conditions[0]?.status, 'True');
  assert.equal((await server.call('DELETE', `${path}/v1.apps`)).status, 405);
});

test('documents move with definitions', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const definitions = definitionsOf(server.api.service);
  const v2 = async (): Promise<string> => String((await server.call('GET', '/openapi/v2')).headers['etag']);
  const v3 = async (): Promise<number> =>
    (await server.call('GET', '/openapi/v3/apis/test.example.dev/v1')).status;
  const before = await v2();
  assert.equal(await v3(), 404);
  await definitions.create(thing([version('v1', { properties: { size: { type: 'integer' } } })]));
  const created = await v2();
  assert.notEqual(created, before);
  assert.equal(await v3(), 200);
  await definitions.merge('things.test.example.dev', { metadata: { labels: { a: 'b' } } });
  assert.equal(await v2(), created, 'a label changes nothing that is served');
  await definitions.merge('things.test.example.dev', {
    spec: { versions: [version('v1', { properties: { size: { type: 'integer', minimum: 1 } } })] },
  });
  assert.notEqual(await v2(), created);
  const core = (await server.call('GET', '/openapi/v3/api/v1')).headers['etag'];
  await definitions.delete('things.test.example.dev');
  assert.equal((await server.call('GET', '/openapi/v3/api/v1')).headers['etag'], core);
});
