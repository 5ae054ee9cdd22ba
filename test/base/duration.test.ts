import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatDuration, parseDuration } from '../../src/base/duration.ts';

describe('Go durations', () => {
  const table: [string, number | undefined][] = [
    ['0', 0],
    ['60s', 60_000],
    ['1h2m3s', 3_723_000],
    ['1.5h', 5_400_000],
    ['100ms', 100],
    ['-1m', -60_000],
    ['', undefined],
    ['10', undefined],
    ['5 s', undefined],
    ['1d', undefined],
    ['s', undefined],
  ];
  for (const [text, ms] of table) {
    it(`${JSON.stringify(text)} is ${ms}`, () => assert.equal(parseDuration(text), ms));
  }

  it('reads what it writes (property)', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), (ms) =>
        assert.equal(parseDuration(formatDuration(ms)), ms),
      ),
    );
  });

  it('writes as Go does', () => {
    assert.deepEqual([0, 1500, 60_000, 90_000, 600_000, 3_600_000].map(formatDuration), [
      '0s',
      '1.5s',
      '1m0s',
      '1m30s',
      '10m0s',
      '1h0m0s',
    ]);
  });
});
