/** PingSource: schedules, defaults and refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pingSources } from '../../../src/api/sources/pingsource.ts';
import { InvalidScheduleError, parseSchedule } from '../../../src/api/sources/schedule.ts';
import { startTestApi } from '../../support/api.ts';

const from = Date.parse('2026-03-28T10:20:30.500Z');

function firings(schedule: string, timezone?: string, count = 2): string[] {
  const parsed = parseSchedule(schedule, timezone);
  const times: string[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    at = parsed.next(at) ?? Number.NaN;
    times.push(new Date(at).toISOString());
  }
  return times;
}

const schedules: [string, string | undefined, string[]][] = [
  ['* * * * *', undefined, ['2026-03-28T10:21:00.000Z', '2026-03-28T10:22:00.000Z']],
  ['*/10 * * * * *', undefined, ['2026-03-28T10:20:40.000Z', '2026-03-28T10:20:50.000Z']],
  ['0 12 * * ?', undefined, ['2026-03-28T12:00:00.000Z', '2026-03-29T12:00:00.000Z']],
  ['@hourly', undefined, ['2026-03-28T11:00:00.000Z', '2026-03-28T12:00:00.000Z']],
  ['@daily', 'Asia/Tokyo', ['2026-03-28T15:00:00.000Z', '2026-03-29T15:00:00.000Z']],
  // Over the change to summer time in the night of 29 March.
  ['30 8 * * *', 'Europe/Berlin', ['2026-03-29T06:30:00.000Z', '2026-03-30T06:30:00.000Z']],
  ['CRON_TZ=Asia/Tokyo 0 0 * * *', undefined, ['2026-03-28T15:00:00.000Z', '2026-03-29T15:00:00.000Z']],
  ['0 0 1 1 *', undefined, ['2027-01-01T00:00:00.000Z', '2028-01-01T00:00:00.000Z']],
  ['0 9 * * MON-FRI', undefined, ['2026-03-30T09:00:00.000Z', '2026-03-31T09:00:00.000Z']],
];
for (const [schedule, timezone, times] of schedules) {
  test(`${schedule} ${timezone ?? ''}`, () => {
    assert.deepEqual(firings(schedule, timezone), times);
  });
}

const faults: [string, string | undefined, 'schedule' | 'timezone'][] = [
  ['', undefined, 'schedule'],
  ['* * * *', undefined, 'schedule'],
  ['* * * * * * *', undefined, 'schedule'],
  ['61 * * * *', undefined, 'schedule'],
  ['hello', undefined, 'schedule'],
  ['@every 1h', undefined, 'schedule'],
  ['@reboot', undefined, 'schedule'],
  ['* * * * *', 'Mars/Olympus', 'timezone'],
  ['CRON_TZ=UTC * * * * *', 'UTC', 'schedule'],
];
for (const [schedule, timezone, field] of faults) {
  test(`not a schedule: "${schedule}" ${timezone ?? ''}`, () => {
    assert.throws(
      () => parseSchedule(schedule, timezone),
      (error: unknown) => error instanceof InvalidScheduleError && error.field === field,
    );
  });
}

test('defaults and refusals', async () => {
  const api = await startTestApi();
  const sink = { uri: 'http://example.com' };
  const create = (name: string, spec: object): ReturnType<typeof api.client.create<never>> =>
    api.client.create(pingSources, {
      apiVersion: 'sources.knative.dev/v1',
      kind: 'PingSource',
      metadata: { name, namespace: 'default' },
      spec,
    }) as ReturnType<typeof api.client.create<never>>;
  const created: { spec?: { schedule?: string } } = await create('plain', { sink });
  assert.equal(created.spec?.schedule, '* * * * *');
  const table: [object, RegExp][] = [
    [{}, /expected at least one, got none: spec\.sink\.ref, spec\.sink\.uri$/],
    [{ sink, schedule: 'x y' }, /invalid value: .*: spec\.schedule$/],
    [{ sink, timezone: 'Mars' }, /invalid value: provided bad location Mars: spec\.timezone$/],
    [
      { sink, data: 'a', dataBase64: 'YQ==' },
      /expected exactly one, got both: spec\.data, spec\.dataBase64$/,
    ],
    [{ sink, contentType: 'application/json', data: '[1]' }, /invalid value: not a JSON object: spec\.data$/],
    [{ sink, contentType: 'application/json', data: '{' }, /invalid value: .*: spec\.data$/],
    [{ sink, dataBase64: '***' }, /invalid value: illegal base64 data: spec\.dataBase64$/],
    [
      { sink, ceOverrides: { extensions: { 'a-b': '1' } } },
      /invalid key name "a-b": spec\.ceOverrides\.extensions\n/,
    ],
  ];
  for (const [spec, message] of table) {
    await assert.rejects(create('refused', spec), { reason: 'BadRequest', message });
  }
  await api.close();
});
