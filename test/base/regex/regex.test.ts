import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { codePoints, Regex, RegexBudgetError, RegexSyntaxError } from '../../../src/base/regex/regex.ts';

const cases: readonly (readonly [string, string, boolean])[] = [
  ['^[a-z]([-a-z0-9]*[a-z0-9])?$', 'my-name', true],
  ['^[a-z]([-a-z0-9]*[a-z0-9])?$', 'my-name-', false],
  ['a{2,3}$', 'xaaa', true],
  ['^a{2,3}$', 'aaaa', false],
  ['^a{0}b$', 'b', true],
  ['(?i)HELLO', 'say hello', true],
  ['(?i:h)ello', 'HELLO', false],
  ['^(?s).$', '\n', true],
  ['^.$', '\n', false],
  ['(?m)^b$', 'a\nb\nc', true],
  ['^\\d+\\.\\d+$', '12.5', true],
  ['^[[:alpha:]_]+$', 'ab_c', true],
  ['^[^a-c]$', 'd', true],
  ['^[]a]+$', ']a', true],
  ['\\bfoo\\b', 'a foo b', true],
  ['\\bfoo\\b', 'afoo', false],
  ['^\\pL+$', 'äß', true],
  ['^\\p{Greek}$', 'λ', true],
  ['^\\x41\\x{1F600}$', 'A😀', true],
  ['^\\Qa.b\\E$', 'a.b', true],
  ['^\\Qa.b\\E$', 'axb', false],
  ['^(?P<major>\\d+)(?:\\.\\d+)*$', '1.2.3', true],
  ['a|b|', '', true],
  ['^{x}$', '{x}', true],
];

for (const [pattern, text, expected] of cases) {
  test(`/${pattern}/ on ${JSON.stringify(text)} is ${expected}`, () => {
    assert.equal(new Regex(pattern).test(text), expected);
  });
}

for (const pattern of ['(', ')', '[a', '*', 'a**', '\\', '\\1', 'a{2000}', '(?<n', '(?=a)', '[z-a]', '\\8']) {
  test(`/${pattern}/ is refused`, () => {
    assert.throws(() => new Regex(pattern), RegexSyntaxError);
  });
}

test('the leftmost match is found, greedy or lazy', () => {
  const find = (pattern: string, text: string): string | undefined => {
    const match = new Regex(pattern).find(codePoints(text));
    return match && Array.from(text).slice(match.start, match.end).join('');
  };
  assert.equal(find('a+', 'xaaab'), 'aaa');
  assert.equal(find('a+?', 'xaaab'), 'a');
  assert.equal(find('a|ab', 'ab'), 'a');
  assert.equal(find('[0-9]+$', 'a1b22'), '22');
  assert.equal(find('q', 'abc'), undefined);
});

test('patterns that make backtracking engines hang are quick', () => {
  const text = `${'a'.repeat(5000)}!`;
  for (const pattern of ['^(a+)+$', '^(a|aa)*$', '^(a*)*b', '(.*)*(.*)*x']) {
    assert.equal(new Regex(pattern).test(text), false);
  }
});

test('a search ends with its budget, and a program with its size', () => {
  assert.throws(() => new Regex('(x+x+)+y').test('x'.repeat(10_000), 1000), RegexBudgetError);
  assert.throws(() => new Regex('((a{100}){100}){100}'), /too large/);
});

test('the answers are those of the native engine where both speak the same syntax', () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(a|b)', '(ab)', '(?:b|)');
  const part = fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{1,2}', '*?')).map((x) => x.join(''));
  const pattern = fc.tuple(
    fc.constantFrom('', '^'),
    fc.array(part, { maxLength: 5 }).map((x) => x.join('')),
    fc.constantFrom('', '$'),
  );
  const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 }).map((x) => x.join(''));
  fc.assert(
    fc.property(pattern, text, (parts, input) => {
      const source = parts.join('');
      const native = new RegExp(source).exec(input);
      const found = new Regex(source).find(codePoints(input));
      assert.deepEqual(
        found && [found.start, found.end],
        native ? [native.index, native.index + native[0].length] : undefined,
      );
    }),
    { numRuns: 2000 },
  );
});

test('what a search costs counts: reading the text, and states of large programs, for each of many short texts', () => {
  const costOf = (pattern: string, text: string): number => {
    let steps = 0;
    new Regex(pattern).test(text, 1e9, (more) => (steps += more));
    return steps;
  };
  assert.ok(costOf('^b', 'a'.repeat(100_000)) >= 100_000);
  assert.ok(costOf('^(a{1000}){19}$', 'b') >= 500);
  assert.ok(costOf('^b', 'a') < 10);
  assert.throws(() => new Regex('^b').test('a'.repeat(1000), 999), RegexBudgetError);
  assert.equal(new Regex('^b').size, 3);
});

test('an expression forgets one search before the next, ended by its budget or not', () => {
  const expression = new Regex('(a|b)*c|\\bx$');
  for (let i = 0; i < 100; i++) {
    assert.throws(() => expression.test('ab'.repeat(100), 250), RegexBudgetError);
    assert.equal(expression.test('ababc'), true);
    assert.equal(expression.test('abab'), false);
    assert.equal(expression.test('ab x'), true);
    assert.deepEqual(expression.find(codePoints('zzc')), { start: 2, end: 3 });
  }
  assert.deepEqual(codePoints('a\u{1f600}\ud800b'), [0x61, 0x1f600, 0xd800, 0x62]);
});
