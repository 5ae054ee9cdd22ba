/**
 * How the parts of a value may be owned: structural schemas, read as structured-merge-diff reads OpenAPI (kube-openapi
 * `schemaconv`). Atomic values are owned as a whole, others by their members and items.
 */
import { kubernetesTypeName } from '../../../../api/kubernetes/schemas.ts';
import type { Schema } from '../../../../api/schema.ts';
import { resolveSchema } from '../../../../api/structural-members.ts';

/** What a value may be. Several at once where the schema does not say: then the value itself decides. */
export interface FieldType {
  readonly map?: MapType;
  readonly list?: ListType;
  readonly scalar?: 'numeric' | 'string' | 'boolean' | 'untyped';
}

export interface MapType {
  readonly atomic: boolean;
  /** Members that the schema names. */
  readonly fields: ReadonlyMap<string, Field>;
  /** Type of all other members; absent: there may be none. */
  readonly others: FieldType | undefined;
}

export interface ListType {
  readonly atomic: boolean;
  /** Fields that tell items apart; none in a set. */
  readonly keys: readonly ListKey[];
  readonly items: FieldType;
}

export interface ListKey {
  readonly name: string;
  /** Stands for the key in an item that leaves it out. */
  readonly byDefault: unknown;
}

/** A named member. Its type is read when first asked for: types may contain themselves. */
export class Field {
  readonly element: string;
  readonly #read: () => FieldType;
  #type: FieldType | undefined;
  constructor(name: string, read: () => FieldType) {
    this.element = `f:${name}`;
    this.#read = read;
  }
  get type(): FieldType {
    this.#type ??= this.#read();
    return this.#type;
  }
}

/** Structs that the API marks `structType=atomic`: their OpenAPI types carry the mark, their uses do not. */
const atomicTypes = new Set([
  'admissionregistration.v1.MatchResources',
  'admissionregistration.v1.NamedRuleWithOperations',
  'admissionregistration.v1.ParamKind',
  'admissionregistration.v1.ParamRef',
  'autoscaling.v1.CrossVersionObjectReference',
  'core.v1.ConfigMapKeySelector',
  'core.v1.EndpointAddress',
  'core.v1.EndpointPort',
  'core.v1.FileKeySelector',
  'core.v1.LocalObjectReference',
  'core.v1.NodeSelector',
  'core.v1.NodeSelectorTerm',
  'core.v1.ObjectFieldSelector',
  'core.v1.ObjectReference',
  'core.v1.ResourceFieldSelector',
  'core.v1.ScopeSelector',
  'core.v1.SecretKeySelector',
  'core.v1.SecretReference',
  'core.v1.TopologySelectorTerm',
  'core.v1.TypedLocalObjectReference',
  'discovery.v1.EndpointPort',
  'meta.v1.LabelSelector',
  'meta.v1.OwnerReference',
  'rbac.v1.RoleRef',
  'rbac.v1.Subject',
]);

/** Defaults of key fields, which the facts of Kubernetes' own types do not have. */
const keyDefaults: { readonly [type: string]: { readonly [field: string]: unknown } | undefined } = {
  'core.v1.ContainerPort': { protocol: 'TCP' },
  'core.v1.ServicePort': { protocol: 'TCP' },
};

/** A list owned as a whole, whatever is in it. */
const untypedItems: ListType = {
  atomic: true,
  keys: [],
  get items(): FieldType {
    return untyped;
  },
};

/** Any value, whole. */
const untyped: FieldType = { scalar: 'untyped', list: untypedItems, map: mapOf(true, () => untyped) };

/** Any value; maps by their members. */
const deduced: FieldType = { scalar: 'untyped', list: untypedItems, map: mapOf(false, () => deduced) };

/** A map without named members. The type of the others may contain the map itself. */
function mapOf(atomic: boolean, others: () => FieldType): MapType {
  return {
    atomic,
    fields: new Map(),
    get others(): FieldType {
      return others();
    },
  };
}

