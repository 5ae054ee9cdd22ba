/**
 * A CloudEvent as Knapsack carries it: attributes by name, data as bytes. Versions 1.0 and 0.3 are both carried as they
 * came, never converted (CloudEvents specification, "Context Attributes").
 */

export type AttributeValue = string | number | boolean;

/** Attribute name → value, the four required ones included. Extensions stand beside them, as on the wire. */
export interface Attributes {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly [name: string]: AttributeValue | undefined;
}

export interface CloudEvent {
  readonly attributes: Attributes;
  /** The payload in the media type of `datacontenttype`. Empty data and no data are the same. */
  readonly data: Buffer;
}

/** Text that is not a valid event. `message` says why, in words for the producer. */
export class InvalidEventError extends Error {
  override name = 'InvalidEventError';
}

const attributeName = /^[a-z0-9]+$/;
// A control character, or half of a surrogate pair ("Type System": String).
// oxlint-disable-next-line no-control-regex -- these are the characters that the specification forbids
const forbiddenCharacters = /[\u0000-\u001f\u007f-\u009f]/;
const rfc3339 =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;
// RFC 2046 type "/" subtype, with whatever parameters.
const mediaType = /^[\w!#$&^.+-]+\/[\w!#$&^.+*-]+\s*(;.*)?$/;
const absoluteUri = /^[a-z][a-z0-9+.-]*:/i;

/** Attributes that are absent rather than empty. */
const nonEmpty = ['id', 'source', 'type', 'subject', 'dataschema', 'schemaurl', 'datacontenttype'] as const;

/**
 * Returns the attributes, checked against the rules of their `specversion`.
 * @throws InvalidEventError naming the attribute and the rule.
 */
export function checkAttributes(attributes: {
  readonly [name: string]: AttributeValue | undefined;
}): Attributes {
  const { specversion } = attributes;
  if (specversion === undefined) throw new InvalidEventError('specversion: REQUIRED');
  if (specversion !== '1.0' && specversion !== '0.3') {
    throw new InvalidEventError(
      `specversion: unknown version ${JSON.stringify(specversion)}, want 1.0 or 0.3`,
    );
  }
  for (const name of ['id', 'source', 'type'] as const) {
    if (typeof attributes[name] !== 'string')
      throw new InvalidEventError(`${name}: MUST be a non-empty string`);
  }
  for (const name of nonEmpty) {
    if (attributes[name] === '') throw new InvalidEventError(`${name}: MUST be a non-empty string`);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    if (!attributeName.test(name) || name === 'data') {
      throw new InvalidEventError(
        `${JSON.stringify(name)}: an attribute name has only lower-case letters a-z and digits, and is not "data"`,
      );
    }
    checkValue(name, value);
  }
  checkForms(attributes);
  return attributes as Attributes;
}

function checkValue(name: string, value: AttributeValue): void {
  if (typeof value === 'number' && !(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31)) {
    throw new InvalidEventError(`${name}: a number must be a whole one of 32 bits`);
  }
  if (typeof value === 'string' && (forbiddenCharacters.test(value) || !value.isWellFormed())) {
    throw new InvalidEventError(`${name}: control characters and unpaired surrogates are not allowed`);
  }
}

function checkForms({
  time,
  datacontenttype,
  dataschema,
  subject,
  schemaurl,
}: Record<string, unknown>): void {
  for (const [name, value] of Object.entries({ time, datacontenttype, dataschema, subject, schemaurl })) {
    if (value !== undefined && typeof value !== 'string')
      throw new InvalidEventError(`${name}: MUST be a string`);
  }
  if (typeof time === 'string' && !rfc3339.test(time)) {
    throw new InvalidEventError(`time: ${JSON.stringify(time)} is not an RFC 3339 time`);
  }
  if (typeof datacontenttype === 'string' && !mediaType.test(datacontenttype)) {
    throw new InvalidEventError(
      `datacontenttype: ${JSON.stringify(datacontenttype)} is not a media type (RFC 2046)`,
    );
  }
  if (typeof dataschema === 'string' && !absoluteUri.test(dataschema)) {
    throw new InvalidEventError(`dataschema: ${JSON.stringify(dataschema)} is not an absolute URI`);
  }
}

/** The event with these attributes set; `undefined` removes one. Does not check: names and values are the caller's. */
export function withAttributes(
  event: CloudEvent,
  changes: { readonly [name: string]: AttributeValue | undefined },
): CloudEvent {
  const attributes: Record<string, AttributeValue | undefined> = { ...event.attributes };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete attributes[name];
    else attributes[name] = value;
  }
  return { attributes: attributes as Attributes, data: event.data };
}

/** True for `application/json`, `text/json` and `…+json`; an absent media type means JSON (JSON event format, 3.1). */
export function isJson(contentType: unknown): boolean {
  if (contentType === undefined) return true;
  const type = essence(contentType);
  return type === 'application/json' || type === 'text/json' || type.endsWith('+json');
}

/** True for media types whose data is text beyond doubt. */
export function isText(contentType: unknown): boolean {
  const type = essence(contentType);
  return type.startsWith('text/') || type === 'application/xml' || type.endsWith('+xml');
}

/** The media type without its parameters, in lower case. */
export function essence(contentType: unknown): string {
  return typeof contentType === 'string' ? (contentType.split(';', 1)[0] ?? '').trim().toLowerCase() : '';
}
