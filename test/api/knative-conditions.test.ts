import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  nextConditions,
  type ConditionSet,
} from '../../src/api/knative/conditions.ts';

const set: ConditionSet = { happy: 'Ready', dependents: ['B', 'A'] };

test('the happy condition sums up: False before Unknown before True', () => {
  const ready = (a: ReturnType<typeof conditionUnknown>, b = conditionTrue) =>
    nextConditions(set, undefined, { A: a, B: b }, 0).find(({ type }) => type === 'Ready');
  assert.equal(ready(conditionTrue)?.status, 'True');
  assert.deepEqual(ready(conditionUnknown('Wait', 'soon'))?.reason, 'Wait');
  assert.equal(ready(conditionUnknown('Wait'), conditionFalse('Broken', 'why'))?.message, 'why');
});

test('conditions are sorted, information is marked, and nothing moves without a change', () => {
  const first = nextConditions(
    set,
    undefined,
    { A: conditionTrue, B: conditionTrue, Extra: conditionFalse('No') },
    0,
  );
  assert.deepEqual(
    first.map(({ type, severity }) => [type, severity]),
    [
      ['A', undefined],
      ['B', undefined],
      ['Extra', 'Info'],
      ['Ready', undefined],
    ],
  );
  assert.deepEqual(
    nextConditions(set, first, { A: conditionTrue, B: conditionTrue, Extra: conditionFalse('No') }, 5000),
    first,
  );
  const later = nextConditions(set, first, { A: conditionFalse('Broken') }, 5000);
  assert.equal(later.find(({ type }) => type === 'A')?.lastTransitionTime, '1970-01-01T00:00:05Z');
  assert.equal(later.find(({ type }) => type === 'B')?.lastTransitionTime, '1970-01-01T00:00:00Z');
});

test('what was never judged is unknown', () => {
  const conditions = nextConditions(set, undefined, { A: conditionTrue }, 0);
  assert.equal(conditions.find(({ type }) => type === 'Ready')?.status, 'Unknown');
});

test('a caller that judged the happy condition itself is believed', () => {
  const judged = nextConditions(
    set,
    undefined,
    { A: conditionFalse('Late'), B: conditionFalse('Cause'), Ready: conditionFalse('Cause') },
    0,
  );
  assert.equal(judged.find(({ type }) => type === 'Ready')?.reason, 'Cause');
});
