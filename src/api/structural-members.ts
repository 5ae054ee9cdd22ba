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

/** The schema of one member of an object, if the (resolved) schema knows the member. */
export function memberSchema(resolved: Schema, key: string): Schema | undefined {
  const properties = resolved.properties;
  if (properties && Object.hasOwn(properties, key)) return properties[key];
  return resolved.additionalProperties;
}
