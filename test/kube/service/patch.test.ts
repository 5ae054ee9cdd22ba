import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { deepEqual } from '../../../src/base/json.ts';
import type { Schema } from '../../../src/api/schema.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { cpuOf } from '../../support/growth.ts';
import { jsonPatch } from '../../../src/kube/server/service/patch/json.ts';
import { mergePatch } from '../../../src/kube/server/service/patch/merge.ts';
import { strategicMergePatch } from '../../../src/kube/server/service/patch/strategic.ts';

type Members = Record<string, unknown>;

const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The merge patch that turns one document without nulls into another. */
function makeMergePatch(from: Members, to: Members): Members {
  const patch: Members = {};
  for (const key of Object.keys(from)) if (!(key in to)) patch[key] = null;
  for (const [key, value] of Object.entries(to)) {
    const before = from[key];
    if (deepEqual(before, value)) continue;
    patch[key] = isMembers(before) && isMembers(value) ? makeMergePatch(before, value) : value;
  }
  return patch;
}

const key = fc.constantFrom('a', 'b', 'c', 'd');
const { document } = fc.letrec<{ document: Members; value: unknown }>((tie) => ({
  document: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
  value: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.constantFrom('x', '', true),
    fc.array(fc.integer(), { maxLength: 3 }),
    tie('document'),
  ),
}));

test('property: the merge patch between two documents gives the second, twice as well as once, and changes neither', () => {
  fc.assert(
    fc.property(document, document, (from, to) => {
      const before = JSON.stringify(from);
      const patch = makeMergePatch(from, to);
      const result = mergePatch(from, patch);
      assert.ok(deepEqual(result, to), JSON.stringify(result));
      assert.ok(deepEqual(mergePatch(result, patch), to));
      assert.equal(JSON.stringify(from), before);
    }),
  );
});

test('merge patch: the examples of RFC 7386', () => {
  const table: readonly [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of table) assert.deepEqual(mergePatch(target, patch), result);
});

test('no patch reaches the prototype', () => {
  const hostile = JSON.parse('{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}}}') as Members;
  for (const result of [mergePatch({}, hostile), strategicMergePatch({}, {}, hostile)]) {
    assert.equal((result as { polluted?: number }).polluted, undefined);
    assert.equal((result as { a: { polluted?: number } }).a.polluted, undefined);
  }
  for (const path of ['/__proto__/polluted', '/a/__proto__/polluted', '/constructor/prototype/polluted']) {
    assert.throws(() => jsonPatch({ a: {} }, [{ op: 'add', path, value: 1 }]), ApiError, path);
  }
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

const podSpec: Schema = { $ref: 'core.v1.PodSpec' };

const strategic: readonly { name: string; from: Members; patch: Members; to: Members; schema?: Schema }[] = [
  {
    name: 'a list with a merge key is merged by it',
    from: {
      containers: [
        { name: 'a', image: '1' },
        { name: 'b', image: '1' },
      ],
    },
    patch: {
      containers: [
        { name: 'b', image: '2' },
        { name: 'c', image: '3' },
      ],
    },
    to: {
      containers: [
        { name: 'a', image: '1' },
        { name: 'b', image: '2' },
        { name: 'c', image: '3' },
      ],
    },
  },
  {
    name: '$patch: delete removes an element',
    from: { containers: [{ name: 'a' }, { name: 'b' }] },
    patch: { containers: [{ name: 'a', $patch: 'delete' }] },
    to: { containers: [{ name: 'b' }] },
  },
  {
    name: '$patch: replace as an element replaces the list',
    from: { containers: [{ name: 'a' }, { name: 'b' }] },
    patch: { containers: [{ name: 'c' }, { $patch: 'replace' }] },
    to: { containers: [{ name: 'c' }] },
  },
  {
    name: '$patch: replace in a map replaces the map',
    from: { securityContext: { runAsUser: 1, runAsGroup: 2 } },
    patch: { securityContext: { $patch: 'replace', runAsUser: 3 } },
    to: { securityContext: { runAsUser: 3 } },
  },
  {
    name: '$retainKeys drops the other members',
    from: { volumes: [{ name: 'v', emptyDir: {} }] },
    patch: { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] },
    to: { volumes: [{ name: 'v', configMap: { name: 'c' } }] },
  },
  {
    name: '$setElementOrder orders what the client knows and leaves the others beside their neighbours',
    from: { containers: [{ name: 'a' }, { name: 'server' }, { name: 'b' }] },
    patch: {
      $setElementOrder: 'not used',
      '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }, { name: 'c' }],
      containers: [{ name: 'c' }],
    },
    to: {
      $setElementOrder: 'not used',
      containers: [{ name: 'server' }, { name: 'b' }, { name: 'a' }, { name: 'c' }],
    },
  },
  {
    name: 'primitive lists with the merge strategy are united, and $deleteFromPrimitiveList takes out',
    schema: { $ref: 'meta.v1.ObjectMeta' },
    from: { finalizers: ['a', 'b'] },
    patch: { finalizers: ['c', 'a'], '$deleteFromPrimitiveList/finalizers': ['b'] },
    to: { finalizers: ['c', 'a'] },
  },
  {
    name: 'new elements come first, those of both in the order of the patch, the others where they were',
    from: { containers: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] },
    patch: { containers: [{ name: 'new' }, { name: 'c' }, { name: 'b' }] },
    to: { containers: [{ name: 'new' }, { name: 'a' }, { name: 'c' }, { name: 'b' }] },
  },
  {
    name: 'a list without strategy is replaced, null removes',
    from: { containers: [{ name: 'a', command: ['x', 'y'], image: '1' }], nodeName: 'n' },
    patch: { containers: [{ name: 'a', command: ['z'], image: null }], nodeName: null },
    to: { containers: [{ name: 'a', command: ['z'] }] },
  },
  {
    name: 'lists inside merged elements are merged too',
    from: {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '1' },
          ],
        },
      ],
    },
    patch: {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'Y', $patch: 'delete' },
            { name: 'Z', value: '2' },
          ],
        },
      ],
    },
    to: {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'Z', value: '2' },
            { name: 'X', value: '1' },
          ],
        },
      ],
    },
  },
  {
    name: 'directives do not stay in what only the patch has',
    from: {},
    patch: { containers: [{ name: 'a', $retainKeys: ['name'] }] },
    to: { containers: [{ name: 'a' }] },
  },
];

