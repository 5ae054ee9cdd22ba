import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parsePeriod } from '../../../src/base/period.ts';
import {
  isRetryable,
  nextWait,
  type Attempt,
  type RetryPolicy,
} from '../../../src/eventing/dispatcher/retry.ts';
import { builtinDelivery, defaultDelivery, deliveryPolicy } from '../../../src/eventing/delivery.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const failed: Attempt = { status: 500 };

function waits(policy: RetryPolicy, attempt = failed): (number | undefined)[] {
  const all: (number | undefined)[] = [];
  for (let retries = 0; ; retries++) {
    const wait = nextWait(policy, retries, attempt, now);
    all.push(wait);
    if (wait === undefined) return all;
  }
}

test('which answers are worth another attempt', () => {
  for (const status of [undefined, 404, 408, 409, 429, 500, 502, 503, 599])
    assert.ok(isRetryable(status), `${status}`);
  for (const status of [101, 200, 301, 304, 400, 401, 403, 405, 410, 413, 422, 499]) {
    assert.ok(!isRetryable(status), `${status}`);
  }
});

test('waits of the policies', () => {
  assert.deepEqual(waits({ retry: 0 }), [undefined]);
  assert.deepEqual(waits({ retry: 2 }), [0, 0, undefined]);
  assert.deepEqual(waits({ retry: 2, backoffDelay: 100 }), [0, 0, undefined]);
  assert.deepEqual(waits({ retry: 3, backoffPolicy: 'linear', backoffDelay: 100 }), [0, 100, 200, undefined]);
  assert.deepEqual(waits({ retry: 3, backoffPolicy: 'exponential', backoffDelay: 100 }), [
    100,
    200,
    400,
    undefined,
  ]);
  assert.deepEqual(waits({ retry: 3 }, { status: 400 }), [undefined]);
  assert.deepEqual(waits(deliveryPolicy(builtinDelivery)).slice(0, 3), [200, 400, 800]);
  assert.equal(waits(deliveryPolicy(builtinDelivery)).length, 11);
});

test('Retry-After lengthens a wait, up to its bound, for 429 and 503', () => {
  const policy = {
    retry: 1,
    backoffPolicy: 'exponential',
    backoffDelay: 500,
    retryAfterMax: 10_000,
  } as const;
  const wait = (attempt: Attempt, changes: Partial<RetryPolicy> = {}): number | undefined =>
    nextWait({ ...policy, ...changes }, 0, attempt, now);
  assert.equal(wait({ status: 503, retryAfter: '3' }), 3000);
  assert.equal(wait({ status: 429, retryAfter: '99' }), 10_000);
  assert.equal(wait({ status: 503, retryAfter: 'Thu, 01 Jan 2026 00:00:02 GMT' }), 2000);
  assert.equal(wait({ status: 503, retryAfter: 'Wed, 31 Dec 2025 00:00:00 GMT' }), 500);
  assert.equal(wait({ status: 503, retryAfter: 'soon' }), 500);
  assert.equal(wait({ status: 500, retryAfter: '3' }), 500);
  assert.equal(wait({ status: 503, retryAfter: '3' }, { retryAfterMax: undefined }), 500);
  assert.equal(wait({ status: 503, retryAfter: '3' }, { retryAfterMax: 0 }), 500);
});

test('a schedule ends after `retry` waits, and none is negative or past what timers count', () => {
  fc.assert(
    fc.property(
      fc.record({
        retry: fc.nat(60),
        backoffPolicy: fc.constantFrom('linear' as const, 'exponential' as const),
        backoffDelay: fc.nat(1e9),
      }),
      (policy) => {
        const all = waits(policy);
        assert.equal(all.length, policy.retry + 1);
        const numbers = all.slice(0, -1).map(Number);
        assert.ok(numbers.every((wait, i) => wait >= (numbers[i - 1] ?? 0) && wait < 2 ** 31));
      },
    ),
  );
});

test('ISO 8601 periods', () => {
  const table: [string, number | undefined][] = [
    ['PT0.2S', 200],
    ['PT1S', 1000],
    ['PT1M30S', 90_000],
    ['PT0,5S', 500],
    ['P1D', 86_400_000],
    ['P1W', 604_800_000],
    ['P1DT1H', 90_000_000],
    ['-PT1S', -1000],
    ['PT0S', 0],
    ['P', undefined],
    ['PT', undefined],
    ['P1DT', undefined],
    ['1s', undefined],
    ['PT1', undefined],
    ['', undefined],
    ['PT1S ', undefined],
  ];
  for (const [text, ms] of table) assert.equal(parsePeriod(text), ms, text);
});

test('delivery specs do not merge: the first that is there counts', () => {
  assert.equal(deliveryPolicy(undefined, { retry: 3 }).retry, 3);
  assert.equal(deliveryPolicy({ timeout: 'PT5S' }, { retry: 3 }).retry, 0);
  assert.equal(deliveryPolicy({ timeout: 'PT5S' }).timeoutMs, 5000);
  assert.equal(deliveryPolicy({ format: 'json' }).format, 'json');
});

test('the installation may set other defaults, for all or for a namespace', () => {
  const yaml = `
clusterDefault:
  brokerClass: MTChannelBasedBroker
  delivery: {retry: 3}
namespaceDefaults:
  special: {delivery: {retry: 7}}
`;
  assert.deepEqual(defaultDelivery(undefined, 'default'), builtinDelivery);
  assert.deepEqual(defaultDelivery({}, 'default'), builtinDelivery);
  assert.deepEqual(defaultDelivery({ 'default-br-config': yaml }, 'default'), { retry: 3 });
  assert.deepEqual(defaultDelivery({ 'default-br-config': yaml }, 'special'), { retry: 7 });
  assert.deepEqual(defaultDelivery({ 'default-br-config': '' }, 'x'), builtinDelivery);
  assert.throws(() => defaultDelivery({ 'default-br-config': '{' }, 'x'));
});
