import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileJsonPath } from '../../../../src/kube/server/jsonpath.ts';
import { startTestServer } from '../support.ts';
import { definitionsOf, Kind, thing, version } from './support.ts';

const open = { 'x-kubernetes-preserve-unknown-fields': true };

test('columns are those of the definition, each shown by its type', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const { service } = server.api;
  const column = (name: string, type: string, jsonPath: string): object => ({ name, type, jsonPath });
  await definitionsOf(service).create(
    thing([
      version('v1', open, {
        additionalPrinterColumns: [
          column('Text', 'string', '.spec.text'),
          column('Texts', 'string', '.spec.list[*].name'),
          column('Number', 'integer', '.spec.number'),
          column('Wrong', 'integer', '.spec.text'),
          column('Flag', 'boolean', '.spec.flag'),
          column('When', 'date', '.spec.when'),
          column('Never', 'date', '.spec.text'),
          column('None', 'string', '.spec.none'),
        ],
        deprecated: true,
      }),
    ]),
  );
  const things = new Kind(service, 'test.example.dev/v1', 'things');
  const when = new Date(Date.now() - 3 * 3_600_000).toISOString();
  const list = [{ name: 'a' }, { name: 'b' }];
  await things.create(things.object('x', { spec: { text: 't', list, number: 4.5, flag: true, when } }));
  const reply = await server.call('GET', '/apis/test.example.dev/v1/namespaces/default/things', {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  });
  const table = reply.json<{ columnDefinitions: { name: string }[]; rows: { cells: unknown[] }[] }>();
  assert.deepEqual(
    table.columnDefinitions.map(({ name }) => name),
    ['Name', 'Text', 'Texts', 'Number', 'Wrong', 'Flag', 'When', 'Never', 'None'],
  );
  assert.deepEqual(table.rows[0]?.cells, ['x', 't', 'a b', 4, null, true, '3h', '<invalid>', null]);
  assert.equal(reply.headers['warning'], '299 - "test.example.dev/v1 Thing is deprecated"');
});

const object = { a: [{ b: 1 }, { b: 2 }, { b: 3 }], c: { b: 4, d: { b: 5 } } };

for (const [path, expected] of [
  ['.a[0:2].b', [1, 2]],
  ['.a[1:].b', [2, 3]],
  ['.a[-1:].b', [3]],
  ['.c..b', [4, 5]],
  ['.a[?(@.b==2)].b', [2]],
  [`['c']['b']`, [4]],
] as const) {
  test(`JSONPath ${path}`, () => {
    assert.deepEqual(compileJsonPath(path)(object), expected);
  });
}

test('a path that descends again and again visits everything once', () => {
  let deep: object = { a: 1 };
  for (let i = 0; i < 150; i++) deep = { a: deep };
  const found = compileJsonPath('..a'.repeat(40))(deep);
  assert.ok(found.length <= 151, String(found.length));
});