test('strategic merge patch: merge keys and directives', () => {
  for (const { name, from, patch, to, schema } of strategic) {
    const before = JSON.stringify(from);
    assert.deepEqual(strategicMergePatch(schema ?? podSpec, from, patch), to, name);
    assert.equal(JSON.stringify(from), before, `${name}: the stored object stays`);
  }
});

test('strategic merge patch: an element without its key is refused', () => {
  assert.throws(
    () => strategicMergePatch(podSpec, { containers: [{ name: 'a' }] }, { containers: [{ image: 'x' }] }),
    /does not contain declared merge key: name/,
  );
});

/** What kubectl computes from two lists of containers with distinct names. */
function makeContainerPatch(from: Container[], to: Container[]): Members {
  const changed = to.filter((next) => !from.some((before) => deepEqual(before, next)));
  const gone = from.filter((before) => !to.some((next) => next.name === before.name));
  return {
    '$setElementOrder/containers': to.map(({ name }) => ({ name })),
    containers: [...changed, ...gone.map(({ name }) => ({ name, $patch: 'delete' }))],
  };
}
interface Container {
  name: string;
  image: string;
}

test('property: the strategic patch between two lists of containers gives the second list, order included', () => {
  const containers = fc.uniqueArray(
    fc.record(
      { name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), image: fc.constantFrom('1', '2') },
      { noNullPrototype: true },
    ),
    { selector: ({ name }) => name, maxLength: 5 },
  );
  fc.assert(
    fc.property(containers, containers, (from, to) => {
      const result = strategicMergePatch(podSpec, { containers: from }, makeContainerPatch(from, to));
      assert.deepEqual(result, { containers: to });
    }),
  );
});

