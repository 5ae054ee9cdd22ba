/** Field tables of Kubernetes' protobuf messages, made from the facts when a type is first met. */
import { kubernetesFacts } from '../../api/kubernetes/schemas.ts';

export type ScalarType = 'string' | 'bytes' | 'bool' | 'int' | 'double';

export interface ProtobufField {
  readonly name: string;
  /** `inline`: a message whose members are JSON members of the outer type (Go embedded struct). */
  readonly form: 'single' | 'list' | 'map' | 'inline';
  /** Of the value, list item or map value; undefined for messages. */
  readonly scalar: ScalarType | undefined;
  /** Message type by its name in the facts; empty for scalars. */
  readonly type: string;
  /** A zero value on the wire means something (the Go field is a pointer or always encoded). */
  readonly keepsZero: boolean;
}

type Fields = ReadonlyMap<number, ProtobufField>;

/** `[number, name, type, 0 single · 1 list · 2 map, keeps zero]`, as the facts list messages that JSON does not have. */
type RawField = readonly [number, string, string, number, number];

const cache = new Map<string, Fields>();

/** The fields of a message by number. `type` is a name in the facts, or of a message known to protobuf alone. */
export function protobufType(type: string): Fields {
  let fields = cache.get(type);
  if (!fields) {
    fields = new Map(protobufOnly(type)?.map(rawEntry) ?? jsonTypeEntries(type));
    cache.set(type, fields);
  }
  return fields;
}

function rawEntry(field: RawField): [number, ProtobufField] {
  const [number, name, type, form, keepsZero] = field;
  const list = form === 1 ? `[${factName(type)}]` : form === 2 ? `{${factName(type)}}` : factName(type);
  return [number, makeField(name, list, keepsZero === 1)];
}

function jsonTypeEntries(type: string): [number, ProtobufField][] {
  const fact = kubernetesFacts[type];
  if (!fact) throw new Error(`no type ${type}`);
  const out: [number, ProtobufField][] = [];
  for (const [name, value] of Object.entries(fact)) {
    if (typeof value !== 'object' || !('t' in value) || value.n === undefined) continue;
    out.push([value.n, makeField(name, value.t, value.p === 1)]);
  }
  for (const extra of (fact['+'] ?? []) as readonly (readonly [number, string, string])[]) {
    const field = extraField(type, extra);
    if (field) out.push([extra[0], field]);
  }
  return out;
}

/**
 * A protobuf field without a JSON field of the same name: either an embedded Go struct, or a field whose spelling
 * differs in case alone (`uID`, `Webhooks`), or one that is newer than the JSON facts and is skipped.
 */
function extraField(type: string, extra: readonly [number, string, string]): ProtobufField | undefined {
  const [, protobufName, messageType] = extra;
  const fact = kubernetesFacts[type] ?? {};
  const unnumbered = Object.entries(fact).flatMap(([name, value]) =>
    typeof value === 'object' && 't' in value && value.n === undefined ? [{ name, value }] : [],
  );
  const respelt = unnumbered.find(({ name }) => name.toLowerCase() === protobufName.toLowerCase());
  if (respelt) return makeField(respelt.name, respelt.value.t, respelt.value.p === 1);
  const inner = innerNames(messageType);
  const names = new Set(unnumbered.map(({ name }) => name));
  if (inner.length === 0 || !inner.every((name) => names.has(name))) return undefined;
  return { name: '', form: 'inline', scalar: undefined, type: factName(messageType), keepsZero: true };
}

function innerNames(messageType: string): string[] {
  const raw = protobufOnly(factName(messageType));
  if (raw) return raw.map(([, name]) => name);
  const fact = kubernetesFacts[factName(messageType)];
  return Object.entries(fact ?? {}).flatMap(([name, value]) =>
    typeof value === 'object' && 't' in value ? [name] : [],
  );
}

function protobufOnly(type: string): readonly RawField[] | undefined {
  const all = kubernetesFacts['_protobuf_only'] as
    | { readonly [type: string]: readonly RawField[] }
    | undefined;
  return all?.[type];
}

/** Message names are written with their package path; the facts use the path's last three labels for JSON types. */
function factName(messageType: string): string {
  if (protobufOnly(messageType)) return messageType;
  return messageType.replace(/^apimachinery\.pkg\.(apis\.)?/, '').replace(/^api\.(?=[a-z0-9]+\.v\d)/, '');
}

function makeField(name: string, t: string, keepsZero: boolean): ProtobufField {
  if (t.startsWith('[')) return { ...makeField(name, t.slice(1, -1), keepsZero), form: 'list' };
  if (t.startsWith('{[')) {
    return { name, form: 'map', scalar: undefined, type: 'list of strings', keepsZero };
  }
  if (t.startsWith('{')) return { ...makeField(name, t.slice(1, -1), keepsZero), form: 'map' };
  const scalar = scalars[t];
  return { name, form: 'single', scalar, type: scalar ? '' : t, keepsZero };
}

/** Spellings of both the JSON facts and the protobuf-only ones. */
const scalars: { readonly [t: string]: ScalarType | undefined } = {
  string: 'string',
  'string:byte': 'bytes',
  bytes: 'bytes',
  boolean: 'bool',
  bool: 'bool',
  'integer:int32': 'int',
  'integer:int64': 'int',
  int32: 'int',
  int64: 'int',
  'number:double': 'double',
};
