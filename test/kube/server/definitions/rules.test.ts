import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ApiError } from '../../../../src/kube/api-error.ts';
import { startTestApi } from '../../../support/api.ts';
import { definitionsOf, Kind, thing, version } from './support.ts';

type Members = Record<string, unknown>;

/** The kind with a schema of `spec`. */
async function kind(t: TestContext, spec: Members): Promise<Kind> {
  const { service, close } = await startTestApi();
  t.after(close);
  await definitionsOf(service).create(thing([version('v1', spec)]));
  return new Kind(service, 'test.example.dev/v1', 'things');
}

const rules = (...list: Members[]): Members => ({ 'x-kubernetes-validations': list });
const number = { type: 'integer' };
const text = { type: 'string', maxLength: 20 };

test('a rule says where, why and with which words', async (t) => {
  const things = await kind(t, {
    properties: { min: number, max: number, name: text, 'dash-ed': text },
    ...rules(
      {
        rule: 'self.min <= self.max',
        messageExpression: '"%d is more than %d".format([self.min, self.max])',
        fieldPath: '.min',
      },
      {
        rule: '!has(self.name) || self.name != "bad"',
        message: 'no bad names',
        reason: 'FieldValueForbidden',
        fieldPath: '.name',
      },
      {
        rule: '!has(self.name) || self.name != "dup"',
        message: 'taken',
        reason: 'FieldValueDuplicate',
        fieldPath: '.name',
      },
      {
        rule: 'self.min != 13 || has(self.name)',
        message: 'needs a name',
        reason: 'FieldValueRequired',
        fieldPath: '.name',
      },
      { rule: '!has(self.dash__dash__ed) || self.dash__dash__ed == "x"' },
      { rule: 'self.min / (self.max - 100) < 1000', message: 'in range' },
    ),
  });
  const cases: readonly (readonly [Members, string])[] = [
    [{ min: 5, max: 3 }, 'spec.min: Invalid value: "object": 5 is more than 3'],
    [{ min: 1, max: 3, name: 'bad' }, 'spec.name: Forbidden: no bad names'],
    [{ min: 1, max: 3, name: 'dup' }, 'spec.name: Duplicate value: {"max":3,"min":1,"name":"dup"}: taken'],
    [{ min: 13, max: 30 }, 'spec.name: Required value: needs a name'],
    [
      { min: 1, max: 3, 'dash-ed': 'y' },
      'spec: Invalid value: "object": failed rule: !has(self.dash__dash__ed) || self.dash__dash__ed == "x"',
    ],
    [{ min: 1, max: 100 }, 'spec: Invalid value: "object": division by zero evaluating rule: in range'],
  ];
  for (const [spec, message] of cases) {
    await assert.rejects(things.create(things.object('x', { spec })), (error: ApiError) => {
      assert.equal(error.code, 422);
      const words = error.message.replace(/\{[^{}]*\}/, (json) =>
        JSON.stringify(sorted(JSON.parse(json) as Members)),
      );
      assert.equal(words, `Thing.test.example.dev "x" is invalid: ${message}`);
      return true;
    });
  }
  await things.create(things.object('x', { spec: { min: 1, max: 3, name: 'good' } }));
});

function sorted(members: Members): Members {
  return Object.fromEntries(Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('rules about a change follow properties, keys of maps and keys of lists', async (t) => {
  const item = {
    type: 'object',
    required: ['name'],
    properties: {
      name: text,
      size: { ...number, ...rules({ rule: 'self >= oldSelf', message: 'may not shrink' }) },
    },
  };
  const things = await kind(t, {
    properties: {
      items: {
        type: 'array',
        maxItems: 10,
        items: item,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
      map: { type: 'object', maxProperties: 10, additionalProperties: item.properties.size },
      once: { ...text, ...rules({ rule: 'self == oldSelf', message: 'immutable' }) },
      set: {
        ...text,
        ...rules({
          rule: 'oldSelf.hasValue() || self == "first"',
          optionalOldSelf: true,
          message: 'begins with first',
        }),
      },
    },
  });
  await assert.rejects(things.create(things.object('x', { spec: { set: 'second' } })), {
    message: /spec\.set: .*begins with first/,
  });
  const spec = {
    items: [
      { name: 'a', size: 5 },
      { name: 'b', size: 5 },
    ],
    map: { k: 5 },
    once: 'x',
    set: 'first',
  };
  await things.create(things.object('x', { spec }));
  // In another order, and with newcomers of any size.
  await things.merge('x', {
    spec: {
      items: [
        { name: 'c', size: 1 },
        { name: 'b', size: 6 },
        { name: 'a', size: 5 },
      ],
      map: { n: 1 },
    },
  });
  await things.merge('x', { spec: { set: 'second' } });
  for (const [change, message] of [
    [{ items: [{ name: 'a', size: 4 }] }, 'spec.items[0].size: Invalid value: "integer": may not shrink'],
    [{ map: { k: 4 } }, 'spec.map[k]: Invalid value: "integer": may not shrink'],
    [{ once: 'y' }, 'spec.once: Invalid value: "string": immutable'],
  ] as const) {
    await assert.rejects(things.merge('x', { spec: change }), (error: Error) =>
      error.message.includes(message),
    );
  }
});

test('a rule that comes later is not held against what was there before', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const definitions = definitionsOf(service);
  await definitions.create(thing([version('v1', { properties: { a: number, b: number } })]));
  const things = new Kind(service, 'test.example.dev/v1', 'things');
  await things.create(things.object('x', { spec: { a: 1, b: 1 } }));
  const later = { properties: { a: { ...number, ...rules({ rule: 'self > 5' }) }, b: number } };
  await definitions.merge('things.test.example.dev', { spec: { versions: [version('v1', later)] } });
  await things.merge('x', { spec: { b: 2 } });
  await assert.rejects(things.merge('x', { spec: { a: 2 } }), {
    message: /spec\.a: Invalid value: "integer": failed rule: self > 5/,
  });
});

test('an object that spends the budget of its rules is refused', async (t) => {
  const things = await kind(t, {
    properties: { list: { type: 'array', maxItems: 2000, items: { type: 'string', maxLength: 10 } } },
    ...rules({ rule: 'self.list.all(x, self.list.exists_one(y, x == y))', message: 'unique' }),
  }).catch((error: unknown) => {
    // The estimate already says so: then the definition is what is refused.
    assert.match((error as Error).message, /estimated rule cost exceeds budget/);
    return undefined;
  });
  assert.equal(things, undefined);
  const open = await kind(t, {
    properties: { list: { type: 'array', maxItems: 1000, items: { type: 'string', maxLength: 10 } } },
    ...rules({ rule: 'self.list.all(x, self.list.exists_one(y, x == y))', message: 'unique' }),
  });
  const list = Array.from({ length: 1000 }, (_, i) => `n${i}`);
  await assert.rejects(open.create(open.object('x', { spec: { list } })), {
    message:
      /'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: unique/,
  });
  await open.create(open.object('y', { spec: { list: list.slice(0, 100) } }));
});
