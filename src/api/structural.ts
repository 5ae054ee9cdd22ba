/**
 * Walks an object along its structural schema: fills defaults, removes unknown fields, finds faults of form.
 * Rules are those of apiextensions.k8s.io/v1 for custom kinds; inside Kubernetes' own types (`$ref`) they are those of
 * Kubernetes' Go decoder (null is absent, an empty `omitempty` value is absent).
 */
import type { Json } from '../base/json.ts';
import { canonicalQuantity } from './kubernetes/exact-quantity.ts';
import { kubernetesTypeName, omitsEmpty, timeType, writtenMembers } from './kubernetes/schemas.ts';
import type { ResourceDef } from './resource.ts';
import type { Schema } from './schema.ts';
import { areAll, memberSchema, plainMembers, plainScalar, resolveSchema } from './structural-members.ts';
import { canonicalTime } from './times.ts';

export { isMembers, memberSchema, resolveSchema } from './structural-members.ts';
export { typeIssues, validateStructure } from './structural-validation.ts';

type Members = Record<string, unknown>;

const wholeSchemas = new WeakMap<Schema, Schema>();

/** The schema of a whole object of the resource: with apiVersion, kind and ObjectMeta. The same value on every call. */
export function resourceSchema(def: ResourceDef): Schema {
  let whole = wholeSchemas.get(def.schema);
  if (!whole) {
    const own = resolveSchema(def.schema);
    const complete = own.properties?.['apiVersion'] && own.properties['kind'] && own.properties['metadata'];
    whole = complete
      ? own
      : {
          ...own,
          type: 'object',
          properties: {
            apiVersion: { type: 'string' },
            kind: { type: 'string' },
            metadata: { $ref: 'meta.v1.ObjectMeta' },
            ...own.properties,
          },
        };
    wholeSchemas.set(def.schema, whole);
  }
  return whole;
}

/**
 * Fills the schema's defaults in place. Before that it removes what Kubernetes' decoder would not see: in Kubernetes'
 * own types nulls and empty `omitempty` values, in custom kinds nulls where a default stands ready. Kubernetes' own kinds
 * get what Go's encoder always writes, on which clients rely (`job.status.succeeded`). Times of Kubernetes' own types and
 * the quantities in its own kinds get their one spelling. Values of a wrong type are left alone for {@link validateStructure} to report.
 */
export function applyDefaults(schema: Schema, value: unknown): void {
  fill(schema, value, { native: false, builtin: kubernetesTypeName(resolveSchema(schema)) !== undefined });
}

/**
 * What Go's encoder writes of an object of one of Kubernetes' own kinds before anybody has set anything: structs, and null
 * where something required is to be. Undefined for other schemas.
 */
export function emptyObject(schema: Schema): Members | undefined {
  const resolved = resolveSchema(schema);
  if (kubernetesTypeName(resolved) === undefined || !resolved.properties) return undefined;
  const empty: Members = {};
  for (const name of [...(resolved.required ?? []), ...writtenMembers(resolved).map(({ name }) => name)]) {
    const member = resolved.properties[name];
    empty[name] = (member && emptyObject(member)) ?? null;
  }
  return empty;
}

/** Whether the walk is inside one of Kubernetes' own types, and whether the whole object is of one. */
interface FillPlace {
  readonly native: boolean;
  readonly builtin: boolean;
}

function fill(schema: Schema, value: unknown, place: FillPlace): void {
  if (typeof value !== 'object' || value === null) return;
  const resolved = resolveSchema(schema);
  const native = place.native || kubernetesTypeName(resolved) !== undefined;
  const inside = native === place.native ? place : { ...place, native };
  if (Array.isArray(value)) {
    const items = resolved.items;
    if (!items || plainScalar(items)) return;
    for (let i = 0; i < value.length; i++) {
      if (isQuantity(items)) value[i] = quantity(value[i], place);
      else fill(items, value[i], inside);
    }
    return;
  }
  const members = value as Members;
  const scalar = plainMembers(resolved);
  if (scalar && areAll(scalar, members)) return;
  const properties = resolved.properties;
  const defaults = defaultedProperties(resolved);
  if (defaults) for (const [name, property] of defaults) fillDefault(members, name, property);
  if (place.builtin) {
    for (const { name, zero } of writtenMembers(resolved)) members[name] ??= zero === 'struct' ? {} : zero;
  }
  for (const key of Object.keys(members)) {
    const known = properties !== undefined && Object.hasOwn(properties, key);
    const member = known ? properties[key] : resolved.additionalProperties;
    if (member === undefined) continue;
    const current = members[key];
    if (current === null) {
      if (native && !member.nullable) dropNull(members, key, member, known);
    } else if (typeof current === 'object') {
      fill(member, current, inside);
      if (omitsEmpty(member) && isEmpty(current)) delete members[key];
    } else if (omitsEmpty(member)) {
      if (current === '' || current === 0 || current === false) delete members[key];
    } else if (isQuantity(member)) {
      members[key] = quantity(current, place);
    } else if (typeof current === 'string' && member.format === 'date-time') {
      const type = timeType(member);
      const kept = type ? canonicalTime(type, current) : current;
      // Entries of managedFields are frozen, and right.
      if (kept !== current) members[key] = kept;
    }
  }
}

