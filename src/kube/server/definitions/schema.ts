/** From the schema in a CustomResourceDefinition to the structural schema that the server works with. */
import { deepFreeze, type Json } from '../../../base/json.ts';
import type { Schema } from '../../../api/schema.ts';
import { isMembers } from '../../../api/structural-members.ts';
import type { RawSchema } from './definition.ts';

/** Keywords that are taken over as they stand. */
const plain = [
  'type',
  'title',
  'description',
  'example',
  'externalDocs',
  'format',
  'required',
  'enum',
  'default',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'nullable',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-int-or-string',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
];

/** Reads a schema of a definition that has passed validation. Unknown keywords are left behind. */
export function toSchema(raw: RawSchema): Schema {
  const out: Record<string, unknown> = {};
  for (const key of plain) {
    const value = raw[key];
    // An absent flag and a false one say the same; an empty word says nothing.
    if (value === undefined || value === null || value === false || value === '') continue;
    out[key] = key === 'default' ? deepFreeze(structuredClone(value as Json)) : value;
  }
  if (raw['default'] === false || raw['default'] === '') out['default'] = raw['default'];
  const { properties, additionalProperties, items } = raw;
  if (isMembers(properties)) out['properties'] = mapMembers(properties);
  if (isMembers(additionalProperties)) out['additionalProperties'] = toSchema(additionalProperties);
  else if (additionalProperties === true) out['additionalProperties'] = anything;
  if (isMembers(items)) out['items'] = toSchema(items);
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = raw[key];
    if (Array.isArray(list) && list.length > 0) out[key] = list.filter(isMembers).map(toSchema);
  }
  if (isMembers(raw['not'])) out['not'] = toSchema(raw['not']);
  return out;
}

const anything: Schema = { 'x-kubernetes-preserve-unknown-fields': true };

function mapMembers(members: Readonly<Record<string, unknown>>): { [name: string]: Schema } {
  return Object.fromEntries(
    Object.entries(members).map(([name, member]) => [name, toSchema(isMembers(member) ? member : {})]),
  );
}

/** The schema of whole objects without `metadata`, which is ObjectMeta whatever a definition says of it. */
export function objectSchema(raw: RawSchema): Schema {
  const { properties, ...rest } = toSchema(raw);
  const { metadata: _, ...others } = properties ?? {};
  return properties ? { ...rest, properties: others } : rest;
}

/** What a definition demands of `metadata`: of `name` and `generateName`, nothing else may be there. */
export function metadataSchema(raw: RawSchema): Schema | undefined {
  const properties = raw['properties'];
  const metadata = isMembers(properties) ? properties['metadata'] : undefined;
  if (!isMembers(metadata) || !isMembers(metadata['properties'])) return undefined;
  return toSchema({ type: 'object', properties: metadata['properties'] });
}
