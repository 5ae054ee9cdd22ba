/** Laws of field sets and of applying, for any value of a type that has every relation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { deepFreeze } from '../../../../../src/base/json.ts';
import { apply } from '../../../../../src/kube/server/service/ownership/apply.ts';
import { compare, isSame } from '../../../../../src/kube/server/service/ownership/compare.ts';
import {
  difference,
  hasField,
  inOrder,
  intersection,
  parseFieldSet,
  pathsOf,
  recursiveDifference,
  union,
  type FieldSet,
} from '../../../../../src/kube/server/service/ownership/field-set.ts';
import { fieldTypeOf } from '../../../../../src/kube/server/service/ownership/field-type.ts';
import type { Manager } from '../../../../../src/kube/server/service/ownership/managers.ts';
import { merge, without } from '../../../../../src/kube/server/service/ownership/merge.ts';
import {
  fieldSetOf,
  typeFaults,
  withNamedFields,
} from '../../../../../src/kube/server/service/ownership/typed.ts';
import { rootSchema } from './oracle/schema.ts';

const root = fieldTypeOf(rootSchema);

const element = fc.constantFrom(
  'f:a',
  'f:b',
  'f:constructor',
  'f:__proto__',
  'f:',
  'v:1',
  'v:2',
  'v:10',
  'v:"x"',
  'v:true',
  'i:0',
  'i:10',
  'i:2',
  'k:{"name":"a"}',
  'k:{"name":"a b"}',
  'k:{"name":"a\\"b"}',
  'k:{"port":80,"protocol":"TCP"}',
  'k:{"port":8}',
);
const { set } = fc.letrec<{ set: FieldSet; node: FieldSet }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.constant({}),
    fc
      .tuple(fc.boolean(), tie('set'))
      .map(([self, children]) => (self ? { '.': {}, ...children } : children)),
  ),
  set: fc
    .array(fc.tuple(element, tie('node')), { maxLength: 4 })
    .map((entries) =>
      parseFieldSet(
        JSON.parse(
          `{${entries.map(([key, below]) => `${JSON.stringify(key)}:${JSON.stringify(below)}`).join()}}`,
        ),
      ),
    ),
}));

const texts = (fields: FieldSet): string[] =>
  pathsOf(fields)
    .map((path) => path.join(' '))
    .sort();

test('sets are sets of paths', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      deepFreeze([a, b]);
      const [left, right] = [new Set(texts(a)), new Set(texts(b))];
      assert.deepEqual(texts(union(a, b)), [...new Set([...left, ...right])].sort());
      assert.deepEqual(texts(intersection(a, b)), [...left].filter((path) => right.has(path)).sort());
      assert.deepEqual(texts(difference(a, b)), [...left].filter((path) => !right.has(path)).sort());
      const below = (path: string): boolean =>
        [...right].some((top) => path === top || path.startsWith(`${top} `));
      assert.deepEqual(texts(recursiveDifference(a, b)), [...left].filter((path) => !below(path)).sort());
      for (const path of pathsOf(a)) assert.ok(hasField(a, path));
      for (const same of [union(a, a), intersection(a, a), difference(union(a, b), difference(b, a))]) {
        assert.deepEqual(texts(same), texts(a));
      }
    }),
  );
});

test('the order of a set does not depend on how it was made', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      const one = JSON.stringify(inOrder(union(a, b)));
      assert.equal(JSON.stringify(inOrder(union(b, a))), one);
      assert.equal(JSON.stringify(parseFieldSet(JSON.parse(one))), one);
    }),
  );
});

const word = fc.constantFrom('a', 'b', 'c');
const labels = fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), word, {
  maxKeys: 3,
  noNullPrototype: true,
});
const words = fc.uniqueArray(word, { maxLength: 3 });
const optional = <T>(members: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> =>
  fc.record(members, { requiredKeys: [], noNullPrototype: true }) as fc.Arbitrary<Partial<T>>;
const pair = optional({ a: word, b: fc.integer(), inner: optional({ x: word, y: word }) });
const item = fc.record(
  { name: word, value: fc.integer(), tags: words, pair, labels },
  { requiredKeys: ['name'], noNullPrototype: true },
);
const port = fc.record(
  { port: fc.constantFrom(80, 443), protocol: fc.constantFrom('TCP', 'UDP'), name: word },
  { requiredKeys: ['port'], noNullPrototype: true },
);
const object = optional({
  text: word,
  labels,
  whole: labels,
  pair,
  wholePair: pair,
  words,
  list: fc.array(word, { maxLength: 3 }),
  pairs: fc.dictionary(word, pair, { maxKeys: 2, noNullPrototype: true }),
  items: fc.uniqueArray(item, { selector: ({ name }) => name, maxLength: 3 }),
  ports: fc.uniqueArray(port, { selector: (each) => `${each.port}${each.protocol ?? 'TCP'}`, maxLength: 3 }),
  free: fc.jsonValue({ maxDepth: 2 }),
});

const time = '2024-01-01T00:00:00Z';
const applyAs = (
  manager: string,
  live: unknown,
  config: unknown,
  managers: readonly Manager[],
): { object: unknown; managers: readonly Manager[] } => {
  const key = { manager, operation: 'Apply', apiVersion: 'v1' } as const;
  const result = apply({ type: root, live, config, managers, key, ignored: {}, force: true, time });
  assert.ok(!result.conflicts);
  return result;
};

test('values of the type are found to be so, and compare as what they are', () => {
  fc.assert(
    fc.property(object, object, (a, b) => {
      deepFreeze([a, b]);
      assert.equal(typeFaults(root, a), undefined);
      assert.ok(isSame(compare(root, a, structuredClone(a))));
      const [there, back] = [compare(root, a, b), compare(root, b, a)];
      assert.deepEqual(texts(there.added), texts(back.removed));
      assert.deepEqual(texts(there.removed), texts(back.added));
      assert.deepEqual(texts(there.modified), texts(back.modified));
      assert.deepEqual(merge(root, a, {}), a);
      assert.ok(isSame(compare(root, a, merge(root, a, a))));
    }),
  );
});

test('what one manager alone applies is what there is, and applying it again changes nothing', () => {
  fc.assert(
    fc.property(object, object, (first, second) => {
      deepFreeze([first, second]);
      const one = applyAs('one', {}, first, []);
      assert.deepEqual(one.object, first);
      const again = applyAs('one', one.object, first, one.managers);
      assert.deepEqual(again, one);
      const two = applyAs('one', one.object, second, one.managers);
      const other = compare(root, second, two.object);
      // Empty containers belong to nobody and may stay.
      assert.deepEqual(texts(other.modified), []);
      assert.deepEqual(texts(intersection(other.added, fieldSetOf(root, first))), []);
    }),
  );
});

test('managers of different parts do not touch each other’s, in whatever order they come', () => {
  fc.assert(
    fc.property(object, object, (a, b) => {
      const [mine, yours] = [
        { text: a.text ?? 'x', items: a.items ?? [] },
        { labels: b.labels ?? {}, words: b.words ?? [] },
      ];
      deepFreeze([mine, yours]);
      const ab = applyAs('b', ...asArguments(applyAs('a', {}, mine, []), yours));
      const ba = applyAs('a', ...asArguments(applyAs('b', {}, yours, []), mine));
      assert.deepEqual(ab.object, ba.object);
      assert.deepEqual(ab.managers, ba.managers);
      const left = applyAs('b', ab.object, {}, ab.managers);
      assert.ok(
        isSame(compare(root, { ...(left.object as object), labels: undefined, words: undefined }, mine)),
      );
    }),
  );
});

function asArguments(
  { object: live, managers }: { object: unknown; managers: readonly Manager[] },
  config: unknown,
): [unknown, unknown, readonly Manager[]] {
  return [live, config, managers];
}

test('taking all fields of a configuration out of it, with what contains them, leaves no field', () => {
  fc.assert(
    fc.property(object, (value) => {
      deepFreeze(value);
      const all = withNamedFields(root, fieldSetOf(root, value));
      assert.deepEqual(texts(fieldSetOf(root, without(root, value, all, undefined))), []);
    }),
  );
});
