import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { INCOMPLETE, REFUSED } from '../../../src/gateway/http1/fields.ts';
import { RequestHead, defaultRequestLimits } from '../../../src/gateway/http1/request.ts';

/** What a head means, in a form that can be compared. */
function parse(text: string, head = new RequestHead()): string {
  const bytes = Buffer.from(text, 'latin1');
  return describe(head, bytes, head.parse(bytes, 0, bytes.length));
}

function describe(head: RequestHead, bytes: Buffer, result: number): string {
  if (result === INCOMPLETE) return 'incomplete';
  if (result === REFUSED) return String(head.fields.refusal.status);
  const { fields } = head;
  const at = (start: number, end: number): string => bytes.toString('latin1', start, end);
  const flags = [
    fields.contentLength >= 0 && `cl=${fields.contentLength}`,
    fields.chunked && 'chunked',
    fields.close && 'close',
    fields.keepAlive && 'keep-alive',
    fields.upgradeWebSocket && 'websocket',
    fields.expectContinue && 'expect',
    fields.nominates && 'nominates',
    head.absoluteForm && 'absolute',
  ].filter((flag) => flag !== false);
  const rest = bytes.length - result;
  return (
    `${at(head.start, head.methodEnd)} ${at(head.pathStart, head.pathEnd)} 1.${head.minor} ` +
    `host=${at(head.authorityStart, head.authorityEnd)} n=${fields.count}` +
    flags.map((flag) => ` ${flag}`).join('') +
    (rest ? ` +${rest}` : '')
  );
}

const H = 'Host: a\r\n';
const long = 'x'.repeat(20_000);

