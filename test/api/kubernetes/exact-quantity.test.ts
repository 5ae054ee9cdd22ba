import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  add,
  exact,
  formatExact,
  parseExact,
  subtract,
  zero,
} from '../../../src/api/kubernetes/exact-quantity.ts';

describe('exact quantities', () => {
  for (const [text, canonical] of [
    ['0', '0'],
    ['0Gi', '0'],
    ['1', '1'],
    ['+5', '5'],
    ['-5m', '-5m'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['5.', '5'],
    ['1000', '1k'],
    ['1500', '1500'],
    ['1.5k', '1500'],
    ['100000m', '100'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['0.5Ki', '512'],
    ['1025', '1025'],
    ['2048Ki', '2Mi'],
    ['1e3', '1e3'],
    ['12e4', '120e3'],
    ['1e-3', '1e-3'],
    ['5E', '5E'],
    ['0.0000000001', '1n'],
    ['9999999999E', '9223372036854775807'],
    // Pods may say such; read as nothing they would pass any quota.
    ['1e999999999', '9223372036854775807'],
    ['1e-999999999', '1e-9'],
    ['0e999999999', '0'],
    [`0.${'0'.repeat(600)}1e601`, '1'],
  ] as const) {
    it(`${text} is written ${canonical}`, () => assert.equal(formatExact(exact(text)), canonical));
  }

  for (const text of ['', 'x', '1x', '1 ', '1mi', 'Ki', '.', '1e', '--1', '1.2.3', '٣']) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(parseExact(text), undefined));
  }

  it('a sum is written like its first addend, unless that is nothing', () => {
    const sum = (a: string, b: string): string => formatExact(add(exact(a), exact(b)));
    assert.equal(sum('1Gi', '500M'), '1573741824');
    assert.equal(sum('500M', '1Gi'), '1573741824');
    assert.equal(sum('1G', '1Gi'), '2073741824');
    assert.equal(sum('1Gi', '1Gi'), '2Gi');
    assert.equal(sum('0', '2Gi'), '2Gi');
    assert.equal(sum('0.1', '0.2'), '300m');
  });

  const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e2', 'e-2');
  const quantity = fc
    .tuple(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 0, max: 999 }), suffix)
    .map(([whole, fraction, unit]) => `${whole}.${String(fraction).padStart(3, '0')}${unit}`);

  it('writing loses nothing that is at least a nano unit, or a byte in binary', () => {
    fc.assert(
      fc.property(quantity, (text) => {
        const value = exact(text);
        const again = exact(formatExact(value));
        if (value.format === 'binary' && value.nano >= 1024n * 1_000_000_000n) {
          assert.ok(again.nano >= value.nano && again.nano - value.nano < 1_000_000_000n);
        } else assert.equal(again.nano, value.nano);
        // 2000 bytes of binary units are written without one, which reads as decimal: 2k.
        if (value.format !== 'binary') assert.equal(formatExact(again), formatExact(value));
      }),
    );
  });

  it('adding in any order, and taking away again, is exact', () => {
    fc.assert(
      fc.property(fc.array(quantity, { maxLength: 20 }), fc.nat(), (texts, turn) => {
        const values = texts.map(exact);
        const at = values.length === 0 ? 0 : turn % values.length;
        const turned = [...values.slice(at), ...values.slice(0, at)];
        const sum = values.reduce(add, zero);
        assert.equal(turned.reduce(add, zero).nano, sum.nano);
        assert.equal(values.reduce(subtract, sum).nano, 0n);
      }),
    );
  });
});
