/**
 * The OpenAPI v2 document as protobuf (`openapi.v2.Document` of google/gnostic-models), the only form in which kubectl
 * asks for it. Writes the members that our documents have.
 */
import type { Doc } from './schemas.ts';

/** Field numbers of `PathItem`. */
const methods = { get: 2, put: 3, post: 4, delete: 5, patch: 8 } as const;

export function encodeOpenApiV2(document: Doc): Buffer {
  const out = new Writer();
  const info = asDoc(document['info']);
  out.text(1, document['swagger']);
  out.message(2, (w) => {
    w.text(1, info['title']);
    w.text(2, info['version']);
  });
  out.message(8, (paths) => {
    for (const [path, item] of entries(document['paths'])) {
      named(paths, 2, path, (w) => writePathItem(w, item));
    }
  });
  out.message(9, (definitions) => {
    for (const [name, schema] of entries(document['definitions'])) {
      named(definitions, 1, name, (w) => writeSchema(w, schema));
    }
  });
  return out.finish();
}

function writePathItem(out: Writer, item: Doc): void {
  for (const [method, number] of Object.entries(methods)) {
    if (item[method]) out.message(number, (w) => writeOperation(w, asDoc(item[method])));
  }
  for (const parameter of asList(item['parameters'])) out.message(9, (w) => writeParameter(w, parameter));
}

function writeOperation(out: Writer, operation: Doc): void {
  out.text(3, operation['description']);
  out.text(5, operation['operationId']);
  out.texts(6, operation['produces']);
  out.texts(7, operation['consumes']);
  for (const parameter of asList(operation['parameters']))
    out.message(8, (w) => writeParameter(w, parameter));
  out.message(9, (responses) => {
    for (const [code, response] of entries(operation['responses'])) {
      named(responses, 1, code, (value) =>
        value.message(1, (w) => {
          w.text(1, response['description']);
          if (response['schema']) {
            w.message(2, (item) => item.message(1, (x) => writeSchema(x, asDoc(response['schema']))));
          }
        }),
      );
    }
  });
  out.texts(10, operation['schemes']);
  writeExtensions(out, 13, operation);
}

/** `ParametersItem` holding a `Parameter`: body, path or query. */
function writeParameter(out: Writer, parameter: Doc): void {
  out.message(1, (choice) => {
    if (parameter['in'] === 'body') {
      choice.message(1, (w) => {
        w.text(2, parameter['name']);
        w.text(3, 'body');
        w.flag(4, parameter['required']);
        w.message(5, (schema) => writeSchema(schema, asDoc(parameter['schema'])));
      });
      return;
    }
    const isPath = parameter['in'] === 'path';
    choice.message(2, (plain) =>
      plain.message(isPath ? 4 : 3, (w) => {
        w.flag(1, parameter['required']);
        w.text(2, parameter['in']);
        w.text(3, parameter['description']);
        w.text(4, parameter['name']);
        w.text(isPath ? 5 : 6, parameter['type']);
      }),
    );
  });
}

function writeSchema(out: Writer, schema: Doc): void {
  out.text(1, schema['$ref']);
  out.text(2, schema['format']);
  out.text(4, schema['description']);
  if (schema['default'] !== undefined) out.any(5, schema['default']);
  out.double(7, schema['maximum']);
  out.double(9, schema['minimum']);
  out.count(11, schema['maxLength']);
  out.count(12, schema['minLength']);
  out.text(13, schema['pattern']);
  out.count(14, schema['maxItems']);
  out.count(15, schema['minItems']);
  out.texts(19, schema['required']);
  if (Array.isArray(schema['enum'])) for (const value of schema['enum']) out.any(20, value);
  const additional = schema['additionalProperties'];
  if (additional) out.message(21, (w) => w.message(1, (x) => writeSchema(x, asDoc(additional))));
  if (schema['type']) out.message(22, (w) => w.text(1, schema['type']));
  if (schema['items']) out.message(23, (w) => w.message(1, (x) => writeSchema(x, asDoc(schema['items']))));
  if (schema['properties']) {
    out.message(25, (properties) => {
      for (const [name, property] of entries(schema['properties'])) {
        named(properties, 1, name, (w) => writeSchema(w, property));
      }
    });
  }
  writeExtensions(out, 31, schema);
}

function writeExtensions(out: Writer, field: number, from: Doc): void {
  for (const [key, value] of Object.entries(from)) {
    if (!key.startsWith('x-')) continue;
    out.message(field, (w) => {
      w.text(1, key);
      w.any(2, value);
    });
  }
}

/** A `Named…` pair: name (1) and value (2). */
function named(out: Writer, field: number, name: string, write: (value: Writer) => void): void {
  out.message(field, (pair) => {
    pair.text(1, name);
    pair.message(2, write);
  });
}

const asDoc = (value: unknown): Doc => (value ?? {}) as Doc;
const asList = (value: unknown): Doc[] => (value ?? []) as Doc[];
const entries = (value: unknown): [string, Doc][] => Object.entries(asDoc(value)) as [string, Doc][];

/** Appends protobuf fields to one growing buffer; a nested message's length is put in after its body is written. */
class Writer {
  #bytes: Buffer;
  #length: number;

  constructor() {
    this.#bytes = Buffer.allocUnsafe(64 * 1024);
    this.#length = 0;
  }

  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  text(field: number, value: unknown): void {
    if (typeof value !== 'string' || value === '') return;
    const size = Buffer.byteLength(value);
    this.#tag(field, 2);
    this.#varint(size);
    this.#reserve(size);
    this.#length += this.#bytes.write(value, this.#length);
  }

  texts(field: number, values: unknown): void {
    if (Array.isArray(values)) for (const value of values) this.text(field, value);
  }

  flag(field: number, value: unknown): void {
    if (value !== true) return;
    this.#tag(field, 0);
    this.#varint(1);
  }

  count(field: number, value: unknown): void {
    if (typeof value !== 'number' || value === 0) return;
    this.#tag(field, 0);
    this.#varint(value);
  }

  double(field: number, value: unknown): void {
    if (typeof value !== 'number') return;
    this.#tag(field, 1);
    this.#reserve(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
  }

  /** `Any` with its value as YAML text; JSON is YAML. */
  any(field: number, value: unknown): void {
    this.message(field, (w) => w.text(2, `${JSON.stringify(value)}\n`));
  }

  message(field: number, write: (body: this) => void): void {
    this.#tag(field, 2);
    // Four bytes hold lengths up to 256 MiB; a padded varint is valid, and saves copying every nested message.
    this.#reserve(4);
    const start = this.#length + 4;
    this.#length = start;
    write(this);
    const size = this.#length - start;
    this.#bytes[start - 4] = (size & 0x7f) | 0x80;
    this.#bytes[start - 3] = ((size >> 7) & 0x7f) | 0x80;
    this.#bytes[start - 2] = ((size >> 14) & 0x7f) | 0x80;
    this.#bytes[start - 1] = (size >> 21) & 0x7f;
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + size));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
