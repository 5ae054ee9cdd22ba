/** Objects of custom resources as they are read: in the form of today's schema, selected by the fields of their version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { startTestApi } from '../../../support/api.ts';
import { startConversionServer } from './conversion-server.ts';
import { definitionsOf, Kind, thing, user, version } from './support.ts';

test('objects that were stored before the schema changed have its defaults, and lose what it does not know', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const definitions = definitionsOf(service);
  const kind = new Kind(service, 'test.example.dev/v1', 'things');
  const before = version('v1', { properties: { a: { type: 'string' }, gone: { type: 'string' } } });
  const { metadata } = await definitions.create(thing([before]));
  const made = await kind.create(kind.object('old', { spec: { gone: 'x' } }));
  const after = version('v1', {
    properties: { a: { type: 'string', default: 'A' }, b: { type: 'string', default: 'B' } },
  });
  await definitions.merge(metadata.name, { spec: { versions: [after] } });
  const read = await kind.get('old');
  assert.deepEqual(read['spec'], { a: 'A', b: 'B' });
  assert.equal(read.metadata.resourceVersion, made.metadata.resourceVersion);
  assert.deepEqual((await kind.list())[0]?.['spec'], { a: 'A', b: 'B' });
  const watch = await service.watch(kind.def);
  for await (const { object } of watch) {
    assert.deepEqual((object as UntypedObject)['spec'], { a: 'A', b: 'B' });
    break;
  }
  // What is written is kept, whatever becomes of the default.
  await kind.merge('old', { metadata: { labels: { touched: 'yes' } } });
  const plain = version('v1', { properties: { a: { type: 'string' }, b: { type: 'string' } } });
  await definitions.merge(metadata.name, { spec: { versions: [plain] } });
  assert.deepEqual((await kind.get('old'))['spec'], { a: 'A', b: 'B' });
});

test('a field selector looks at the version that is asked for, in lists, watches and deletions', async (t) => {
  const server = await startConversionServer((object, to) => {
    const { spec, ...rest } = object as UntypedObject & { spec: Record<string, string> };
    const [host, port] = (spec['hostPort'] ?? '').split(':');
    const own = to.endsWith('/v2')
      ? { host, ...(port ? { port } : {}) }
      : { hostPort: [spec['host'], spec['port']].filter(Boolean).join(':') };
    return { ...rest, apiVersion: to, spec: own };
  });
  const { service, close } = await startTestApi();
  t.after(async () => {
    await close();
    await server.close();
  });
  const text = { type: 'string' };
  const first = version('v1', { properties: { hostPort: text } });
  const second = version('v2', { properties: { host: text, port: text } });
  const selectable = (...paths: string[]) => ({
    selectableFields: paths.map((path) => ({ jsonPath: `.spec.${path}` })),
  });
  const clientConfig = { url: `https://127.0.0.1:${server.port}/convert`, caBundle: server.caBundle };
  await definitionsOf(service).create(
    thing(
      [
        { ...first, ...selectable('hostPort') },
        { ...second, ...selectable('host', 'port'), storage: false },
      ],
      { conversion: { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } } },
    ),
  );
  const v1 = new Kind(service, 'test.example.dev/v1', 'things');
  const v2 = new Kind(service, 'test.example.dev/v2', 'things');
  const stream = await service.watch(v2.def, { fieldSelector: 'spec.host=one' });
  await v2.create(v2.object('a', { spec: { host: 'one', port: '80' } }));
  await v2.create(v2.object('b', { spec: { host: 'one', port: '8080' } }));
  await v2.create(v2.object('c', { spec: { host: 'two' } }));
  const names = async ({ def }: Kind, fieldSelector: string): Promise<string[]> =>
    (await service.list(def, { fieldSelector })).records.map(({ object }) => object.metadata.name);
  assert.deepEqual(await names(v2, 'spec.host=one'), ['a', 'b']);
  assert.deepEqual(await names(v2, 'spec.host=one,spec.port=80'), ['a']);
  assert.deepEqual(await names(v2, 'spec.host!=one'), ['c']);
  assert.deepEqual(await names(v1, 'spec.hostPort=one:8080'), ['b']);
  await service.deleteCollection(v2.def, { fieldSelector: 'spec.host=one,spec.port=80' }, { user });
  await v2.merge('b', { spec: { host: 'two' } });
  await v2.merge('c', { spec: { host: 'one' } });
  const seen: string[] = [];
  for await (const { type, object } of stream) {
    seen.push(`${type} ${object.metadata.name} ${object.apiVersion.split('/')[1]}`);
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, ['ADDED a v2', 'ADDED b v2', 'DELETED a v2', 'DELETED b v2', 'ADDED c v2']);
});