function isQuantity(schema: Schema): boolean {
  return schema.format === 'quantity';
}

/** A number is taken for its digits; in Kubernetes' own kinds `1000m` becomes `1`, as Go's encoder has it. */
function quantity(value: unknown, place: FillPlace): unknown {
  if (typeof value !== 'number' && typeof value !== 'string') return value;
  const text = String(value);
  return place.builtin ? canonicalQuantity(text) : text;
}

function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}

/** A null member is absent; a null value of a Go map is the zero value of its type. */
function dropNull(members: Members, key: string, member: Schema, known: boolean): void {
  if (known) delete members[key];
  else if (member.type === 'string') members[key] = '';
  else if (resolveSchema(member).type === 'object') members[key] = {};
}

function fillDefault(members: Members, name: string, property: Schema): void {
  const current = members[name];
  if (current === undefined || (current === null && !property.nullable)) {
    members[name] = cloneJson(property.default ?? null);
  }
}

const defaultsCache = new WeakMap<Schema, readonly (readonly [string, Schema])[]>();

function defaultedProperties(schema: Schema): readonly (readonly [string, Schema])[] | undefined {
  if (!schema.properties) return undefined;
  let list = defaultsCache.get(schema);
  if (!list) {
    list = Object.entries(schema.properties).filter(([, property]) => property.default !== undefined);
    defaultsCache.set(schema, list);
  }
  return list;
}

function cloneJson(value: Json): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return (value as readonly Json[]).map(cloneJson);
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, cloneJson(child ?? null)]));
}

/**
 * Removes, in place, members that the schema does not know, and returns their paths (`spec.containers[0].bar`).
 * `x-kubernetes-preserve-unknown-fields` keeps what is unknown but still looks into what is known; a custom kind's
 * `type: object` without properties keeps nothing, as on a real cluster.
 */
export function prune(schema: Schema, value: unknown): string[] {
  const removed: string[] = [];
  pruneAt(schema, value, '', removed);
  return removed;
}

function pruneAt(schema: Schema, value: unknown, path: string, removed: string[]): void {
  if (typeof value !== 'object' || value === null) return;
  const resolved = resolveSchema(schema);
  if (Array.isArray(value)) {
    const items = resolved.items;
    if (items && !plainScalar(items))
      value.forEach((item, i) => pruneAt(items, item, `${path}[${i}]`, removed));
    return;
  }
  if (!resolved.type && !resolved.properties && !resolved.additionalProperties) return;
  if (plainMembers(resolved)) return;
  const keepsUnknown = resolved['x-kubernetes-preserve-unknown-fields'] === true;
  const embedded = resolved['x-kubernetes-embedded-resource'] === true;
  const members = value as Members;
  for (const key of Object.keys(members)) {
    const member = (embedded ? embeddedMember(key) : undefined) ?? memberSchema(resolved, key);
    const at = path === '' ? key : `${path}.${key}`;
    if (member) {
      pruneAt(member, members[key], at, removed);
    } else if (!keepsUnknown) {
      delete members[key];
      removed.push(at);
    }
  }
}

const metadataSchema: Schema = { $ref: 'meta.v1.ObjectMeta' };
const stringSchema: Schema = { type: 'string' };

/** What any object has, whatever the schema of its definition says of it besides. */
function embeddedMember(key: string): Schema | undefined {
  if (key === 'metadata') return metadataSchema;
  return key === 'apiVersion' || key === 'kind' ? stringSchema : undefined;
}
