import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matchesSelector, formatSelector } from '../../../src/api/kubernetes/selectors.ts';

describe('selectors', () => {
  const cases: [string, Parameters<typeof matchesSelector>[0], boolean][] = [
    ['nothing', undefined, false],
    ['everything', {}, true],
    ['labels', { matchLabels: { a: '1' } }, true],
    ['other labels', { matchLabels: { a: '2' } }, false],
    ['In', { matchExpressions: [{ key: 'a', operator: 'In', values: ['1', '2'] }] }, true],
    ['In, absent', { matchExpressions: [{ key: 'z', operator: 'In', values: ['1'] }] }, false],
    ['NotIn, absent', { matchExpressions: [{ key: 'z', operator: 'NotIn', values: ['1'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'b', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'a', operator: 'DoesNotExist' }] }, false],
  ];
  for (const [what, selector, expected] of cases)
    it(what, () => assert.equal(matchesSelector(selector, { a: '1', b: '' }), expected));
  it('print in the query syntax', () => {
    const matchExpressions = [
      { key: 'a', operator: 'NotIn', values: ['z', 'y'] },
      { key: 'd', operator: 'DoesNotExist' },
    ];
    assert.equal(formatSelector({ matchLabels: { c: '1' }, matchExpressions }), 'a notin (y,z),c=1,!d');
  });
});
