import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { deepEqual, deepFreeze } from '../../src/base/json.ts';

/** Through text once: `-0` is `0` there. */
const json = fc.jsonValue({ maxDepth: 3 }).map((value): unknown => JSON.parse(JSON.stringify(value)));

describe('JSON values', () => {
  it('are equal exactly when Node.js finds them equal (property)', () => {
    fc.assert(fc.property(json, json, (a, b) => assert.equal(deepEqual(a, b), isDeepStrictEqual(a, b))));
    fc.assert(fc.property(json, (a) => assert.ok(deepEqual(a, structuredClone(a)))));
  });

  it('are equal when they differ in absent members only', () => {
    assert.ok(deepEqual({ a: 1, b: undefined }, { a: 1 }));
    assert.ok(!deepEqual({}, { constructor: 'a' }), 'what every object inherits is no member');
    assert.ok(!deepEqual({ toString: 'a' }, {}));
    assert.ok(!deepEqual({ a: 1 }, { a: 1, b: null }));
    assert.ok(!deepEqual([], {}));
  });

  it('are frozen all the way down', () => {
    const value = deepFreeze({ a: [{ b: 1 }] });
    assert.throws(() => Object.assign(value.a[0] ?? {}, { b: 2 }), TypeError);
  });
});