/** Raw input → its meaning, a status, or `incomplete`. */
const cases: [string, string][] = [
  // Valid requests.
  [`GET / HTTP/1.1\r\n${H}\r\n`, 'GET / 1.1 host=a n=1'],
  [`GET / HTTP/1.0\r\n${H}\r\n`, 'GET / 1.0 host=a n=1'],
  [`\r\nGET / HTTP/1.1\r\n${H}\r\n`, 'GET / 1.1 host=a n=1'],
  [`GET /a?b=c;d HTTP/1.1\r\nhOsT:a\r\n\r\n`, 'GET /a?b=c;d 1.1 host=a n=1'],
  [`GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n`, 'GET / 1.1 host=a n=1'],
  [`M-SEARCH /x HTTP/1.1\r\n${H}\r\n`, 'M-SEARCH /x 1.1 host=a n=1'],
  [`GET /caf\xc3\xa9 HTTP/1.1\r\n${H}\r\n`, 'GET /caf\xc3\xa9 1.1 host=a n=1'],
  [`GET / HTTP/1.1\r\n${H}X: caf\xe9\r\n\r\n`, 'GET / 1.1 host=a n=2'],
  [`GET / HTTP/1.1\r\n${H}X:\r\n\r\n`, 'GET / 1.1 host=a n=2'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3\r\n\r\nabc`, 'POST / 1.1 host=a n=2 cl=3 +3'],
  [`POST / HTTP/1.1\r\n${H}Content-Length:\t003 \r\n\r\nabc`, 'POST / 1.1 host=a n=2 cl=3 +3'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: CHUNKED\r\n\r\n`, 'POST / 1.1 host=a n=2 chunked'],
  [`GET / HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, 'GET / 1.1 host=a n=2 close'],
  [`GET / HTTP/1.0\r\n${H}Connection: Keep-Alive\r\n\r\n`, 'GET / 1.0 host=a n=2 keep-alive'],
  [`GET / HTTP/1.1\r\n${H}Connection: ,close ,, X-A\r\n\r\n`, 'GET / 1.1 host=a n=2 close nominates'],
  [
    `GET / HTTP/1.1\r\n${H}Connection: a\r\nConnection: close\r\n\r\n`,
    'GET / 1.1 host=a n=3 close nominates',
  ],
  [
    `GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    'GET / 1.1 host=a n=3 websocket',
  ],
  [
    `GET / HTTP/1.1\r\n${H}Upgrade: WebSocket\r\nConnection: x, upgrade\r\n\r\n`,
    'GET / 1.1 host=a n=3 websocket nominates',
  ],
  [`PUT / HTTP/1.1\r\n${H}Expect: 100-Continue\r\n\r\n`, 'PUT / 1.1 host=a n=2 expect'],
  [`GET http://b/x HTTP/1.1\r\n${H}\r\n`, 'GET /x 1.1 host=b n=1 absolute'],
  [`GET HTTPS://b:8443 HTTP/1.1\r\n${H}\r\n`, 'GET  1.1 host=b:8443 n=1 absolute'],
  [`GET http://b?q HTTP/1.1\r\n${H}\r\n`, 'GET ?q 1.1 host=b n=1 absolute'],
  [`OPTIONS * HTTP/1.1\r\n${H}\r\n`, 'OPTIONS * 1.1 host=a n=1'],
  [`GET / HTTP/1.1\r\n${H}\r\nGET /2`, 'GET / 1.1 host=a n=1 +6'],
  // Only the connection's own: other protocols are not switched to.
  [`GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`, 'GET / 1.1 host=a n=3'],
  [`GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n`, 'GET / 1.1 host=a n=3'],
  [
    `GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n`,
    'GET / 1.1 host=a n=4',
  ],
  [`GET / HTTP/1.1\r\n${H}Upgrade: websocket\r\n\r\n`, 'GET / 1.1 host=a n=2'],
  // Length and encoding that two parsers could read differently.
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3\r\nContent-Length: 3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3\r\ncontent-length: 4\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3, 3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: +3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: -3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 0x3\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 3 4\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length:\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 9999999999999999\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n`, '501'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, identity\r\n\r\n`, '501'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n`, '501'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: "chunked"\r\n\r\n`, '501'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding:\x0bchunked\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding:\r\n\r\n`, '501'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, '400'],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding : chunked\r\n\r\n`, '400'],
  [`POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n`, '400'],
  // Host.
  ['GET / HTTP/1.1\r\n\r\n', '400'],
  ['GET / HTTP/1.0\r\n\r\n', '400'],
  ['GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', '400'],
  ['GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', '400'],
  ['GET / HTTP/1.1\r\nHost : a\r\n\r\n', '400'],
  // Lines.
  ['GET / HTTP/1.1\nHost: a\n\n', '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\nY: b\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\rY: b\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\r\n continued\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\r\n\tcontinued\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n Host: a\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X: a\x7fb\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X\0: a\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}: a\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}X a: b\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}caf\xe9: b\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}no colon\r\n\r\n`, '400'],
  [`GET / HTTP/1.1\r\n${H}\r \n`, '400'],
  [`\r\n\r\nGET / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`\nGET / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`\r GET / HTTP/1.1\r\n${H}\r\n`, '400'],
  // The request line.
  [`GET  / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET /  HTTP/1.1\r\n${H}\r\n`, '400'],
  [` GET / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET\t/ HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET / HTTP/1.1 \r\n${H}\r\n`, '400'],
  [`GET / HTTP/1.1\r${H}\r\n`, '400'],
  [`GET / http/1.1\r\n${H}\r\n`, '400'],
  [`GET /\r\n${H}\r\n`, '400'],
  [`GET /a b HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET /#f HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET /\0 HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET a HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET * HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET ftp://a/ HTTP/1.1\r\n${H}\r\n`, '400'],
  [`GET http:///x HTTP/1.1\r\n${H}\r\n`, '400'],
  [`G(T / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`${'A'.repeat(40)} / HTTP/1.1\r\n${H}\r\n`, '400'],
  [`\x16\x03\x01\x02\x00\x01`, '400'],
  [`CONNECT a:443 HTTP/1.1\r\n${H}\r\n`, '405'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '505'],
  [`GET / HTTP/1.2\r\n${H}\r\n`, '505'],
  [`GET / HTTP/2.0\r\n${H}\r\n`, '505'],
  [`GET / HTTP/0.9\r\n${H}\r\n`, '505'],
  [`GET / HTTP/1.1\r\n${H}Expect: something\r\n\r\n`, '417'],
  // Limits, also when all came at once.
  [`GET /${'x'.repeat(9000)} HTTP/1.1\r\n${H}\r\n`, '414'],
  [`GET /${'x'.repeat(9000)}`, '414'],
  [`GET / HTTP/1.1\r\n${H}X: ${long}\r\n\r\n`, '431'],
  [`GET / HTTP/1.1\r\n${H}X: ${long}`, '431'],
  [`GET / HTTP/1.1\r\n${H}${long}: x\r\n\r\n`, '431'],
  [`GET / HTTP/1.1\r\n${H}${'A: b\r\n'.repeat(150)}\r\n`, '431'],
  [`GET / HTTP/1.1\r\n${H}${'A: b\r\n'.repeat(99)}\r\n`, 'GET / 1.1 host=a n=100'],
  // Not complete.
  ['', 'incomplete'],
  ['G', 'incomplete'],
  ['GET /', 'incomplete'],
  ['GET / HTTP/1.', 'incomplete'],
  [`GET / HTTP/1.1\r\n${H}`, 'incomplete'],
  [`GET / HTTP/1.1\r\n${H}\r`, 'incomplete'],
  [`GET / HTTP/1.1\r\n${H}X: a\r`, 'incomplete'],
];

test('request heads mean what they say, or are refused', () => {
  assert.ok(cases.length >= 60);
  const head = new RequestHead();
  for (const [input, meaning] of cases) {
    assert.equal(parse(input), meaning, JSON.stringify(input.slice(0, 200)));
    // A parser that was used before gives the same.
    assert.equal(parse(input, head), meaning, JSON.stringify(input.slice(0, 200)));
  }
});

test('where the bytes are split makes no difference', () => {
  for (const [input, meaning] of cases) {
    if (input.length > 1000) continue;
    const bytes = Buffer.from(input, 'latin1');
    const head = new RequestHead();
    let result = describe(head, bytes, head.parse(bytes, 0, bytes.length));
    for (let n = 1; n <= bytes.length; n++) {
      const part = describe(head, bytes.subarray(0, n), head.parse(bytes, 0, n));
      if (part === 'incomplete') continue;
      // The first verdict is the last one, save for what follows the head.
      assert.equal(
        part.replace(/ \+\d+$/, ''),
        meaning.replace(/ \+\d+$/, ''),
        JSON.stringify(input.slice(0, n)),
      );
      result = part;
      break;
    }
    assert.equal(result.replace(/ \+\d+$/, ''), meaning.replace(/ \+\d+$/, ''));
  }
});

test('an offset into the bytes makes no difference', () => {
  const head = new RequestHead();
  for (const [input, meaning] of cases) {
    const bytes = Buffer.from(`GARBAGE${input}`, 'latin1');
    const result = head.parse(bytes, 7, bytes.length);
    assert.equal(describe(head, bytes, result), meaning);
  }
});

test('any bytes give a verdict within the limits', () => {
  const head = new RequestHead();
  const pieces = fc.constantFrom(
    'GET ',
    '/',
    ' HTTP/1.1',
    '\r\n',
    '\r',
    '\n',
    'Host: a',
    'Content-Length: 1',
    'Transfer-Encoding: chunked',
    ': ',
    ' ',
    '\t',
    '\0',
    'x',
    'Connection: close, y',
    '\xff',
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 5 })), { maxLength: 40 }),
      (parts) => {
        const bytes = Buffer.from(parts.join(''), 'latin1');
        const result = head.parse(bytes, 0, bytes.length);
        assert.ok(result === INCOMPLETE || result === REFUSED || (result > 0 && result <= bytes.length));
        if (result > 0) assert.equal(bytes.toString('latin1', result - 4, result), '\r\n\r\n');
      },
    ),
    { numRuns: 3000 },
  );
});

test('nominated fields are dropped, but never those that frame or address the message', () => {
  const head = new RequestHead();
  const bytes = Buffer.from(
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\n` +
      'Connection: X-A, Host, content-length, X-Forwarded-For\r\nX-Forwarded-For: 1\r\n\r\n',
  );
  assert.ok(head.parse(bytes, 0, bytes.length) > 0);
  head.fields.dropNominated(bytes);
  const dropped = Array.from({ length: head.fields.count }, (_, i) => head.fields.drop[i]);
  assert.deepEqual(dropped, [0, 0, 1, 1, 0, 1, 0]);
});

test('the limits are those that are set', () => {
  const small = new RequestHead({ ...defaultRequestLimits, headBytes: 60, fields: 2, targetBytes: 10 });
  assert.equal(parse('GET / HTTP/1.1\r\nHost: a\r\n\r\n', small), 'GET / 1.1 host=a n=1');
  assert.equal(parse('GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n', small), 'GET /123456789 1.1 host=a n=1');
  assert.equal(parse('GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n', small), '414');
  assert.equal(parse('GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n', small), '431');
  assert.equal(parse(`GET / HTTP/1.1\r\nHost: a\r\nA: ${'1'.repeat(40)}\r\n\r\n`, small), '431');
});
