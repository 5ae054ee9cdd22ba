/** How the structural walkers look into a schema. */
import { kubernetesSchema } from './kubernetes/schemas.ts';
import type { Schema } from './schema.ts';

/** True for a JSON object (not null, not a list). */
export function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Follows `$ref`. */
export function resolveSchema(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : kubernetesSchema(schema.$ref);
}

const scalars = { string: 'string', number: 'number', boolean: 'boolean' } as const;
/** Members of a schema that ask for nothing. */
const silent = new Set(['type', 'description', 'title', 'example']);
const plain = new WeakMap<Schema, ScalarName | 'none'>();

type ScalarName = (typeof scalars)[keyof typeof scalars];

/** What `typeof` must say of a value, for a schema that asks for nothing else; undefined for other schemas. */
export function plainScalar(schema: Schema): ScalarName | undefined {
  let name = plain.get(schema);
  if (!name) {
    const isPlain = Object.keys(schema).every((key) => silent.has(key));
    name = (isPlain && schema.type && scalars[schema.type as keyof typeof scalars]) || 'none';
    plain.set(schema, name);
  }
  return name === 'none' ? undefined : name;
}

/**
 * What `typeof` must say of every member of a map whose schema says no more of them. Large objects are mostly such maps:
 * one look at them spares a walk.
 */
export function plainMembers({ properties, additionalProperties }: Schema): ScalarName | undefined {
  return properties || !additionalProperties ? undefined : plainScalar(additionalProperties);
}

/** Whether `typeof` says the same of all members of an object, or items of a list. */
export function areAll(
  name: ScalarName,
  values: Readonly<Record<string, unknown>> | readonly unknown[],
): boolean {
  if (Array.isArray(values)) {
    for (const item of values) if (typeof item !== name) return false;
    return true;
  }
  const members = values as Readonly<Record<string, unknown>>;
  for (const key in members) if (typeof members[key] !== name) return false;
  return true;
}

/** The schema of one member of an object, if the (resolved) schema knows the member. */
export function memberSchema(resolved: Schema, key: string): Schema | undefined {
  const properties = resolved.properties;
  if (properties && Object.hasOwn(properties, key)) return properties[key];
  return resolved.additionalProperties;
}
