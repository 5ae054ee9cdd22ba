/**
 * Decodes request bodies of type `application/vnd.kubernetes.protobuf`, which Go clients send for Kubernetes' own
 * kinds, into the JSON form of the same object. Driven by the field numbers in the Kubernetes facts.
 *
 * Envelope (apimachinery `runtime.Unknown`): the bytes `k8s\0`, then a message with apiVersion and kind (1) and the
 * object's own encoding (2).
 */
import { isMembers } from '../../api/structural-members.ts';
import { kubernetesFacts } from '../../api/kubernetes/schemas.ts';
import { protobufType, type ProtobufField, type ScalarType } from './protobuf-types.ts';
import { ProtobufReader } from './protobuf-reader.ts';

type Members = Record<string, unknown>;

/** Deeper nesting than any Kubernetes type or sensible schema of a custom resource has; a body beyond it is hostile. */
const maxDepth = 256;

const magic = Buffer.from('k8s\0');

/**
 * The JSON form of an encoded object. Empty values that Go always sends but JSON leaves out are dropped; zeros that
 * mean something (`replicas: 0`) stay. Fields newer than the facts are skipped, as protobuf readers do.
 * Throws an Error whose message says what is wrong with the bytes.
 */
export function decodeKubernetesProtobuf(body: Buffer): Members {
  if (!body.subarray(0, 4).equals(magic)) {
    throw new Error('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  }
  const reader = new ProtobufReader(body, 4, body.length);
  let apiVersion = '';
  let kind = '';
  let raw: ProtobufReader | undefined;
  while (reader.more()) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) {
      const meta = reader.message();
      while (meta.more()) {
        const field = meta.tag();
        if (field.number === 1 && field.wire === 2) apiVersion = meta.string();
        else if (field.number === 2 && field.wire === 2) kind = meta.string();
        else meta.skip(field.wire);
      }
    } else if (number === 2 && wire === 2) raw = reader.message();
    else reader.skip(wire);
  }
  const type = typeName(apiVersion, kind);
  if (!type) throw new Error(`no kind "${kind}" is registered for version "${apiVersion}"`);
  const object = raw ? decodeMessage(raw, type, 0) : {};
  return { apiVersion, kind, ...(isMembers(object) ? object : {}) };
}

/** The facts' name of a kind: the API group's first label stands for the group (`rbac.authorization.k8s.io` → `rbac`). */
function typeName(apiVersion: string, kind: string): string | undefined {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion];
  const own = `${(group ?? '').split('.')[0]}.${version}.${kind}`;
  if (Object.hasOwn(kubernetesFacts, own)) return own;
  return kind === 'DeleteOptions' ? 'meta.v1.DeleteOptions' : undefined;
}

function decodeMessage(reader: ProtobufReader, type: string, depth: number): unknown {
  if (depth > maxDepth) throw new Error('the message is nested too deeply');
  const special = specialTypes[type];
  if (special) return special(reader, depth);
  return decodeMembers(reader, protobufType(type), depth);
}

function decodeMembers(
  reader: ProtobufReader,
  fields: ReadonlyMap<number, ProtobufField>,
  depth: number,
): Members {
  const out: Members = {};
  while (reader.more()) {
    const { number, wire } = reader.tag();
    const field = fields.get(number);
    if (!field) reader.skip(wire);
    else decodeField(reader, wire, field, out, depth);
  }
  return out;
}

function decodeField(
  reader: ProtobufReader,
  wire: number,
  field: ProtobufField,
  out: Members,
  depth: number,
): void {
  switch (field.form) {
    case 'inline': {
      const inner = decodeMessage(expectMessage(reader, wire), field.type, depth + 1);
      Object.assign(out, inner);
      return;
    }
    case 'map': {
      const [key, value] = decodeEntry(expectMessage(reader, wire), field, depth);
      setOwn(ownMembers(out, field.name), key, value);
      return;
    }
    case 'list': {
      const list = ownList(out, field.name);
      if (wire === 2 && isPackable(field)) {
        const packed = reader.message();
        while (packed.more()) list.push(decodeScalar(packed, packedWire(field.scalar), field.scalar));
        return;
      }
      const value = decodeValue(reader, wire, field, depth);
      if (value !== undefined) list.push(value);
      return;
    }
    case 'single': {
      const value = decodeValue(reader, wire, field, depth);
      if (value !== undefined && (field.keepsZero || !isZero(value))) setOwn(out, field.name, value);
    }
  }
}

function decodeValue(reader: ProtobufReader, wire: number, field: ProtobufField, depth: number): unknown {
  return field.scalar
    ? decodeScalar(reader, wire, field.scalar)
    : decodeMessage(expectMessage(reader, wire), field.type, depth + 1);
}

function decodeEntry(entry: ProtobufReader, field: ProtobufField, depth: number): [string, unknown] {
  let key = '';
  let value: unknown;
  while (entry.more()) {
    const { number, wire } = entry.tag();
    if (number === 1 && wire === 2) key = entry.string();
    else if (number === 2) value = decodeValue(entry, wire, field, depth);
    else entry.skip(wire);
  }
  return [key, value ?? emptyValue(field.scalar)];
}

function emptyValue(scalar: ScalarType | undefined): unknown {
  if (!scalar) return {};
  if (scalar === 'string' || scalar === 'bytes') return '';
  return scalar === 'bool' ? false : 0;
}

