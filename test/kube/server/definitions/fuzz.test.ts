/** Whatever a definition or an object says, the answer is an object or a refusal, never a failure of the server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { ApiError } from '../../../../src/kube/api-error.ts';
import { startTestApi } from '../../../support/api.ts';
import { waitFor } from '../../../support/wait.ts';
import { definitionsOf, Kind, thing } from './support.ts';

const name = fc.constantFrom(
  'a',
  'b',
  'spec',
  'metadata',
  'kind',
  'status',
  'x-y',
  'in',
  '__p',
  'constructor',
  'toString',
  '',
);
const scalar = fc.constantFrom<unknown>(0, 1, -1, 1.5, '', 'a', '10', 'abc', true, false, null);
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 4 }),
  ),
})).value;

/** Present now and then: a member that is often wrong. */
function seldom<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 19, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

const rules = fc.array(
  fc.record(
    {
      rule: fc.oneof(
        {
          weight: 4,
          arbitrary: fc.constantFrom('self == self', '!(self != self) || true', 'oldSelf == oldSelf'),
        },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            'has(self.a)',
            'self.a > 1',
            'self.all(x, x == self[0])',
            'self.matches("^a+$") || size(self) > 3',
            'self.?a.hasValue()',
            'self.',
          ),
        },
      ),
      messageExpression: seldom(fc.constantFrom('"m"', 'string(self)', 'self.a')),
      fieldPath: seldom(fc.constantFrom('.a', "['x-y']")),
      optionalOldSelf: seldom(fc.boolean()),
    },
    { requiredKeys: ['rule'] },
  ),
  { maxLength: 1 },
);

interface Schemas {
  schema: unknown;
  object: unknown;
}

/** Mostly sensible, so that many are accepted. */
const schema = fc.letrec<Schemas>((tie) => {
  const text = fc.record(
    {
      type: fc.constant('string'),
      format: fc.constantFrom('date-time', 'duration', 'byte', 'uuid', 'ipv4', 'uri', 'nonsense'),
      pattern: fc.constantFrom('^a+$', '(a*)*b', '\\d{2,}'),
      enum: seldom(fc.constant(['a', 'b'])),
      maxLength: fc.nat(5),
      default: seldom(scalar),
      nullable: fc.boolean(),
      'x-kubernetes-validations': seldom(rules),
    },
    { requiredKeys: ['type'] },
  );
  const number = fc.record(
    {
      type: fc.constantFrom('integer', 'number', 'boolean'),
      minimum: fc.integer({ min: -2, max: 2 }),
      exclusiveMinimum: fc.boolean(),
      multipleOf: seldom(fc.constantFrom(0, 0.5, 2)),
      default: seldom(scalar),
    },
    { requiredKeys: ['type'] },
  );
  const list = fc.record(
    {
      type: fc.constant('array'),
      items: tie('schema'),
      maxItems: fc.nat(4),
      'x-kubernetes-list-type': seldom(fc.constantFrom('set', 'map', 'atomic')),
      'x-kubernetes-list-map-keys': seldom(fc.constantFrom(['a'], ['b'])),
    },
    { requiredKeys: ['type', 'items'] },
  );
  const members = fc.oneof(
    fc.record({ properties: fc.dictionary(name, tie('schema'), { maxKeys: 4 }) }),
    fc.record({ additionalProperties: fc.oneof(fc.constant(true), tie('schema')) }),
    fc.constant({ 'x-kubernetes-preserve-unknown-fields': true }),
  );
  const more = fc.record({
    required: seldom(fc.array(name, { maxLength: 2 })),
    maxProperties: seldom(fc.nat(4)),
    'x-kubernetes-embedded-resource': seldom(fc.boolean()),
    'x-kubernetes-map-type': seldom(fc.constantFrom('atomic', 'granular')),
    anyOf: seldom(fc.array(json, { maxLength: 2 })),
    not: seldom(json),
    default: seldom(json),
    'x-kubernetes-validations': fc.oneof(fc.constant(undefined), rules),
  });
  const object = fc.tuple(members, more).map(([known, rest]) => ({ type: 'object', ...known, ...rest }));
  const kept = fc.constantFrom<unknown>(
    { 'x-kubernetes-int-or-string': true },
    { 'x-kubernetes-preserve-unknown-fields': true },
  );
  return {
    object,
    schema: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 4, arbitrary: text },
      { weight: 4, arbitrary: number },
      { weight: 3, arbitrary: list },
      { weight: 6, arbitrary: tie('object') },
      { weight: 2, arbitrary: kept },
      { weight: 1, arbitrary: json },
    ),
  };
});

/** The outcome, or the refusal; anything else fails the test. */
async function outcome<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    assert.ok(error.code < 500, error.message);
    return undefined;
  }
}

test('random definitions and random objects never fail the server', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const definitions = definitionsOf(service);
  const things = new Kind(service, 'test.example.dev/v1', 'things');
  let accepted = 0;
  let stored = 0;
  const versions = fc.record({
    schema: fc.oneof({ weight: 20, arbitrary: schema.object }, { weight: 1, arbitrary: json }),
  });
  await fc.assert(
    fc.asyncProperty(
      versions,
      fc.array(json, { minLength: 3, maxLength: 6 }),
      async ({ schema: openAPIV3Schema }, values) => {
        const one = {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema },
          subresources: { status: {} },
        };
        const created = await outcome(definitions.create(thing([one])));
        if (!created) return;
        accepted++;
        for (const value of values) {
          const members =
            typeof value === 'object' && value !== null && !Array.isArray(value) ? value : { a: value };
          const made = await outcome(
            things.create({ ...things.object('x'), ...members, metadata: { name: 'x' } }),
          );
          if (made) stored++;
          if (made) await outcome(things.merge('x', { a: value, b: value, spec: value }));
          if (made) await outcome(things.merge('x', { a: null }));
          await outcome(things.delete('x'));
        }
        await definitions.delete('things.test.example.dev');
        await waitFor('the definition to go', () => !service.registry.find('test.example.dev/v1', 'things'));
        await waitFor('its object to go', () =>
          outcome(definitions.get('things.test.example.dev')).then((left) => !left),
        );
      },
    ),
    { numRuns: 200, endOnFailure: true },
  );
  assert.ok(accepted > 20 && stored > 20, `${accepted} definitions and ${stored} objects were accepted`);
});

test('random bytes as definitions are refused', async (t) => {
  const { service, close } = await startTestApi();
  t.after(close);
  const definitions = definitionsOf(service);
  await fc.assert(
    fc.asyncProperty(json, json, async (spec, status) => {
      const body = { ...thing([]), spec, status } as unknown as UntypedObject;
      assert.equal(await outcome(definitions.create(body)), undefined);
    }),
    { numRuns: 300, endOnFailure: true },
  );
});