const caches = { known: new WeakMap<Schema, FieldType>(), preserving: new WeakMap<Schema, FieldType>() };

/** The type of a schema. The same value on every call. */
export function fieldTypeOf(schema: Schema, preserving = false): FieldType {
  const cache = preserving ? caches.preserving : caches.known;
  let type = cache.get(schema);
  if (!type) {
    type = readType(schema, preserving);
    cache.set(schema, type);
  }
  return type;
}

function readType(schema: Schema, inherited: boolean): FieldType {
  const resolved = resolveSchema(schema);
  const preserving =
    (schema.$ref === undefined && inherited) || resolved['x-kubernetes-preserve-unknown-fields'] === true;
  if (resolved['x-kubernetes-int-or-string']) return { scalar: 'untyped' };
  const type = resolved.type ?? (resolved.properties || resolved.additionalProperties ? 'object' : undefined);
  switch (type) {
    case 'object':
      return { map: readMap(schema, resolved, preserving) };
    case 'array':
      return { list: readList(schema, resolved, preserving) };
    case 'string':
    case 'boolean':
      return { scalar: type };
    case 'integer':
    case 'number':
      return { scalar: 'numeric' };
    default:
      return preserving ? deduced : untyped;
  }
}

function readMap(schema: Schema, resolved: Schema, preserving: boolean): MapType {
  const { properties = {}, additionalProperties } = resolved;
  const names = Object.keys(properties);
  const relation = schema['x-kubernetes-map-type'] ?? resolved['x-kubernetes-map-type'];
  const fields = new Map<string, Field>();
  for (const name of names) {
    const property = properties[name];
    if (property) fields.set(name, new Field(name, () => fieldTypeOf(property, preserving)));
  }
  return {
    atomic: relation === 'atomic' || atomicTypes.has(kubernetesTypeName(resolved) ?? ''),
    fields,
    get others(): FieldType | undefined {
      if (additionalProperties) return fieldTypeOf(additionalProperties, preserving);
      if (preserving) return deduced;
      return names.length === 0 ? untyped : undefined;
    },
  };
}

function readList(schema: Schema, resolved: Schema, preserving: boolean): ListType {
  const { keys, atomic } = relationOf(schema, resolved);
  const items = resolved.items ?? {};
  const item = resolveSchema(items);
  const typeName = kubernetesTypeName(item);
  return {
    atomic,
    keys: keys.map((name) => ({ name, byDefault: keyDefault(item, typeName, name) })),
    get items(): FieldType {
      return resolved.items ? fieldTypeOf(items, preserving) : untyped;
    },
  };
}

/** A list says how its items belong together, or, in Kubernetes' own types, how a strategic merge treats them. */
function relationOf(schema: Schema, resolved: Schema): { atomic: boolean; keys: readonly string[] } {
  const from = schema.$ref === undefined ? resolved : { ...resolved, ...schema };
  switch (from['x-kubernetes-list-type']) {
    case 'map':
      return { atomic: false, keys: from['x-kubernetes-list-map-keys'] ?? [] };
    case 'set':
      return { atomic: false, keys: [] };
    case 'atomic':
      return { atomic: true, keys: [] };
    default: {
      const merged = from['x-kubernetes-patch-strategy']?.split(',').includes('merge') ?? false;
      const key = from['x-kubernetes-patch-merge-key'];
      return { atomic: !merged, keys: merged && key !== undefined ? [key] : [] };
    }
  }
}

/** Kubernetes' OpenAPI gives every plain field of its own types its zero value as default. */
function keyDefault(item: Schema, typeName: string | undefined, name: string): unknown {
  const property = item.properties?.[name];
  if (property?.default !== undefined) return property.default;
  if (typeName === undefined) return undefined;
  const known = keyDefaults[typeName]?.[name];
  if (known !== undefined) return known;
  return property?.type === 'integer' ? 0 : property?.type === 'string' ? '' : undefined;
}
