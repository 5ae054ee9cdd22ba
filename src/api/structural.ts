/**
 * Walks an object along its structural schema: fills defaults, removes unknown fields, finds faults of form.
 * Rules are those of apiextensions.k8s.io/v1 for custom kinds; inside Kubernetes' own types (`$ref`) they are those of
 * Kubernetes' Go decoder (null is absent, an empty `omitempty` value is absent).
 */
import type { Json } from '../base/json.ts';
import { kubernetesTypeName, omitsEmpty } from './kubernetes/schemas.ts';
import type { ResourceDef } from './resource.ts';
import type { Schema } from './schema.ts';
import { areAll, memberSchema, plainMembers, plainScalar, resolveSchema } from './structural-members.ts';

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
 * own types nulls and empty `omitempty` values, in custom kinds nulls where a default stands ready.
 * Values of a wrong type are left alone for {@link validateStructure} to report.
 */
export function applyDefaults(schema: Schema, value: unknown): void {
  fill(schema, value, false);
}

function fill(schema: Schema, value: unknown, kubernetes: boolean): void {
  if (typeof value !== 'object' || value === null) return;
  const resolved = resolveSchema(schema);
  const native = kubernetes || kubernetesTypeName(resolved) !== undefined;
  if (Array.isArray(value)) {
    const items = resolved.items;
    if (!items || plainScalar(items)) return;
    for (let i = 0; i < value.length; i++) {
      if (isQuantity(items) && typeof value[i] === 'number') value[i] = String(value[i]);
      else fill(items, value[i], native);
    }
    return;
  }
  const members = value as Members;
  const scalar = plainMembers(resolved);
  if (scalar && areAll(scalar, members)) return;
  const properties = resolved.properties;
  const defaults = defaultedProperties(resolved);
  if (defaults) for (const [name, property] of defaults) fillDefault(members, name, property);
  for (const key of Object.keys(members)) {
    const known = properties !== undefined && Object.hasOwn(properties, key);
    const member = known ? properties[key] : resolved.additionalProperties;
    if (member === undefined) continue;
    const current = members[key];
    if (current === null) {
      if (native && !member.nullable) dropNull(members, key, member, known);
    } else if (typeof current === 'object') {
      fill(member, current, native);
      if (omitsEmpty(member) && isEmpty(current)) delete members[key];
    } else if (omitsEmpty(member)) {
      if (current === '' || current === 0 || current === false) delete members[key];
    } else if (typeof current === 'number' && isQuantity(member)) {
      members[key] = String(current);
    }
  }
}

function isQuantity(schema: Schema): boolean {
  return schema.format === 'quantity';
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
