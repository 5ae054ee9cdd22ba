import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvalidCronError, parseCronSchedule } from '../../../src/api/kubernetes/cron-schedule.ts';

function firings(schedule: string, zone: string, from: string, count: number): string[] {
  const parsed = parseCronSchedule(schedule, zone);
  const out: string[] = [];
  let at: number | undefined = Date.parse(from);
  for (let i = 0; i < count; i++) {
    at = parsed.next(at ?? 0);
    if (at === undefined) break;
    out.push(new Date(at).toISOString().slice(0, 19));
  }
  return out;
}

describe('cron schedules', () => {
  it('reads fields, names, steps, lists and descriptors', () => {
    const from = '2026-01-01T00:00:00Z';
    assert.deepEqual(firings('15 10 * JAN mon', 'UTC', from, 2), [
      '2026-01-05T10:15:00',
      '2026-01-12T10:15:00',
    ]);
    assert.deepEqual(firings('5/20 0 1 1 ?', 'UTC', from, 3), [
      '2026-01-01T00:05:00',
      '2026-01-01T00:25:00',
      '2026-01-01T00:45:00',
    ]);
    assert.deepEqual(firings('0 0 13 * 5', 'UTC', from, 3), [
      '2026-01-02T00:00:00',
      '2026-01-09T00:00:00',
      '2026-01-13T00:00:00',
    ]);
    assert.deepEqual(firings('@weekly', 'UTC', from, 1), ['2026-01-04T00:00:00']);
    assert.deepEqual(firings('@every 1h30m', 'UTC', '2026-01-01T00:10:00Z', 2), [
      '2026-01-01T01:40:00',
      '2026-01-01T03:10:00',
    ]);
    assert.deepEqual(firings('TZ=Asia/Tokyo 0 9 * * *', 'UTC', from, 1), ['2026-01-02T00:00:00']);
  });

  it('fires once a day on the days when clocks change, and every hour in between', () => {
    const zone = 'America/New_York';
    // 02:30 does not come on 8 March: it fires when that hour would have begun.
    assert.deepEqual(firings('30 2 * * *', zone, '2026-03-07T12:00:00Z', 2), [
      '2026-03-08T07:00:00',
      '2026-03-09T06:30:00',
    ]);
    // 01:30 comes twice on 1 November.
    assert.deepEqual(firings('30 1 * * *', zone, '2026-10-31T12:00:00Z', 2), [
      '2026-11-01T05:30:00',
      '2026-11-02T06:30:00',
    ]);
    assert.deepEqual(firings('0 * * * *', zone, '2026-11-01T04:30:00Z', 4), [
      '2026-11-01T05:00:00',
      '2026-11-01T06:00:00',
      '2026-11-01T07:00:00',
      '2026-11-01T08:00:00',
    ]);
  });

  for (const [text, message] of [
    ['', 'empty spec string'],
    ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
    ['0 0 * * * *', 'expected exactly 5 fields, found 6: [0 0 * * * *]'],
    ['60 * * * *', 'end of range (60) above maximum (59): 60'],
    ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
    ['* * * * 7', 'end of range (7) above maximum (6): 7'],
    ['5-1 * * * *', 'beginning of range (5) beyond end of range (1): 5-1'],
    ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
    ['*/5/5 * * * *', 'too many slashes: */5/5'],
    ['*/0 * * * *', 'step of range should be a positive number: */0'],
    ['x * * * *', 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
    ['* * L * *', 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'],
    ['@sometimes', 'unrecognized descriptor: @sometimes'],
    ['@every soon', 'failed to parse duration @every soon: time: invalid duration "soon"'],
    ['TZ=Nowhere/Land 0 0 * * *', 'provided bad location Nowhere/Land: unknown time zone Nowhere/Land'],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseCronSchedule(text),
        (error) => error instanceof InvalidCronError && error.message === message,
      );
    });
  }
});
