import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { childName, randomSuffix } from '../../src/base/names.ts';

describe('child names', () => {
  it('joins what fits', () => assert.equal(childName('hello', '-deployment'), 'hello-deployment'));

  it('never exceeds 63 characters and keeps the suffix where it can (property)', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,80}[a-z0-9]$/);
    fc.assert(
      fc.property(name, fc.constantFrom('-deployment', '-private', '-00001'), (parent, suffix) => {
        const child = childName(parent, suffix);
        assert.ok(child.length <= 63);
        assert.ok(child.endsWith(suffix));
        assert.equal(child, childName(parent, suffix));
      }),
    );
  });

  it('gives suffixes of the alphabet without vowels', () =>
    assert.match(randomSuffix(8), /^[bcdfghjklmnpqrstvwxz2-9]{8}$/));
});