test('JSON patch: all operations or none, and failures in the words that Go clients know', () => {
  const target = Object.freeze({ spec: Object.freeze({ replicas: 1, list: Object.freeze([1, 2]) }) });
  assert.deepEqual(
    jsonPatch(target, [
      { op: 'test', path: '/spec/replicas', value: 1 },
      { op: 'replace', path: '/spec/replicas', value: 3 },
      { op: 'add', path: '/spec/list/-', value: 3 },
      { op: 'remove', path: '/spec/list/0' },
      { op: 'copy', from: '/spec/list', path: '/spec/other' },
      { op: 'add', path: '/spec/other/0', value: 9 },
    ]),
    { spec: { replicas: 3, list: [2, 3], other: [9, 2, 3] } },
  );
  const failures: readonly [object[], RegExp][] = [
    [
      [{ op: 'test', path: '/spec/replicas', value: 2 }],
      /^testing value \/spec\/replicas failed: test failed$/,
    ],
    [
      [{ op: 'remove', path: '/spec/nope' }],
      /^error in remove for path: '\/spec\/nope': Unable to remove nonexistent key: nope: missing value$/,
    ],
    [
      [{ op: 'replace', path: '/nope', value: 1 }],
      /^replace operation does not apply: doc is missing key: \/nope: missing value$/,
    ],
    [
      [{ op: 'add', path: '/no/pe', value: 1 }],
      /^add operation does not apply: doc is missing path: "\/no\/pe"/,
    ],
    [
      [{ op: 'add', path: '/spec/list/9', value: 1 }],
      /^add operation does not apply: doc is missing path: "\/spec\/list\/9"/,
    ],
    [[{ op: 'frobnicate', path: '/spec' }], /^Unexpected kind: frobnicate$/],
  ];
  for (const [patch, cause] of failures) {
    assert.throws(
      () => jsonPatch(target, patch),
      (error) =>
        error instanceof ApiError &&
        error.code === 422 &&
        error.message === 'the server rejected our request due to an error in our request' &&
        cause.test(error.details?.causes?.[0]?.message ?? ''),
      JSON.stringify(patch),
    );
  }
  assert.throws(() => jsonPatch(target, {}), { code: 400 });
  assert.throws(
    () =>
      jsonPatch(
        target,
        Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: 1 })),
      ),
    { code: 413 },
  );
});

test('JSON patch: indices from the end, null for what is absent, and values left out, as in Go', () => {
  const target = { list: ['a', 'b', 'c'], nested: [[1], [2]] };
  const table: readonly [object, object][] = [
    [
      { op: 'remove', path: '/list/-1' },
      { ...target, list: ['a', 'b'] },
    ],
    [
      { op: 'replace', path: '/list/-3', value: 'x' },
      { ...target, list: ['x', 'b', 'c'] },
    ],
    [
      { op: 'add', path: '/list/-1', value: 'x' },
      { ...target, list: ['a', 'b', 'c', 'x'] },
    ],
    [
      { op: 'add', path: '/list/-4', value: 'x' },
      { ...target, list: ['x', 'a', 'b', 'c'] },
    ],
    [
      { op: 'add', path: '/nested/-1/-2', value: 0 },
      { ...target, nested: [[1], [0, 2]] },
    ],
    [
      { op: 'move', from: '/list/-1', path: '/list/0' },
      { ...target, list: ['c', 'a', 'b'] },
    ],
    [{ op: 'test', path: '/absent', value: null }, target],
    [{ op: 'test', path: '/absent' }, target],
    [
      { op: 'add', path: '/new' },
      { ...target, new: null },
    ],
  ];
  for (const [operation, result] of table) assert.deepEqual(jsonPatch(target, [operation]), result);
  for (const path of ['/list/-4', '/list/-5', '/nested/-3/0', '/nested/-1/-9']) {
    assert.throws(() => jsonPatch(target, [{ op: 'remove', path }]), { code: 422 }, path);
  }
  assert.throws(() => jsonPatch(target, [{ op: 'test', path: '/list', value: null }]), { code: 422 });
});

test('property: JSON patches that say how to go from one document to another arrive there, and change nothing else', () => {
  fc.assert(
    fc.property(document, document, (from, to) => {
      const before = JSON.stringify(from);
      const operations = [
        ...Object.keys(from).map((name) => ({ op: 'test', path: `/${name}`, value: from[name] })),
        ...Object.keys(from)
          .filter((name) => !(name in to))
          .map((name) => ({ op: 'remove', path: `/${name}` })),
        ...Object.entries(to).map(([name, value]) => ({ op: 'add', path: `/${name}`, value })),
      ];
      assert.ok(deepEqual(jsonPatch(from, operations), to));
      assert.equal(JSON.stringify(from), before);
    }),
  );
});

