/** CloudEvents in HTTP messages (CloudEvents "HTTP Protocol Binding", 1.0 section 3). */
import { decodeJson, encodeJson, fromBase64 } from './json.ts';
import {
  checkAttributes,
  essence,
  InvalidEventError,
  type AttributeValue,
  type CloudEvent,
} from './event.ts';

/** Headers as `node:http` gives them: lower-case names. */
export interface Headers {
  readonly [name: string]: string | readonly string[] | undefined;
}

/** An event as an HTTP message: header names in lower case, and the body. */
export interface Message {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

const structuredJson = 'application/cloudevents+json';

/** How a message says that it carries an event; `none` when it does not. */
export function modeOf(headers: Headers): 'binary' | 'structured' | 'batch' | 'none' {
  const type = essence(one(headers['content-type']));
  if (type.startsWith('application/cloudevents-batch')) return 'batch';
  if (type.startsWith('application/cloudevents')) return 'structured';
  return headers['ce-specversion'] === undefined ? 'none' : 'binary';
}

/**
 * The event of a request or response. Bodies must be complete.
 * @throws InvalidEventError for what is no event, for batches, and for event formats other than JSON.
 */
export function decodeHttp(headers: Headers, body: Buffer): CloudEvent {
  const mode = modeOf(headers);
  if (mode === 'batch')
    throw new InvalidEventError('batched events are not accepted: send one event a request');
  if (mode === 'none') {
    throw new InvalidEventError(
      `not a CloudEvent: neither a ce-specversion header nor content type ${structuredJson}`,
    );
  }
  if (mode === 'structured') {
    const type = essence(one(headers['content-type']));
    if (type !== structuredJson && type !== 'application/cloudevents') {
      throw new InvalidEventError(`event format ${type} is not known, only ${structuredJson}`);
    }
    return decodeJson(body);
  }
  const attributes: Record<string, AttributeValue> = {};
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith('ce-') || value === undefined) continue;
    const name = header.slice('ce-'.length);
    const text = decodeHeaderValue(one(value) ?? '');
    // An optional attribute without a value is an absent one: clients do send such headers.
    if (text === '' && (name === 'subject' || name === 'time' || name === 'dataschema')) continue;
    attributes[name] = text;
  }
  const contentType = one(headers['content-type']);
  if (contentType !== undefined) attributes['datacontenttype'] = contentType;
  if (attributes['specversion'] === '0.3' && attributes['datacontentencoding'] !== undefined) {
    // Binary data that a 0.3 producer sent as text: the event has the bytes, and no encoding to speak of.
    const data = decodeBase64Data(attributes['datacontentencoding'], body);
    delete attributes['datacontentencoding'];
    return { attributes: checkAttributes(attributes), data };
  }
  return { attributes: checkAttributes(attributes), data: body };
}

function decodeBase64Data(encoding: AttributeValue, body: Buffer): Buffer {
  if (encoding !== 'base64') throw new InvalidEventError('datacontentencoding: only base64 is known');
  return fromBase64('data', body.toString('latin1'));
}

/** Binary mode: attributes in `ce-` headers, data as the body. */
export function encodeBinary(event: CloudEvent): Message {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(event.attributes)) {
    if (value === undefined) continue;
    if (name === 'datacontenttype') headers['content-type'] = String(value);
    else headers[`ce-${name}`] = encodeHeaderValue(String(value));
  }
  return { headers, body: event.data };
}

/** Structured mode: the whole event as JSON. */
export function encodeStructured(event: CloudEvent): Message {
  return { headers: { 'content-type': `${structuredJson}; charset=utf-8` }, body: encodeJson(event) };
}

/** Percent-encodes space, `"`, `%` and all beyond printable ASCII, as UTF-8 (section 3.1.3.2). */
export function encodeHeaderValue(value: string): string {
  // With the `u` flag a surrogate pair is one match, as encodeURIComponent needs it.
  return value.replace(/[^\x21\x23\x24\x26-\x7e]/gu, (c) =>
    // encodeURIComponent leaves some ASCII alone, but none of what is matched here.
    encodeURIComponent(c),
  );
}

/**
 * Undoes RFC 7230 quoting, then percent-encoding once. Sequences that are not UTF-8 stay as they are written: decoding
 * must be lenient. Raw UTF-8 in a header, which Node shows as Latin-1, is read as the UTF-8 that it is.
 */
export function decodeHeaderValue(raw: string): string {
  let value = raw;
  if (/[\x80-\xff]/.test(value)) {
    const utf8 = Buffer.from(value, 'latin1').toString('utf8');
    if (!utf8.includes('\ufffd')) value = utf8;
  }
  if (value.length >= 2 && value.startsWith('"') && value.endsWith('"')) {
    value = value.slice(1, -1).replace(/\\(.)/g, '$1');
  }
  return value.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

function one(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' || value === undefined ? value : value.join(', ');
}
