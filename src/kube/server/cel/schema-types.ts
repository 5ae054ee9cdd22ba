/** The CEL types of what a structural schema describes (apiextensions-apiserver `pkg/apiserver/schema/cel/model`). */
import type { Schema } from '../../../api/schema.ts';
import {
  bool,
  double,
  duration,
  dyn,
  int,
  largestSize,
  listOf,
  mapOf,
  string,
  timestamp,
  type CelType,
  type FieldType,
} from './types.ts';

const reserved = new Set([
  'as',
  'break',
  'const',
  'continue',
  'else',
  'false',
  'for',
  'function',
  'if',
  'import',
  'in',
  'let',
  'loop',
  'namespace',
  'null',
  'package',
  'return',
  'true',
  'var',
  'void',
  'while',
]);
/** These are no names at all; the others may stand behind a dot as they are. */
const literals = new Set(['false', 'in', 'null', 'true']);

/** How an expression writes a property: `x-y` is `x__dash__y`. Undefined where it cannot. */
export function escapeProperty(property: string): string | undefined {
  if (reserved.has(property)) return `__${property}__`;
  const escaped = property
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
  return /^[A-Za-z_]\w*$/.test(escaped) ? escaped : undefined;
}

const types = new WeakMap<Schema, CelType | 'none'>();

/** The type of `self` at a place of a schema. `root`: it is a whole object. */
export function selfType(schema: Schema, root: boolean): CelType {
  return schemaType(schema, 'self', root);
}

/** `root`: the schema of a whole object, which has a kind and a name; also that of an embedded one. */
function schemaType(schema: Schema, path: string, root = false): CelType {
  return knownType(schema, path, root) ?? dyn;
}

/** Undefined where a schema says nothing of a value: expressions cannot see it. */
function knownType(schema: Schema, path: string, root: boolean): CelType | undefined {
  let type = types.get(schema);
  if (!type) {
    type = makeType(schema, path, root) ?? 'none';
    types.set(schema, type);
  }
  return type === 'none' ? undefined : type;
}

function makeType(schema: Schema, path: string, root: boolean): CelType | undefined {
  if (schema['x-kubernetes-int-or-string']) return dyn;
  switch (schema.type) {
    case 'object':
      return objectType(schema, path, root || schema['x-kubernetes-embedded-resource'] === true);
    case 'array':
      return listType(schema, path);
    case 'string':
      return textType(schema);
    case 'integer':
      return int;
    case 'number':
      return double;
    case 'boolean':
      return bool;
    default:
      return root ? objectType(schema, path, true) : undefined;
  }
}

function objectType(schema: Schema, path: string, whole: boolean): CelType | undefined {
  const { additionalProperties, properties } = schema;
  if (additionalProperties) {
    const value = knownType(additionalProperties, `${path}.@value`, false);
    if (!value) return undefined;
    return mapOf(string, value, schema.maxProperties ?? most(6 + leastSize(additionalProperties)));
  }
  const fields = new Map<string, FieldType>();
  for (const [property, child] of Object.entries(properties ?? {})) {
    const name = escapeProperty(property);
    const type = knownType(child, `${path}.${property}`, false);
    if (name === undefined || !type) continue;
    fields.set(name, { property, type });
    if (reserved.has(property) && !literals.has(property))
      fields.set(property, { property, type, isAlias: true });
  }
  if (whole) {
    fields.set('apiVersion', { property: 'apiVersion', type: shortText });
    fields.set('kind', { property: 'kind', type: shortText });
    const own = fields.get('metadata')?.type;
    fields.set('metadata', { property: 'metadata', type: own ? withNames(own) : metadataType });
  }
  return { kind: 'object', name: path, fields };
}

const shortText: CelType = { kind: 'string', max: 317 };
const metadataType: CelType = {
  kind: 'object',
  name: 'ObjectMeta',
  fields: new Map([
    ['name', { property: 'name', type: { kind: 'string', max: 253 } }],
    ['generateName', { property: 'generateName', type: { kind: 'string', max: 253 } }],
  ]),
};

/** What an embedded object says of its metadata, and the names that it has anyway. */
function withNames(type: CelType): CelType {
  if (type.kind !== 'object' || metadataType.kind !== 'object') return metadataType;
  return { ...type, fields: new Map([...type.fields, ...metadataType.fields]) };
}

function listType(schema: Schema, path: string): CelType | undefined {
  const items = schema.items ?? {};
  const element = knownType(items, `${path}.@idx`, false);
  if (!element) return undefined;
  const list = listOf(element, schema.maxItems ?? most(1 + leastSize(items)));
  const kind = schema['x-kubernetes-list-type'];
  if (kind === 'set') return { ...list, identity: { keys: undefined } } as CelType;
  if (kind === 'map')
    return { ...list, identity: { keys: schema['x-kubernetes-list-map-keys'] ?? [] } } as CelType;
  return list;
}

function textType(schema: Schema): CelType {
  switch (schema.format) {
    case 'byte':
      return { kind: 'bytes', max: schema.maxLength ?? largestSize };
    case 'duration':
      return duration;
    case 'date':
    case 'date-time':
    case 'datetime':
      return timestamp;
    default:
  }
  if (schema.enum) {
    const lengths = schema.enum.map((value) => (typeof value === 'string' ? value.length : 0));
    return { kind: 'string', max: Math.max(...lengths) };
  }
  return { kind: 'string', max: schema.maxLength ?? largestSize };
}

/** How many values of the schema fit into a request. */
export function mostInRequest(schema: Schema): number {
  return most(leastSize(schema) + 1);
}

/** How many elements of so many bytes fit into a request. */
function most(bytes: number): number {
  return Math.floor(largestSize / bytes);
}

/** The fewest bytes that a value takes as JSON. */
function leastSize(schema: Schema): number {
  switch (schema.type) {
    case 'string':
      return 2 + (schema.minLength ?? 0);
    case 'boolean':
      return 4;
    case 'integer':
    case 'number':
      return 1;
    case 'array':
      return 2;
    case 'object': {
      const required = (schema.required ?? []).reduce((sum, name) => {
        const child = schema.properties?.[name];
        return sum + (child ? name.length + 4 + leastSize(child) : 0);
      }, 0);
      return 2 + required;
    }
    default:
      return 1;
  }
}
