import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ChunkedBody, MALFORMED, MORE } from '../../../src/gateway/http1/chunked.ts';

/** Feeds `input` in pieces that end at `cuts`; returns what is passed on and what follows the body. */
function relay(
  input: string,
  cuts: readonly number[] = [],
  decode = false,
): { passed: string; verdict: string } {
  const bytes = Buffer.from(input, 'latin1');
  const body = new ChunkedBody();
  body.reset(decode);
  let passed = '';
  let from = 0;
  for (const end of [...cuts.filter((cut) => cut < bytes.length), bytes.length]) {
    const taken = body.scan(bytes, from, end);
    if (taken === MALFORMED) return { passed, verdict: 'malformed' };
    const behind = taken === MORE ? end : taken;
    const out = Buffer.alloc(body.emittedLength(from, behind));
    assert.equal(body.emit(bytes, from, behind, out, 0), out.length);
    if (body.intact) assert.equal(out.toString('latin1'), bytes.toString('latin1', from, behind));
    passed += out.toString('latin1');
    if (taken !== MORE) return { passed, verdict: `done +${bytes.length - taken}` };
    from = end;
  }
  return { passed, verdict: 'more' };
}

/** Input, what is passed on as chunks, as plain data, verdict. */
const bodies: [string, string, string, string][] = [
  ['0\r\n\r\n', '0\r\n\r\n', '', 'done +0'],
  ['3\r\nabc\r\n0\r\n\r\n', '3\r\nabc\r\n0\r\n\r\n', 'abc', 'done +0'],
  ['3\r\nabc\r\n0\r\n\r\nNEXT', '3\r\nabc\r\n0\r\n\r\n', 'abc', 'done +4'],
  ['00a\r\n0123456789\r\n0\r\n\r\n', '00a\r\n0123456789\r\n0\r\n\r\n', '0123456789', 'done +0'],
  ['A;x\r\n0123456789\r\n0;y="z"\r\n\r\n', 'A\r\n0123456789\r\n0\r\n\r\n', '0123456789', 'done +0'],
  ['2\r\n\r\n\r\n0\r\n\r\n', '2\r\n\r\n\r\n0\r\n\r\n', '\r\n', 'done +0'],
  ['1\r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n', '1\r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n', 'a', 'done +0'],
  [
    '1\r\na\r\n0\r\nHost: x\r\nX-A: 1\r\nContent-Length: 4\r\ntransfer-encoding: a\r\nX-Forwarded-For: b\r\n\r\nZ',
    '1\r\na\r\n0\r\nX-A: 1\r\n\r\n',
    'a',
    'done +1',
  ],
  ['0\r\nAuthorization: x\r\n\r\n', '0\r\n\r\n', '', 'done +0'],
  ['3\r\nab', '3\r\nab', 'ab', 'more'],
];

const malformed = [
  '\r\n',
  'g\r\n',
  ' 3\r\nabc\r\n',
  '3 \r\nabc\r\n',
  '3\nabc\r\n',
  '-1\r\n',
  '0x3\r\nabc\r\n',
  '3\r\nabcd\r\n',
  '3\r\nab\r\n\r\n',
  '3\r\nabc\n0\r\n\r\n',
  '3\r\nabc\r0\r\n\r\n',
  '3\rabc',
  '1000000000000\r\n',
  'ffffffffffffffff\r\n',
  `3;${'x'.repeat(300)}\r\n`,
  '3;a\nb\r\nabc\r\n',
  '0\r\n X: folded\r\n\r\n',
  '0\r\nX : y\r\n\r\n',
  '0\r\nX: a\nY: b\r\n\r\n',
  '0\r\nno colon\r\n\r\n',
  '0\r\nX: \0\r\n\r\n',
  '0\n\r\n',
  '0\r\n\r\r',
  `0\r\nX: ${'x'.repeat(9000)}\r\n\r\n`,
  ';x\r\n',
];

test('bodies pass without extensions and with filtered trailers, whole and byte by byte', () => {
  for (const [input, chunks, data, verdict] of bodies) {
    const everywhere = Array.from({ length: input.length }, (_, i) => i + 1);
    assert.deepEqual(relay(input), { passed: chunks, verdict }, JSON.stringify(input));
    assert.deepEqual(relay(input, [], true), { passed: data, verdict }, JSON.stringify(input));
    for (let cut = 1; cut < input.length; cut++) {
      // What follows the body is counted in the piece where it ends.
      assert.equal(relay(input, [cut]).passed, chunks, `${JSON.stringify(input)} at ${cut}`);
      assert.equal(relay(input, [cut], true).passed, data, `${JSON.stringify(input)} at ${cut}`);
    }
    assert.equal(relay(input, everywhere).passed, chunks, JSON.stringify(input));
    assert.equal(relay(input, everywhere, true).passed, data, JSON.stringify(input));
  }
});

test('what is not a chunked body is found out, whole and byte by byte', () => {
  for (const input of malformed) {
    assert.equal(relay(input).verdict, 'malformed', JSON.stringify(input.slice(0, 60)));
    const everywhere = Array.from({ length: input.length }, (_, i) => i + 1);
    assert.equal(relay(input, everywhere).verdict, 'malformed', JSON.stringify(input.slice(0, 60)));
  }
});

test('any data in any chunks and any pieces comes out as it went in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 10 }),
      fc.boolean(),
      (parts, cuts, extensions) => {
        const chunks = parts.map((part) => Buffer.from(part, 'latin1').toString('latin1'));
        const encode = (extension: string): string =>
          `${chunks.map((part) => `${part.length.toString(16)}${extension}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
        const input = encode(extensions ? ';a=b' : '');
        const sorted = [...new Set(cuts.filter((cut) => cut > 0))].sort((a, b) => a - b);
        assert.equal(relay(input, sorted).passed, encode(''));
        assert.equal(relay(input, sorted, true).passed, chunks.join(''));
      },
    ),
    { numRuns: 500 },
  );
});

test('a body that was followed before leaves nothing behind', () => {
  const body = new ChunkedBody();
  body.reset(false);
  const half = Buffer.from('5\r\nabc');
  assert.equal(body.scan(half, 0, half.length), MORE);
  body.reset(false);
  const whole = Buffer.from('2\r\nok\r\n0\r\nX: y\r\n\r\n');
  assert.equal(body.scan(whole, 0, whole.length), whole.length);
});
