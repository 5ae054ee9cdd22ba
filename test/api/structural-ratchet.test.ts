import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Schema } from '../../src/api/schema.ts';
import { changedIssues } from '../../src/api/structural-ratchet.ts';
import { validateStructure } from '../../src/api/structural.ts';
import { assertNotQuadratic } from '../support/growth.ts';

const schema: Schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        list: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            required: ['kind'],
            properties: {
              name: { type: 'string' },
              kind: { type: 'string', enum: ['a', 'b'] },
              value: { type: 'string', maxLength: 2 },
            },
          },
        },
        plain: { type: 'array', items: { type: 'string', maxLength: 2 } },
        map: { type: 'object', additionalProperties: { type: 'string', maxLength: 2 } },
      },
    },
  },
};

const paths = (spec: object, old: object): string[] =>
  changedIssues(schema, validateStructure(schema, { spec }, false), { spec }, { spec: old }).map(
    ({ path }) => path,
  );

describe('ratcheting', () => {
  it('passes over what was wrong before and has not changed', () => {
    const item = { name: 'x', kind: 'a', value: 'long' };
    assert.deepEqual(paths({ list: [item], size: 1 }, { list: [item], size: 2 }), []);
    assert.deepEqual(paths({ map: { a: 'long', b: 'long' } }, { map: { a: 'long', b: 'ok' } }), [
      'spec.map[b]',
    ]);
  });

  it('finds items by their keys, wherever they are now', () => {
    const old = {
      list: [
        { name: 'x', kind: 'a', value: 'long' },
        { name: 'y', kind: 'a' },
      ],
    };
    const next = { list: [{ name: 'y', kind: 'b', value: 'long' }, old.list[0]] };
    assert.deepEqual(paths(next, old), ['spec.list[0].value']);
  });

  it('does not know the items of a list without keys', () => {
    assert.deepEqual(paths({ plain: ['long', 'x'] }, { plain: ['long'] }), ['spec.plain[0]']);
  });

  it('counts what is missing as a fault of what it is missing in', () => {
    const old = { list: [{ name: 'x', value: '1' }] };
    assert.deepEqual(paths({ list: [{ name: 'x', value: '2' }] }, old), ['spec.list[0].kind']);
    assert.deepEqual(paths({ list: [{ name: 'x', value: '1' }], more: 1 }, old), []);
  });

  it('takes no time by the square of a list whose items are all wrong', () =>
    assertNotQuadratic((length) => {
      const list = (value: string): object[] =>
        Array.from({ length }, (_, i) => ({ name: `n${i}`, kind: 'a', value }));
      const [next, old] = [{ list: list('wrong') }, { list: list('worse') }];
      return () => assert.equal(paths(next, old).length, length);
    }, 2000));
});
