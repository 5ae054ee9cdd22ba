/** OpenAPI schemas from structural ones. Kubernetes' own types become shared definitions, met by reference. */
import { described } from '../../../api/kubernetes/descriptions.ts';
import { kubernetesSchema } from '../../../api/kubernetes/schemas.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { Schema } from '../../../api/schema.ts';

/** An OpenAPI object: JSON whose shape the specification gives. */
export type Doc = { [key: string]: unknown };

export type Dialect = 'v2' | 'v3';

const packages: Readonly<Record<string, string>> = {
  'meta.v1': 'io.k8s.apimachinery.pkg.apis.meta.v1',
  'api.resource': 'io.k8s.apimachinery.pkg.api.resource',
  'util.intstr': 'io.k8s.apimachinery.pkg.util.intstr',
  runtime: 'io.k8s.apimachinery.pkg.runtime',
  'apiextensions.v1': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1',
};

/** `core.v1.PodSpec` → `io.k8s.api.core.v1.PodSpec`. */
export function kubernetesDefinitionName(type: string): string {
  const at = type.lastIndexOf('.');
  const prefix = type.slice(0, at);
  return `${packages[prefix] ?? `io.k8s.api.${prefix}`}.${type.slice(at + 1)}`;
}

/** Definition name of a resource: Kubernetes' own for its kinds, the reversed group otherwise. */
export function definitionName(def: ResourceDef): string {
  if (def.schema.$ref) return kubernetesDefinitionName(def.schema.$ref);
  if (def.builtin) {
    const group = def.group === '' ? 'core' : (def.group.split('.')[0] ?? '');
    return kubernetesDefinitionName(`${group}.${def.version}.${def.kind}`);
  }
  return `${def.group.split('.').reverse().join('.')}.${def.version}.${def.kind}`;
}

const listMetaType = 'meta.v1.ListMeta';
const objectMetaType = 'meta.v1.ObjectMeta';

/** Two scalars that Kubernetes gives a name, so that `kubectl explain` can show it. */
const quantity = 'api.resource.Quantity';
const intOrString = 'util.intstr.IntOrString';

/** Collects definitions by name while schemas refer to them. */
export class Definitions {
  readonly dialect: Dialect;
  readonly #wanted = new Set<string>();
  readonly schemas: { [name: string]: Doc } = {};

  constructor(dialect: Dialect) {
    this.dialect = dialect;
  }

  /** A reference to a Kubernetes type; its definition is added. */
  refTo(type: string): string {
    this.#wanted.add(type);
    return this.ref(kubernetesDefinitionName(type));
  }

  /** A reference to a definition that the caller adds. */
  ref(name: string): string {
    return this.dialect === 'v2' ? `#/definitions/${name}` : `#/components/schemas/${name}`;
  }

  /** Adds the definitions of all Kubernetes types referred to so far, and of those that they refer to. */
  complete(): void {
    // A Set that grows while it is walked visits what was added.
    for (const type of this.#wanted) {
      const name = kubernetesDefinitionName(type);
      this.schemas[name] ??= this.#kubernetesType(type);
    }
  }

  #kubernetesType(type: string): Doc {
    if (type !== quantity && type !== intOrString) {
      return this.schema(described(type, kubernetesSchema(type)));
    }
    const { description } = described(type, {});
    return { ...this.#namedScalar(type), ...(description ? { description } : {}) };
  }

  #namedScalar(type: string): Doc {
    const format = type === intOrString ? { format: 'int-or-string' } : {};
    if (this.dialect === 'v2') return { type: 'string', ...format };
    const number = type === intOrString ? 'integer' : 'number';
    return { ...format, oneOf: [{ type: number }, { type: 'string' }] };
  }

  /** The OpenAPI form of a schema. */
  schema(schema: Schema): Doc {
    const named = namedType(schema);
    if (named) return this.#reference(this.refTo(named), schema);
    const { properties, additionalProperties, items } = schema;
    const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true;
    const out: Doc = {};
    for (const [key, value] of Object.entries(schema)) {
      if (copied.has(key) || key.startsWith('x-kubernetes-')) out[key] = value;
    }
    if (this.dialect === 'v3' && schema.nullable) out['nullable'] = true;
    // OpenAPI v2 has no open objects with known members: validators built on it would refuse the unknown ones.
    if (this.dialect === 'v2' && keepsUnknown) return out;
    if (properties) {
      out['properties'] = Object.fromEntries(
        Object.entries(properties).map(([name, property]) => [name, this.schema(property)]),
      );
    }
    if (additionalProperties) out['additionalProperties'] = this.schema(additionalProperties);
    if (items) out['items'] = this.schema(items);
    return out;
  }

  /** A reference beside other keywords: OpenAPI v3 wants `allOf` for that, v2 readers of Kubernetes take both. */
  #reference(target: string, schema: Schema): Doc {
    const extra: Doc = {};
    if (schema.description) extra['description'] = schema.description;
    if (schema.default !== undefined) extra['default'] = schema.default;
    for (const [key, value] of Object.entries(schema)) {
      if (key.startsWith('x-kubernetes-') && key !== 'x-kubernetes-int-or-string') extra[key] = value;
    }
    if (this.dialect === 'v2' || Object.keys(extra).length === 0) return { ...extra, $ref: target };
    return { ...extra, allOf: [{ $ref: target }] };
  }
}

/** The Kubernetes type that a schema stands for, where it has a definition of its own. */
function namedType(schema: Schema): string | undefined {
  if (schema.$ref) return schema.$ref;
  if (schema.format === 'quantity') return quantity;
  return schema['x-kubernetes-int-or-string'] ? intOrString : undefined;
}

/** Keywords that OpenAPI spells as structural schemas do. */
const copied = new Set([
  'type',
  'description',
  'format',
  'required',
  'enum',
  'default',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
]);

/** Adds the definitions of a resource's kind and of its list. */
export function addResource(definitions: Definitions, def: ResourceDef): void {
  const name = definitionName(def);
  const type = def.schema.$ref;
  const own: Schema = type ? described(type, kubernetesSchema(type)) : def.schema;
  const body = definitions.schema(own);
  const groupVersionKind = [{ group: def.group, version: def.version, kind: def.kind }];
  const meta: Schema = {
    $ref: objectMetaType,
    description: "Standard object's metadata: names, labels and bookkeeping that every object has.",
  };
  definitions.schemas[name] =
    definitions.dialect === 'v2' && !def.builtin && own['x-kubernetes-preserve-unknown-fields']
      ? // Were members named, clients that check by this document would refuse all others.
        { type: 'object', 'x-kubernetes-group-version-kind': groupVersionKind }
      : {
          ...body,
          type: 'object',
          ...(def.schema.description ? { description: def.schema.description } : {}),
          properties: {
            ...(body['properties'] as Doc | undefined),
            ...typeMembers,
            metadata: definitions.schema(meta),
          },
          'x-kubernetes-group-version-kind': groupVersionKind,
        };
  definitions.schemas[`${name}List`] = {
    type: 'object',
    description: `A list of ${def.kind} objects.`,
    required: ['items'],
    properties: {
      ...typeMembers,
      metadata: definitions.schema({ $ref: listMetaType }),
      items: {
        type: 'array',
        items: { $ref: definitions.ref(name) },
      },
    },
    'x-kubernetes-group-version-kind': [{ group: def.group, version: def.version, kind: def.listKind }],
  };
}

const typeMembers = {
  apiVersion: {
    type: 'string',
    description: 'APIVersion defines the group and version of the schema that this object is written in.',
  },
  kind: { type: 'string', description: 'The kind of object, in CamelCase.' },
};
