/** The CEL type of the objects of a kind, with all that its schema says: for telling mistakes before anything runs. */
import { kubernetesSchema } from '../../../api/kubernetes/schemas.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { Schema } from '../../../api/schema.ts';
import { escapeProperty } from './schema-types.ts';
import {
  bool,
  bytes,
  double,
  duration,
  dyn,
  int,
  listOf,
  mapOf,
  string,
  timestamp,
  type CelType,
  type FieldType,
} from './types.ts';

/** `open`: named types that are being looked at; one within itself is not followed. */
type Open = ReadonlySet<string>;

export function kindType(def: ResourceDef): CelType {
  const schema = resolved(def.schema);
  const whole: Schema = {
    ...schema,
    type: 'object',
    properties: {
      ...schema.properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { $ref: 'meta.v1.ObjectMeta' },
    },
  };
  return typeOf(whole, def.kind, new Set());
}

function resolved(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : kubernetesSchema(schema.$ref);
}

function typeOf(schema: Schema, name: string, open: Open): CelType {
  const { $ref } = schema;
  if ($ref !== undefined) {
    return open.has($ref) ? dyn : typeOf(kubernetesSchema($ref), $ref, new Set([...open, $ref]));
  }
  if (schema['x-kubernetes-int-or-string']) return dyn;
  switch (schema.type) {
    case 'object':
      return objectType(schema, name, open);
    case 'array':
      return listOf(schema.items ? typeOf(schema.items, `${name}.@idx`, open) : dyn);
    case 'string':
      return textType(schema.format);
    case 'integer':
      return int;
    case 'number':
      return double;
    case 'boolean':
      return bool;
    default:
      return dyn;
  }
}

function objectType(schema: Schema, name: string, open: Open): CelType {
  const { additionalProperties, properties } = schema;
  if (additionalProperties) return mapOf(string, typeOf(additionalProperties, `${name}.@value`, open));
  if (!properties || schema['x-kubernetes-preserve-unknown-fields']) return dyn;
  const fields = new Map<string, FieldType>();
  for (const [property, child] of Object.entries(properties)) {
    const field = { property, type: typeOf(child, `${name}.${property}`, open) };
    const escaped = escapeProperty(property);
    if (escaped !== undefined) fields.set(escaped, field);
    // Behind a dot a reserved word is a name.
    if (escaped !== property && /^[A-Za-z_]\w*$/.test(property)) {
      fields.set(property, { ...field, isAlias: true });
    }
  }
  return { kind: 'object', name, fields };
}

function textType(format: string | undefined): CelType {
  switch (format) {
    case 'byte':
      return bytes;
    case 'duration':
      return duration;
    case 'date':
    case 'date-time':
      return timestamp;
    default:
      return string;
  }
}
