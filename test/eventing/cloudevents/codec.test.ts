/** The codec against itself, against the HTTP binding's rules, and against the `cloudevents` SDK as an oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudEvent as SdkEvent, HTTP } from 'cloudevents';
import * as fc from 'fast-check';
import {
  checkAttributes,
  InvalidEventError,
  withAttributes,
  type Attributes,
  type CloudEvent,
} from '../../../src/eventing/cloudevents/event.ts';
import {
  decodeHeaderValue,
  decodeHttp,
  encodeBinary,
  encodeHeaderValue,
  encodeStructured,
  modeOf,
} from '../../../src/eventing/cloudevents/http.ts';
import { decodeJson, encodeJson } from '../../../src/eventing/cloudevents/json.ts';

// Any text without control characters, which attributes must not have.
const text = fc
  .string({ unit: 'grapheme', maxLength: 40 })
  .map((value) => value.replace(/\p{Cc}/gu, '').trim());
const nonEmpty = text.map((value) => value || 'x');
const name = fc
  .stringMatching(/^[a-z][a-z0-9]{0,19}$/)
  .filter(
    (value) =>
      ![
        'data',
        'id',
        'source',
        'type',
        'specversion',
        'time',
        'subject',
        'dataschema',
        'datacontenttype',
        'datacontentencoding',
        'schemaurl',
      ].includes(value),
  );

const attributes: fc.Arbitrary<Attributes> = fc
  .tuple(
    fc.record({ specversion: fc.constantFrom('1.0', '0.3'), id: nonEmpty, source: nonEmpty, type: nonEmpty }),
    fc.record(
      {
        subject: nonEmpty,
        time: fc
          .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
          .map((d) => d.toISOString()),
        datacontenttype: fc.constantFrom(
          'application/json',
          'text/plain',
          'application/octet-stream',
          'a/b+json; x=1',
        ),
      },
      { requiredKeys: [] },
    ),
    fc.dictionary(name, text, { maxKeys: 4 }),
  )
  .map(([required, optional, extensions]) => ({ ...extensions, ...optional, ...required }));

const anEvent: fc.Arbitrary<CloudEvent> = fc
  .tuple(attributes, fc.uint8Array({ maxLength: 64 }))
  .map(([attributes, bytes]) => ({ attributes, data: Buffer.from(bytes) }));

const jsonEventOf = (json: fc.Arbitrary<string>): fc.Arbitrary<CloudEvent> =>
  fc.tuple(attributes, json).map(([attributes, text]) => ({
    attributes: { ...attributes, datacontenttype: 'application/json' },
    data: Buffer.from(text),
  }));
const jsonEvent = jsonEventOf(fc.json());
const jsonObject = fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value));

test('an event that goes out in binary mode comes in the same', () => {
  fc.assert(
    fc.property(anEvent, (event) => {
      const { headers, body } = encodeBinary(event);
      for (const value of Object.values(headers)) assert.match(value, /^[\x20-\x7e]*$/);
      assert.deepEqual(decodeHttp(headers, body), event);
    }),
  );
});

test('an event that goes out in structured mode comes in the same', () => {
  fc.assert(
    fc.property(fc.oneof(anEvent, jsonEvent), (event) => {
      const { headers, body } = encodeStructured(event);
      assert.equal(modeOf(headers), 'structured');
      const { data, attributes } = decodeHttp(headers, body);
      assert.deepEqual(data.toString('base64'), event.data.toString('base64'));
      // JSON data without a media type get the one that the format implies.
      const implied =
        attributes['datacontenttype'] === 'application/json' && !event.attributes['datacontenttype'];
      assert.deepEqual(
        implied
          ? withAttributes({ attributes, data }, { datacontenttype: undefined }).attributes
          : attributes,
        event.attributes,
      );
    }),
  );
});

test('header values go through unchanged, whatever is in them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (value) => {
      const encoded = encodeHeaderValue(value);
      assert.match(encoded, /^[\x21-\x7e]*$/);
      assert.equal(decodeHeaderValue(encoded), value);
    }),
  );
});

test('header values are decoded leniently', () => {
  assert.equal(encodeHeaderValue('Euro € "x" 50%'), 'Euro%20%E2%82%AC%20%22x%22%2050%25');
  assert.equal(decodeHeaderValue('plain text'), 'plain text');
  assert.equal(decodeHeaderValue('"quoted \\"text\\""'), 'quoted "text"');
  assert.equal(decodeHeaderValue('100%'), '100%');
  assert.equal(decodeHeaderValue('%ff'), '%ff');
  assert.equal(decodeHeaderValue('%2520'), '%20');
  assert.equal(decodeHeaderValue(Buffer.from('ü€').toString('latin1')), 'ü€');
});

test('the SDK reads what is written here', () => {
  fc.assert(
    fc.property(jsonEventOf(jsonObject), (event) => {
      if (event.attributes.specversion !== '1.0') return;
      for (const message of [encodeBinary(event), encodeStructured(event)]) {
        const sdk = HTTP.toEvent({ headers: message.headers, body: message.body.toString() });
        assert.ok(sdk instanceof SdkEvent);
        assert.deepEqual(sdk.data, JSON.parse(event.data.toString()));
        for (const name of ['id', 'source', 'type'] as const) {
          const ours = event.attributes[name];
          // The SDK does not percent-decode headers.
          assert.ok(sdk[name] === ours || decodeHeaderValue(sdk[name]) === ours);
        }
      }
    }),
  );
});

test('what the SDK writes is read here', () => {
  const sdk = new SdkEvent({
    id: 'a-1',
    source: '/sdk',
    type: 'sdk.type',
    time: '2026-02-03T04:05:06.789Z',
    subject: 'thing',
    datacontenttype: 'application/json',
    data: { n: [1, 2, { three: true }] },
    tenant: 'acme',
  });
  for (const message of [HTTP.binary(sdk), HTTP.structured(sdk)]) {
    const headers = Object.fromEntries(
      Object.entries(message.headers).map(([key, value]) => [key.toLowerCase(), String(value)]),
    );
    const event = decodeHttp(headers, Buffer.from(String(message.body)));
    assert.equal(event.attributes.id, 'a-1');
    assert.equal(event.attributes['tenant'], 'acme');
    assert.equal(event.attributes['subject'], 'thing');
    assert.equal(event.attributes['time'], '2026-02-03T04:05:06.789Z');
    assert.deepEqual(JSON.parse(event.data.toString()), { n: [1, 2, { three: true }] });
  }
});

test('JSON data keep their bytes', () => {
  const body = Buffer.from(
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"big": 12345678901234567890,"a":"}\\""},"n":1}',
  );
  const event = decodeJson(body);
  assert.equal(event.data.toString(), '{"big": 12345678901234567890,"a":"}\\""}');
  assert.equal(event.attributes['n'], 1);
  assert.equal(event.attributes['datacontenttype'], 'application/json');
  assert.ok(encodeJson(event).includes('12345678901234567890'));
});

test('data in JSON are text, JSON or bytes, as the media type says', () => {
  const decode = (members: object): CloudEvent =>
    decodeJson(
      Buffer.from(JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't', ...members })),
    );
  assert.equal(decode({ datacontenttype: 'text/plain', data: 'hi' }).data.toString(), 'hi');
  assert.equal(decode({ datacontenttype: 'application/json', data: 'hi' }).data.toString(), '"hi"');
  assert.equal(decode({ data: 'hi' }).data.toString(), '"hi"');
  assert.equal(decode({ data_base64: 'AAH/' }).data.toString('hex'), '0001ff');
  assert.equal(decode({ data: null }).data.length, 0);
  assert.equal(decode({ subject: null }).attributes['subject'], undefined);
  const old = decode({ specversion: '0.3', datacontentencoding: 'base64', data: 'AAH/', schemaurl: '/x' });
  assert.equal(old.data.toString('hex'), '0001ff');
  assert.equal(old.attributes['datacontentencoding'], undefined);
});

const base = { specversion: '1.0', id: '1', source: '/s', type: 't' };
const invalid: [string, Record<string, string | number | boolean | undefined>, RegExp][] = [
  ['no version', { ...base, specversion: undefined }, /specversion/],
  ['unknown version', { ...base, specversion: '2.0' }, /specversion.*"2\.0"/],
  ['no id', { ...base, id: undefined }, /^id/],
  ['empty type', { ...base, type: '' }, /^type/],
  ['a number as source', { ...base, source: 1 }, /^source/],
  ['upper case name', { ...base, Tenant: 'x' }, /"Tenant"/],
  ['name with underscore', { ...base, my_name: 'x' }, /"my_name"/],
  ['name data', { ...base, data: 'x' }, /"data"/],
  ['bad time', { ...base, time: 'yesterday' }, /^time/],
  ['bad media type', { ...base, datacontenttype: 'json' }, /^datacontenttype/],
  ['relative dataschema', { ...base, dataschema: 'schema.json' }, /^dataschema/],
  ['fraction', { ...base, n: 1.5 }, /^n:/],
  ['64 bit number', { ...base, n: 2 ** 40 }, /^n:/],
  ['control character', { ...base, x: 'a\u0007' }, /^x: control/],
  ['half a surrogate pair', { ...base, x: '\ud800' }, /^x: control/],
];
for (const [what, attributes, message] of invalid) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => checkAttributes(attributes),
      (error: unknown) => {
        assert.ok(error instanceof InvalidEventError);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

const ce = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };
const refusedMessages: [string, Record<string, string>, string, RegExp][] = [
  ['no event', {}, 'hello', /not a CloudEvent/],
  ['a batch', { 'content-type': 'application/cloudevents-batch+json' }, '[]', /batch/],
  ['another format', { 'content-type': 'application/cloudevents+xml' }, '<a/>', /\+xml is not known/],
  ['broken JSON', { 'content-type': 'application/cloudevents+json' }, '{', /not JSON/],
  ['a list', { 'content-type': 'application/cloudevents+json' }, '[]', /object/],
  [
    'an object as attribute',
    { 'content-type': 'application/cloudevents+json' },
    '{"specversion":"1.0","id":{}}',
    /^id/,
  ],
  [
    'data twice',
    { 'content-type': 'application/cloudevents+json' },
    JSON.stringify({ ...base, data: 1, data_base64: 'AA==' }),
    /both/,
  ],
  [
    'bad base64',
    { 'content-type': 'application/cloudevents+json' },
    JSON.stringify({ ...base, data_base64: '*' }),
    /base64/,
  ],
  ['no type header', { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s' }, '', /^type/],
  ['a header that is no name', { ...ce, 'ce-my-name': 'x' }, '', /"my-name"/],
];
for (const [what, headers, body, message] of refusedMessages) {
  test(`refused message: ${what}`, () => {
    assert.throws(() => decodeHttp(headers, Buffer.from(body)), { name: 'InvalidEventError', message });
  });
}

test('optional headers without a value are no attributes', () => {
  const { attributes } = decodeHttp({ ...ce, 'ce-subject': '', 'ce-ext': '' }, Buffer.alloc(0));
  assert.equal('subject' in attributes, false);
  assert.equal(attributes['ext'], '');
});

test('random bytes are refused or read, never anything else', () => {
  fc.assert(
    fc.property(fc.string(), fc.json(), (junk, json) => {
      for (const body of [junk, json, `{"specversion":"1.0",${json.slice(1)}`]) {
        try {
          decodeHttp({ 'content-type': 'application/cloudevents+json' }, Buffer.from(body));
        } catch (error) {
          assert.ok(error instanceof InvalidEventError, String(error));
        }
      }
    }),
  );
});