test('property: merge patches of different members may come in any order', () => {
  fc.assert(
    fc.property(document, document, document, (from, one, two) => {
      const other = Object.fromEntries(Object.entries(two).filter(([name]) => !(name in one)));
      assert.ok(
        deepEqual(mergePatch(mergePatch(from, one), other), mergePatch(mergePatch(from, other), one)),
      );
    }),
  );
});

test('JSON patch: copies cannot blow a small request up', () => {
  const copies = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/c${i}` }));
  assert.throws(
    () => jsonPatch({ a: { text: 'x'.repeat(1000) } }, copies),
    (error) =>
      error instanceof ApiError && /accumulated size/.test(error.details?.causes?.[0]?.message ?? ''),
  );
});

test('JSON patch: copies and moves of what is large, and lists that shift, are bounded, not ten thousand times the price', async () => {
  const operations = (make: (i: number) => object): object[] =>
    Array.from({ length: 10_000 }, (_, i) => make(i));
  const long = Array.from({ length: 400_000 }, () => 1);
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 'x']));
  const moves = operations((i) =>
    i % 2 ? { op: 'move', from: '/b', path: '/a' } : { op: 'move', from: '/a', path: '/b' },
  );
  const cost = await cpuOf(() =>
    assert.deepEqual(Object.keys(jsonPatch({ a: many }, moves) as object), ['a']),
  );
  // What copying the document once costs is most of it; with a walk through it for each move it would be ten thousand times as much.
  const once = await cpuOf(() => jsonPatch({ a: many }, moves.slice(0, 2)));
  assert.ok(cost < once * 100 + 100, `${once} ms for 2 moves, ${cost} ms for 10 000`);
  const refused: [object, object[]][] = [
    [{ a: long }, operations(() => ({ op: 'add', path: '/a/200000', value: 1 }))],
    [{ a: long }, operations(() => ({ op: 'remove', path: '/a/200' }))],
    [{ a: many }, operations(() => ({ op: 'test', path: '/a', value: many }))],
  ];
  for (const [target, patch] of refused) assert.throws(() => jsonPatch(target, patch), { code: 413 });
});

test('JSON patch: a member is what the document itself has, and a value that comes in twice is two values', () => {
  for (const path of ['/toString', '/list/length', '/a/b']) {
    assert.throws(() => jsonPatch({ list: [1], a: 'text' }, [{ op: 'remove', path }]), { code: 422 }, path);
  }
  const value = { list: [] as number[] };
  const patch = [
    { op: 'add', path: '/a', value },
    { op: 'add', path: '/b', value },
    { op: 'add', path: '/a/list/-', value: 1 },
  ];
  assert.deepEqual(jsonPatch({}, patch), { a: { list: [1] }, b: { list: [] } });
  assert.deepEqual(value, { list: [] });
  const target = { a: { b: { c: 1 } }, 'x/y~z': 1 };
  assert.deepEqual(jsonPatch(target, [{ op: 'move', from: '/a/b', path: '/a' }]), { ...target, a: { c: 1 } });
  assert.throws(() => jsonPatch(target, [{ op: 'move', from: '/a', path: '/a/b/d' }]), { code: 422 });
  assert.deepEqual(jsonPatch(target, [{ op: 'remove', path: '/x~1y~0z' }]), { a: target.a });
  assert.equal(jsonPatch(target, [{ op: 'replace', path: '', value: 7 }]), 7);
});

test('strategic merge patch: lists of very many elements take no time by the square of their length', () => {
  const items = (from: number, to: number): Members[] =>
    Array.from({ length: to - from }, (_, i) => ({ name: `c${from + i}`, image: 'x' }));
  const began = performance.now();
  const patch = { containers: [...items(30_000, 90_000), { $patch: 'delete', name: 'c0' }] };
  const result = strategicMergePatch(podSpec, { containers: items(0, 60_000) }, patch) as Members;
  assert.deepEqual(result['containers'], items(1, 90_000));
  assert.ok(performance.now() - began < 5000);
});
