/** The JSON event format (CloudEvents "JSON Event Format", 1.0; for 0.3 its `datacontentencoding` way of binary data). */
import { isUtf8 } from 'node:buffer';
import {
  checkAttributes,
  InvalidEventError,
  isJson,
  isText,
  type AttributeValue,
  type CloudEvent,
} from './event.ts';

/**
 * One event of JSON text. The data keeps its bytes: a JSON payload is cut out of the text as it stands, so that numbers
 * past 2^53 and member order survive.
 * @throws InvalidEventError
 */
export function decodeJson(body: Buffer): CloudEvent {
  const text = body.toString('utf8');
  const members = parseObject(text);
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(members)) {
    // null means absent.
    if (name === 'data' || name === 'data_base64' || value === null) continue;
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      throw new InvalidEventError(`${name}: an attribute is a string, a boolean or a whole number`);
    }
    attributes[name] = value;
  }
  if (attributes['specversion'] === '0.3') {
    // In 0.3 the encoding is an attribute that speaks of this representation only; the decoded event has bytes.
    const encoding = attributes['datacontentencoding'];
    if (encoding !== undefined && encoding !== 'base64') {
      throw new InvalidEventError('datacontentencoding: only base64 is known');
    }
    delete attributes['datacontentencoding'];
    const data = encoding
      ? fromBase64('data', members['data'])
      : dataOf(text, members['data'], attributes['datacontenttype']);
    return { attributes: checkAttributes(attributes), data };
  }
  if ('data_base64' in members && members['data_base64'] !== null) {
    if ('data' in members && members['data'] !== null) {
      throw new InvalidEventError('data and data_base64 must not both be present');
    }
    return {
      attributes: checkAttributes(attributes),
      data: fromBase64('data_base64', members['data_base64']),
    };
  }
  const data = dataOf(text, members['data'], attributes['datacontenttype']);
  // "An event without datacontenttype is equal to one of application/json"; said aloud, it survives binary mode.
  if (data.length > 0) attributes['datacontenttype'] ??= 'application/json';
  return { attributes: checkAttributes(attributes), data };
}

/** The event as JSON text. JSON data stand in it as they are, text as a string, all else in base64. */
export function encodeJson(event: CloudEvent): Buffer {
  const { attributes, data } = event;
  const head = JSON.stringify(attributes);
  if (data.length === 0) return Buffer.from(head);
  const open = head.slice(0, -1);
  const type = attributes['datacontenttype'];
  if (isUtf8(data)) {
    // A member that is null is an absent one, so the JSON text null needs the other way.
    if (isJson(type) && isJsonText(data) && data.toString().trim() !== 'null') {
      return Buffer.concat([Buffer.from(`${open},"data":`), data, Buffer.from('}')]);
    }
    if (type !== undefined && !isJson(type) && isText(type)) {
      return Buffer.from(`${open},"data":${JSON.stringify(data.toString('utf8'))}}`);
    }
  }
  const base64 = JSON.stringify(data.toString('base64'));
  return Buffer.from(
    attributes.specversion === '0.3'
      ? `${open},"datacontentencoding":"base64","data":${base64}}`
      : `${open},"data_base64":${base64}}`,
  );
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidEventError(`the body is not JSON: ${error instanceof Error ? error.message : ''}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidEventError('the body must be a JSON object');
  }
  return value as Record<string, unknown>;
}

function dataOf(text: string, value: unknown, contentType: AttributeValue | undefined): Buffer {
  if (value === undefined || value === null) return Buffer.alloc(0);
  // A string under a media type that is not JSON is the text itself, not a JSON string.
  if (typeof value === 'string' && !isJson(contentType)) return Buffer.from(value);
  return Buffer.from(memberText(text, 'data'));
}

/** @throws InvalidEventError naming `name` when the value is not base64. */
export function fromBase64(name: string, value: unknown): Buffer {
  if (value === undefined || value === null) return Buffer.alloc(0);
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/\-_]*={0,2}$/.test(value)) {
    throw new InvalidEventError(`${name}: not base64`);
  }
  return Buffer.from(value, 'base64');
}

function isJsonText(data: Buffer): boolean {
  try {
    JSON.parse(data.toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

/** The source text of a member of the outermost object; the last one wins, as for JSON.parse. `text` is valid JSON. */
function memberText(text: string, member: string): string {
  let found = '';
  let depth = 0;
  let key: string | undefined;
  let valueStart = -1;
  let i = 0;
  while (i < text.length) {
    const c = text[i];
    if (c === '"') {
      const end = stringEnd(text, i);
      if (depth === 1 && valueStart < 0) key = JSON.parse(text.slice(i, end)) as string;
      i = end;
      continue;
    }
    if (c === '{' || c === '[') depth++;
    else if (c === ':' && depth === 1) valueStart = i + 1;
    else if (c === '}' || c === ']') depth--;
    if ((c === ',' && depth === 1) || (c === '}' && depth === 0)) {
      if (key === member) found = text.slice(valueStart, i).trim();
      valueStart = -1;
    }
    i++;
  }
  return found;
}

/** Index after the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}
