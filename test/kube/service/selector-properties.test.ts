/** Selectors against a model: what was printed is parsed, and then selects what the model does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { KubeObject } from '../../../src/api/object.ts';
import { resources } from '../../../src/api/registry.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { parseFieldSelector, parseLabelSelector } from '../../../src/kube/server/service/selectors.ts';

const name = fc.stringMatching(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?$/);
// Few keys and values, so that selectors meet labels; some of them words that the grammar knows.
const key = fc.oneof(fc.constantFrom('a', 'b', 'in', 'notin', 'x.io/a', 'app.kubernetes.io/name'), name);
const value = fc.oneof(fc.constantFrom('', '1', '2', '007', 'in', 'notin', 'v'), name);
const values = fc.uniqueArray(value, { minLength: 1, maxLength: 4 });

type Requirement =
  | { readonly op: 'exists' | 'absent'; readonly key: string }
  | { readonly op: '=' | '==' | '!='; readonly key: string; readonly value: string }
  | { readonly op: 'in' | 'notin'; readonly key: string; readonly values: readonly string[] }
  | { readonly op: '>' | '<'; readonly key: string; readonly bound: number };

const requirement: fc.Arbitrary<Requirement> = fc.oneof(
  fc.record({ op: fc.constantFrom('exists', 'absent'), key }),
  fc.record({ op: fc.constantFrom('=', '==', '!='), key, value }),
  fc.record({ op: fc.constantFrom('in', 'notin'), key, values }),
  fc.record({ op: fc.constantFrom('>', '<'), key, bound: fc.integer({ min: 0, max: 10 }) }),
);
const labels = fc.dictionary(key, value, { maxKeys: 5 });
/** Spaces that may stand between any two tokens. */
const space = fc.constantFrom('', '', ' ', '  ', '\t');

function print(each: Requirement, s: () => string): string {
  switch (each.op) {
    case 'exists':
      return `${s()}${each.key}${s()}`;
    case 'absent':
      return `${s()}!${s()}${each.key}${s()}`;
    case 'in':
    case 'notin':
      return `${s()}${each.key} ${s()}${each.op}${s()}(${s()}${each.values.join(`${s()},${s()}`)}${s()})${s()}`;
    case '>':
    case '<':
      return `${s()}${each.key}${s()}${each.op}${s()}${each.bound}${s()}`;
    default:
      return `${s()}${each.key}${s()}${each.op}${s()}${each.value}${s()}`;
  }
}

function selects(each: Requirement, of: Readonly<Record<string, string>>): boolean {
  const found = Object.hasOwn(of, each.key) ? of[each.key] : undefined;
  switch (each.op) {
    case 'exists':
      return found !== undefined;
    case 'absent':
      return found === undefined;
    case '=':
    case '==':
      return found === each.value;
    case '!=':
      return found !== each.value;
    case 'in':
      return found !== undefined && each.values.includes(found);
    case 'notin':
      return found === undefined || !each.values.includes(found);
    default: {
      if (found === undefined || !/^\d+$/.test(found)) return false;
      return each.op === '>' ? Number(found) > each.bound : Number(found) < each.bound;
    }
  }
}

const labelled = (of: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x', labels: of },
});

test('property: label selectors, printed with any spacing, select what the model selects', () => {
  fc.assert(
    fc.property(
      fc.array(requirement, { minLength: 1, maxLength: 4 }),
      fc.array(labels, { minLength: 1, maxLength: 6 }),
      fc.array(space, { minLength: 7, maxLength: 7 }),
      (requirements, objects, spaces) => {
        let at = 0;
        const text = requirements
          .map((each) => print(each, () => spaces[at++ % spaces.length] ?? ''))
          .join(',');
        const matches = parseLabelSelector(text);
        assert.ok(matches, text);
        for (const of of objects) {
          const wanted = requirements.every((each) => selects(each, of));
          assert.equal(matches(labelled(of)), wanted, `${text} on ${JSON.stringify(of)}`);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

const events = resources.find(({ plural, group }) => plural === 'events' && group === '');

test('property: field selectors find back any value, escaped', () => {
  assert.ok(events);
  const anyValue = fc
    .oneof(fc.stringMatching(/^[\\,=! a]{0,6}$/), fc.string({ maxLength: 8 }))
    .map((text) => text.trim());
  const term = fc.record({
    path: fc.constantFrom('reason', 'involvedObject.name', 'involvedObject.kind', 'type'),
    op: fc.constantFrom('=', '==', '!='),
    value: anyValue,
  });
  fc.assert(
    fc.property(fc.array(term, { minLength: 1, maxLength: 4 }), anyValue, (terms, other) => {
      const text = terms
        .map(({ path, op, value: raw }) => `${path}${op}${raw.replace(/[\\,=]/g, String.raw`\$&`)}`)
        .join(',');
      const selector = parseFieldSelector(text, events);
      assert.ok(selector, text);
      for (const made of [...terms.map(({ value: raw }) => raw), other]) {
        const object = {
          reason: made,
          type: made,
          involvedObject: { name: made, kind: made },
          metadata: { name: 'e' },
        };
        const wanted = terms.every(({ op, value: raw }) => (op === '!=' ? made !== raw : made === raw));
        assert.equal(
          selector.matches(object as unknown as KubeObject),
          wanted,
          `${text} on ${JSON.stringify(made)}`,
        );
      }
    }),
    { numRuns: 2000 },
  );
});

test('property: any text is parsed, or refused with 400', () => {
  const [pods] = resources.filter(({ plural }) => plural === 'pods');
  assert.ok(pods);
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[ab(),!=<> \\in]{0,20}$/));
  fc.assert(
    fc.property(text, (any) => {
      for (const parse of [() => parseLabelSelector(any), () => parseFieldSelector(any, pods)]) {
        try {
          parse();
        } catch (error) {
          assert.ok(
            error instanceof ApiError && error.code === 400,
            `${JSON.stringify(any)}: ${String(error)}`,
          );
        }
      }
    }),
    { numRuns: 3000 },
  );
});
