import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ResponseHead } from '../../../src/gateway/http1/response.ts';

function parse(text: string): string {
  const head = new ResponseHead();
  const bytes = Buffer.from(text, 'latin1');
  const result = head.parse(bytes, 0, bytes.length);
  if (result === 0) return 'incomplete';
  if (result < 0) return 'refused';
  const { fields } = head;
  return [
    `1.${head.minor} ${head.status} n=${fields.count}`,
    fields.contentLength >= 0 && `cl=${fields.contentLength}`,
    fields.chunked && 'chunked',
    fields.close && 'close',
    fields.keepAliveTimeout >= 0 && `timeout=${fields.keepAliveTimeout}`,
  ]
    .filter((part) => part !== false)
    .join(' ');
}

const cases: [string, string][] = [
  ['HTTP/1.1 200 OK\r\n\r\n', '1.1 200 n=0'],
  ['HTTP/1.1 200 \r\n\r\n', '1.1 200 n=0'],
  ['HTTP/1.1 200\r\n\r\n', '1.1 200 n=0'],
  ['HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n', '1.0 404 n=1 cl=0'],
  ['HTTP/1.1 100 Continue\r\n\r\n', '1.1 100 n=0'],
  ['HTTP/1.1 200 caf\xe9\r\nTransfer-Encoding: chunked\r\n\r\n', '1.1 200 n=1 chunked'],
  [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: max=3, timeout=5\r\n\r\n',
    '1.1 200 n=2 close timeout=5',
  ],
  ['HTTP/1.1 200 OK\r\nKeep-Alive: timeout=x\r\n\r\n', '1.1 200 n=1'],
  // A response may carry these; only requests are routed by them.
  ['HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nExpect: x\r\n\r\n', '1.1 200 n=3'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n', 'refused'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n', 'refused'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 'refused'],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 'refused'],
  ['HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n', 'refused'],
  ['HTTP/1.1 200 OK\nX: a\n\n', 'refused'],
  ['HTTP/1.1 200 O\0K\r\n\r\n', 'refused'],
  ['HTTP/1.1 2000 OK\r\n\r\n', 'refused'],
  ['HTTP/1.1 099 OK\r\n\r\n', 'refused'],
  ['HTTP/1.1 2x0 OK\r\n\r\n', 'refused'],
  ['HTTP/1.1  200 OK\r\n\r\n', 'refused'],
  ['HTTP/2.0 200 OK\r\n\r\n', 'refused'],
  ['HTTP/1.2 200 OK\r\n\r\n', 'refused'],
  ['ICY 200 OK\r\n\r\n', 'refused'],
  ['\r\nHTTP/1.1 200 OK\r\n\r\n', 'refused'],
  ['<html>', 'refused'],
  [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 'refused'],
  [`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(300)}\r\n`, 'refused'],
  [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(30_000)}\r\n\r\n`, '1.1 200 n=1'],
  ['HTTP/1', 'incomplete'],
  ['HTTP/1.1 20', 'incomplete'],
  ['HTTP/1.1 200 O', 'incomplete'],
  ['HTTP/1.1 200 OK\r\nX: y\r\n', 'incomplete'],
];

test('response heads mean what they say, or are refused', () => {
  for (const [input, meaning] of cases)
    assert.equal(parse(input), meaning, JSON.stringify(input.slice(0, 100)));
});

test('the first verdict over growing bytes is the last', () => {
  for (const [input, meaning] of cases) {
    if (input.length > 1000) continue;
    for (let n = 0; n <= input.length; n++) {
      const part = parse(input.slice(0, n));
      if (part === 'incomplete') continue;
      assert.equal(part, meaning, JSON.stringify(input.slice(0, n)));
      break;
    }
  }
});

test('any bytes give a verdict', () => {
  const head = new ResponseHead();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (tail, started) => {
      const bytes = Buffer.concat([Buffer.from(started ? 'HTTP/1.1 200 OK\r\n' : ''), tail]);
      const result = head.parse(bytes, 0, bytes.length);
      assert.ok(result >= -1 && result <= bytes.length);
    }),
    { numRuns: 1000 },
  );
});
