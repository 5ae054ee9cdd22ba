/** Structural schemas of Kubernetes' own types, made from the wire facts in `facts.json` the first time each is asked for. */
import type { Schema } from '../schema.ts';
import type { TimeType } from '../times.ts';
import facts from './facts.json' with { type: 'json' };

/** One field of a Kubernetes type on the wire; `facts.json` explains the members under `_read_me`. */
export interface FieldFact {
  /** `[x]` list, `{x}` map, a scalar with format (`integer:int32`), or the short name of another type. */
  readonly t: string;
  readonly req?: 1;
  readonly list?: 'atomic' | 'set' | 'map';
  readonly keys?: readonly string[];
  readonly mergeKey?: string;
  readonly strategy?: string;
  readonly map?: 'atomic' | 'granular';
  /** Protobuf field number; absent on fields that Go inlines. */
  readonly n?: number;
  /** 1: the zero value means something (pointer, or without `omitempty`). */
  readonly p?: 1;
}

type TypeFact = { readonly [field: string]: FieldFact | string | readonly unknown[] | undefined };

/** All facts by short type name (`core.v1.PodSpec`). */
export const kubernetesFacts = facts as unknown as { readonly [type: string]: TypeFact | undefined };

const quantityPattern = '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$';

const cache = new Map<string, Schema>();
const omitted = new WeakSet<Schema>();
const names = new WeakMap<Schema, string>();
const times = new WeakMap<Schema, TimeType>();
const written = new WeakMap<Schema, readonly WrittenMember[]>();

/**
 * The schema of a Kubernetes type by its short name (`core.v1.PodSpec`, `api.resource.Quantity`). Other types inside it
 * stay `$ref`s. Throws on a name that the facts do not have: that is a mistake in code, never input.
 */
export function kubernetesSchema(name: string): Schema {
  let schema = cache.get(name);
  if (!schema) {
    schema = build(name);
    names.set(schema, name);
    cache.set(name, schema);
  }
  return schema;
}

/** The short name of the Kubernetes type that a schema from {@link kubernetesSchema} describes. */
export function kubernetesTypeName(schema: Schema): string | undefined {
  return names.get(schema);
}

/** True for a property that Go's encoder leaves out when it is empty (`omitempty` on a value, not on a pointer). */
export function omitsEmpty(property: Schema): boolean {
  return omitted.has(property);
}

/** Which type of Kubernetes a property has that is a point in time. */
export function timeType(property: Schema): TimeType | undefined {
  return times.get(property);
}

/** A member that Go's encoder writes though nobody set it. */
export interface WrittenMember {
  readonly name: string;
  /** What it writes; a struct is written as `{}` with what is always written in it. */
  readonly zero: 'struct' | '' | 0 | false;
}

/**
 * What Go's encoder always writes of a type from {@link kubernetesSchema}: structs without a pointer and, in the types of
 * status, required scalars. Elsewhere an absent one of those is the client's fault, which validation tells.
 */
export function writtenMembers(schema: Schema): readonly WrittenMember[] {
  return written.get(schema) ?? [];
}

function build(name: string): Schema {
  const fact = kubernetesFacts[name];
  if (!fact) throw new Error(`no Kubernetes type ${name}`);
  if (name === 'api.resource.Quantity') {
    return { 'x-kubernetes-int-or-string': true, pattern: quantityPattern, format: 'quantity' };
  }
  const alias = fact['='];
  if (typeof alias === 'string') return scalarAlias(alias);
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  const present: WrittenMember[] = [];
  for (const [field, value] of Object.entries(fact)) {
    if (!isField(value)) continue;
    const property = fieldSchema(value);
    properties[field] = property;
    if (value.req) required.push(field);
    if (value.t === 'meta.v1.Time') times.set(property, 'Time');
    if (value.t === 'meta.v1.MicroTime') times.set(property, 'MicroTime');
    if (value.req && statusTypes.test(name)) {
      const zero = zeroOf(property);
      if (zero !== undefined) present.push({ name: field, zero });
    }
    if (value.n === undefined || value.p) continue;
    if (isOmittable(value.t)) omitted.add(property);
    else if (property.$ref !== undefined) present.push({ name: field, zero: 'struct' });
  }
  const schema: Schema = { type: 'object', properties, ...(required.length ? { required } : {}) };
  if (present.length > 0) written.set(schema, present);
  return schema;
}

/** Types that are found in a status alone. */
const statusTypes = /Status$|^core\.v1\.(DaemonEndpoint|NodeSystemInfo)$/;

function zeroOf({ type, format }: Schema): '' | 0 | false | undefined {
  if (type === 'integer') return 0;
  if (type === 'boolean') return false;
  return type === 'string' && format === undefined ? '' : undefined;
}

function isField(value: TypeFact[string]): value is FieldFact {
  return typeof value === 'object' && 't' in value;
}

/** Structs are always encoded by Go, empty or not; scalars, lists and maps are what `omitempty` acts on. */
function isOmittable(t: string): boolean {
  if (t.startsWith('[') || t.startsWith('{')) return true;
  return kubernetesFacts[t] === undefined;
}

function fieldSchema(fact: FieldFact): Schema {
  return {
    ...typeSchema(fact.t),
    ...(fact.list ? { 'x-kubernetes-list-type': fact.list } : {}),
    ...(fact.keys ? { 'x-kubernetes-list-map-keys': fact.keys } : {}),
    ...(fact.mergeKey ? { 'x-kubernetes-patch-merge-key': fact.mergeKey } : {}),
    ...(fact.strategy ? { 'x-kubernetes-patch-strategy': fact.strategy } : {}),
    ...(fact.map ? { 'x-kubernetes-map-type': fact.map } : {}),
  };
}

function typeSchema(t: string): Schema {
  if (t.startsWith('[')) return { type: 'array', items: typeSchema(t.slice(1, -1)) };
  if (t.startsWith('{')) return { type: 'object', additionalProperties: typeSchema(t.slice(1, -1)) };
  const fact = kubernetesFacts[t];
  if (!fact) return scalar(t);
  // The `$ref` type of Schema lists the types that have members; scalar aliases are written out in place.
  return fact['='] === undefined ? { $ref: t as NonNullable<Schema['$ref']> } : kubernetesSchema(t);
}

function scalarAlias(alias: string): Schema {
  if (alias === 'object') return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  if (alias === 'any') return { 'x-kubernetes-preserve-unknown-fields': true };
  if (alias === 'string:int-or-string') return { 'x-kubernetes-int-or-string': true };
  return scalar(alias);
}

function scalar(t: string): Schema {
  const [type, format] = t.split(':');
  return { type: type as NonNullable<Schema['type']>, ...(format ? { format } : {}) };
}
