/** Times of Kubernetes' own types: what its decoder takes, and the one spelling that is kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { canonicalTime, timeFault, type TimeType } from '../../src/api/times.ts';

const offset = fc
  .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 14 }), fc.constantFrom(0, 30, 45))
  .map(([sign, hours, minutes]) => ({
    text: `${sign}${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`,
    ms: (sign === '+' ? 1 : -1) * (hours * 60 + minutes) * 60_000,
  }));
const moment = fc.integer({ min: Date.UTC(1970, 0, 2), max: Date.UTC(2200, 0, 1) });

describe('a time', () => {
  for (const [type, given, kept] of [
    ['Time', '2026-01-01T10:00:00Z', '2026-01-01T10:00:00Z'],
    ['Time', '2026-01-01T10:00:00+00:00', '2026-01-01T10:00:00Z'],
    ['Time', '2026-01-01T10:00:00.999Z', '2026-01-01T10:00:00Z'],
    ['Time', '2026-01-01T10:00:00.123456789+01:00', '2026-01-01T09:00:00Z'],
    ['MicroTime', '2026-01-01T10:00:00.123456+00:00', '2026-01-01T10:00:00.123456Z'],
    ['MicroTime', '2026-01-01T00:30:00.000001+01:00', '2025-12-31T23:30:00.000001Z'],
  ] as const) {
    it(`of type ${type} is kept as ${kept} when it is given as ${given}`, () => {
      assert.equal(timeFault(type, given), undefined);
      assert.equal(canonicalTime(type, given), kept);
    });
  }

  for (const [type, given, fault] of [
    ['Time', 'x', 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'],
    ['Time', '', 'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'],
    ['Time', '2026-02-30T01:01:01Z', 'parsing time "2026-02-30T01:01:01Z": day out of range'],
    ['Time', '2026-13-01T01:01:01Z', 'parsing time "2026-13-01T01:01:01Z": month out of range'],
    [
      'MicroTime',
      '2026-01-01T00:00:00.123Z',
      'parsing time "2026-01-01T00:00:00.123Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse ".123Z" as ".000000"',
    ],
    [
      'MicroTime',
      '2026-01-01T00:00:00Z',
      'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"',
    ],
    ['Time', '2026-01-01T00:00:00Zz', 'parsing time "2026-01-01T00:00:00Zz": extra text: "z"'],
  ] as const) {
    it(`of type ${type} is refused as ${given || 'nothing'}, in Go's words`, () => {
      assert.equal(timeFault(type, given), fault);
    });
  }

  it('keeps its moment, whatever the offset, and is spelled once and for all', () => {
    fc.assert(
      fc.property(moment, offset, fc.integer({ min: 0, max: 999_999 }), (ms, zone, micros) => {
        const second = Math.floor(ms / 1000) * 1000;
        const local = new Date(second + zone.ms).toISOString().slice(0, 19);
        const digits = String(micros).padStart(6, '0');
        const utc = new Date(second).toISOString().slice(0, 19);
        const expected: { [type in TimeType]: string } = { Time: `${utc}Z`, MicroTime: `${utc}.${digits}Z` };
        for (const type of ['Time', 'MicroTime'] as const) {
          const kept = canonicalTime(type, `${local}.${digits}${zone.text}`);
          assert.equal(kept, expected[type]);
          assert.equal(canonicalTime(type, kept), kept);
          assert.equal(timeFault(type, kept), undefined);
        }
      }),
    );
  });
});
