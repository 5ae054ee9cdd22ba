import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeObject, UntypedObject } from '../../../src/api/object.ts';
import { defineResource, type Column } from '../../../src/api/resource.ts';
import { resources } from '../../../src/api/registry.ts';
import { compileJsonPath } from '../../../src/kube/server/jsonpath.ts';
import { makePrinter } from '../../../src/kube/server/table.ts';

const now = Date.parse('2026-01-01T01:00:00Z');
const object: UntypedObject = {
  apiVersion: 'example.com/v1',
  kind: 'Thing',
  metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z', annotations: { 'a.b/c': 'dotted' } },
  spec: { size: 3, on: false, list: [{ n: 1 }, { n: 2 }], tree: { a: 1 } },
  status: {
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'Other', status: 'Unknown' },
    ],
    at: '2026-01-01T00:59:30Z',
  },
};

function thing(columns: readonly Column[], cells?: (object: KubeObject) => string[]) {
  return defineResource({
    group: 'example.com',
    version: 'v1',
    kind: 'Thing',
    plural: 'things',
    namespaced: true,
    builtin: false,
    schema: { type: 'object' },
    columns,
    ...(cells ? { cells } : {}),
  });
}

describe('JSONPath of columns', () => {
  const rows: [string, unknown[]][] = [
    ['.spec.size', [3]],
    ['{.spec.size}', [3]],
    ['spec.size', [3]],
    ['$.spec.size', [3]],
    ['.spec.on', [false]],
    ['.spec.none.deeper', []],
    ['.spec.list[0].n', [1]],
    ['.spec.list[-1].n', [2]],
    ['.spec.list[9].n', []],
    ['.spec.list[*].n', [1, 2]],
    ['.spec.tree.*', [1]],
    [String.raw`.metadata.annotations.a\.b/c`, ['dotted']],
    [".metadata.annotations['a.b/c']", ['dotted']],
    [".status.conditions[?(@.type=='Ready')].status", ['True']],
    ['.status.conditions[?(@.type == "Other")].status', ['Unknown']],
    ['.status.conditions[?(@.type!="Ready")].status', ['Unknown']],
    ['.spec.list[?(@.n==2)].n', [2]],
    ['.toString', []],
  ];
  for (const [path, found] of rows) {
    it(`finds ${path}`, () => assert.deepEqual(compileJsonPath(path)(object), found));
  }

  it('names a path that it cannot read', () => {
    assert.throws(() => compileJsonPath('.a[?(@.b > 1)]'), /unsupported JSONPath \.a\[\?\(@\.b > 1\)\] at/);
  });
});

describe('table columns', () => {
  it('begin with Name and end with Age', () => {
    const printer = makePrinter(thing([{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }]));
    assert.deepEqual(
      printer.columns.map(({ name }) => name),
      ['Name', 'Size', 'Age'],
    );
    assert.deepEqual(printer.cells(object, now), ['x', 3, '60m']);
  });

  it('show values by their type', () => {
    const column = (type: Column['type'], jsonPath: string): Column => ({ name: jsonPath, type, jsonPath });
    const printer = makePrinter(
      thing([
        column('boolean', '.spec.on'),
        column('date', '.status.at'),
        column('date', '.status.none'),
        column('string', '.status.none'),
        column('string', '.spec.tree'),
        { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      ]),
    );
    assert.deepEqual(printer.cells(object, now), ['x', false, '30s', '<unknown>', null, '{"a":1}', '60m']);
  });

  it('are all there is when a kind computes its cells', () => {
    const printer = makePrinter(thing([{ name: 'A', type: 'string' }], () => ['a']));
    assert.deepEqual(printer.cells(object, now), ['x', 'a']);
    const named = makePrinter(
      thing(
        [
          { name: 'A', type: 'string' },
          { name: 'Name', type: 'string' },
        ],
        () => ['a', 'n'],
      ),
    );
    assert.deepEqual(
      named.columns.map(({ name }) => name),
      ['A', 'Name'],
    );
    assert.deepEqual(named.cells(object, now), ['a', 'n']);
  });

  for (const def of resources) {
    it(`of ${def.plural}.${def.group} fit an object that has only metadata`, () => {
      const printer = makePrinter(def);
      const bare = { apiVersion: 'v1', kind: def.kind, metadata: { name: 'x' } };
      // Kinds whose required members are missing cannot occur in the store; they may throw, but never misalign.
      let cells: readonly unknown[];
      try {
        cells = printer.cells(bare, now);
      } catch (error) {
        assert.ok(error instanceof TypeError && 'cells' in def, String(error));
        return;
      }
      assert.equal(cells.length, printer.columns.length);
    });
  }
});
