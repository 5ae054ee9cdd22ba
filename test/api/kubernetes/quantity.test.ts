import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { compareQuantities, formatQuantity, parseQuantity } from '../../../src/api/kubernetes/quantity.ts';

describe('quantities', () => {
  for (const [text, value] of [
    ['0', 0],
    ['1', 1],
    ['-1', -1],
    ['250m', 0.25],
    ['1.5', 1.5],
    ['.5', 0.5],
    ['5.', 5],
    ['1Ki', 1024],
    ['1.5Gi', 1610612736],
    ['2k', 2000],
    ['1E', 1e18],
    ['1e3', 1000],
    ['1E3', 1000],
    ['12e-1', 1.2],
    ['100n', 1e-7],
    ['', undefined],
    ['x', undefined],
    ['1 Gi', undefined],
    ['1gi', undefined],
    ['1e', undefined],
    ['1.2.3', undefined],
    ['--1', undefined],
  ] as const) {
    it(`${JSON.stringify(text)} is ${value}`, () => assert.equal(parseQuantity(text), value));
  }
  for (const [value, style, text] of [
    [0, 'decimal', '0'],
    [0.25, 'decimal', '250m'],
    [1.5, 'decimal', '1500m'],
    [2000, 'decimal', '2k'],
    [1024, 'binary', '1Ki'],
    [1610612736, 'binary', '1536Mi'],
    [1000, 'binary', '1000'],
    [1024, 'decimal', '1024'],
    [0.0001, 'decimal', '1m'],
  ] as const) {
    it(`${value} prints as ${text}`, () => assert.equal(formatQuantity(value, style), text));
  }
  it('come back as they went', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom('binary' as const, 'decimal' as const),
        fc.boolean(),
        (number, style, milli) => {
          const value = milli ? number / 1000 : number;
          assert.equal(parseQuantity(formatQuantity(value, style)), value);
        },
      ),
    );
  });
  it('compare by value', () => {
    assert.ok(compareQuantities('1Gi', '1G') > 0);
    assert.equal(compareQuantities('1000m', '1'), 0);
  });
});