function decodeScalar(reader: ProtobufReader, wire: number, scalar: ScalarType | undefined): unknown {
  const wanted = scalar === 'double' ? 1 : scalar === 'string' || scalar === 'bytes' ? 2 : 0;
  if (wire !== wanted) throw new Error(`unexpected wire type ${wire}`);
  switch (scalar) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes().toString('base64');
    case 'double':
      return reader.double();
    case 'bool':
      return reader.varint() !== 0;
    default:
      return reader.varint();
  }
}

function expectMessage(reader: ProtobufReader, wire: number): ProtobufReader {
  if (wire !== 2) throw new Error(`unexpected wire type ${wire}`);
  return reader.message();
}

function isPackable(field: ProtobufField): boolean {
  return field.scalar !== undefined && field.scalar !== 'string' && field.scalar !== 'bytes';
}

function packedWire(scalar: ScalarType | undefined): number {
  return scalar === 'double' ? 1 : 0;
}

/** What Go's JSON encoder leaves out, for a field that is not a pointer. */
function isZero(value: unknown): boolean {
  if (value === '' || value === 0 || value === false) return true;
  return isMembers(value) && Object.keys(value).length === 0;
}

/** Assigns without ever reaching a prototype setter: map keys come from outside. */
function setOwn(target: Members, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
}

function ownMembers(out: Members, name: string): Members {
  const current = out[name];
  if (isMembers(current)) return current;
  const fresh: Members = {};
  setOwn(out, name, fresh);
  return fresh;
}

function ownList(out: Members, name: string): unknown[] {
  const current = out[name];
  if (Array.isArray(current)) return current;
  const fresh: unknown[] = [];
  setOwn(out, name, fresh);
  return fresh;
}

/** Scalar members of a small message, by number. */
function readNumbered(reader: ProtobufReader): Map<number, number | Buffer> {
  const out = new Map<number, number | Buffer>();
  while (reader.more()) {
    const { number, wire } = reader.tag();
    if (wire === 0) out.set(number, reader.varint());
    else if (wire === 2) out.set(number, reader.bytes());
    else reader.skip(wire);
  }
  return out;
}

const text = (value: number | Buffer | undefined): string => (Buffer.isBuffer(value) ? value.toString() : '');
const count = (value: number | Buffer | undefined): number => (typeof value === 'number' ? value : 0);

function decodeTime(reader: ProtobufReader, digits: 0 | 6): string | undefined {
  const parts = readNumbered(reader);
  if (parts.size === 0) return undefined;
  const seconds = count(parts.get(1));
  if (Math.abs(seconds) > 8.64e12) throw new Error('time out of range');
  const whole = new Date(seconds * 1000).toISOString().slice(0, -5);
  const micros = String(Math.floor(count(parts.get(2)) / 1000)).padStart(6, '0');
  return digits === 0 ? `${whole}Z` : `${whole}.${micros}Z`;
}

function decodeRaw(reader: ProtobufReader): unknown {
  const raw = readNumbered(reader).get(1);
  if (raw === undefined) return undefined;
  return JSON.parse(text(raw)) as unknown;
}

type SpecialType = (reader: ProtobufReader, depth: number) => unknown;

/** `JSONSchemaPropsOr…`: a schema at `schemaNumber`, or else what the field at `number` holds; JSON has it bare. */
function schemaOr(schemaNumber: number, number: number, other: Partial<ProtobufField>): SpecialType {
  const plain = { form: 'single', scalar: undefined, type: '', keepsZero: true } as const;
  const fields = new Map<number, ProtobufField>([
    [schemaNumber, { ...plain, name: 'schema', type: schemaProps }],
    [number, { ...plain, name: 'other', ...other }],
  ]);
  return (reader, depth) => {
    const members = decodeMembers(reader, fields, depth);
    return members['schema'] ?? members['other'];
  };
}

const schemaProps = 'apiextensions.v1.JSONSchemaProps';

/** Types whose JSON form is not their members (custom marshalling in Go). */
const specialTypes: { readonly [type: string]: SpecialType | undefined } = {
  'meta.v1.Time': (reader) => decodeTime(reader, 0),
  'meta.v1.MicroTime': (reader) => decodeTime(reader, 6),
  'api.resource.Quantity': (reader) => text(readNumbered(reader).get(1)) || '0',
  'runtime.RawExtension': decodeRaw,
  'meta.v1.FieldsV1': decodeRaw,
  'apiextensions.v1.JSON': decodeRaw,
  'apiextensions.v1.JSONSchemaPropsOrBool': schemaOr(2, 1, { scalar: 'bool' }),
  'apiextensions.v1.JSONSchemaPropsOrArray': schemaOr(1, 2, { form: 'list', type: schemaProps }),
  'apiextensions.v1.JSONSchemaPropsOrStringArray': schemaOr(1, 2, { form: 'list', scalar: 'string' }),
  'util.intstr.IntOrString': (reader) => {
    const parts = readNumbered(reader);
    return count(parts.get(1)) === 1 ? text(parts.get(3)) : count(parts.get(2));
  },
  // A named list of strings (UserInfo.extra): one repeated field.
  'list of strings': (reader) => {
    const out: string[] = [];
    while (reader.more()) {
      const { number, wire } = reader.tag();
      if (number === 1 && wire === 2) out.push(reader.string());
      else reader.skip(wire);
    }
    return out;
  },
};
