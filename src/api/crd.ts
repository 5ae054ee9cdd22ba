/** CustomResourceDefinitions of the kinds that are not Kubernetes' own: what a real cluster gets, and what tools look up. */
import { createHash } from 'node:crypto';
import { kubernetesSchema } from './kubernetes/schemas.ts';
import type { KubeObject } from './object.ts';
import { apiVersionOf, qualifiedName, type Column, type ResourceDef } from './resource.ts';
import type { Schema } from './schema.ts';
import { resourceSchema } from './structural.ts';

export interface CustomResourceDefinition extends KubeObject {
  readonly spec: {
    readonly group: string;
    readonly names: {
      readonly plural: string;
      readonly singular: string;
      readonly kind: string;
      readonly listKind: string;
      readonly shortNames?: readonly string[];
      readonly categories?: readonly string[];
    };
    readonly scope: 'Namespaced' | 'Cluster';
    readonly versions: readonly object[];
  };
  /** Absent in documents that are to be applied to a cluster. */
  readonly status?: object;
}

/** The resource under which the definitions are listed. */
export const customResourceDefinitions: ResourceDef = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  listKind: 'CustomResourceDefinitionList',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  builtin: true,
  schema: { $ref: 'apiextensions.v1.CustomResourceDefinition' },
  columns: [{ name: 'Created At', type: 'string' }],
  cells: (object) => [object.metadata.creationTimestamp ?? ''],
};

/**
 * One definition a plural, for all non-builtin resources, sorted by name. Several versions of a plural share one; the
 * first in `resources` is the stored one. Made without status and identity: fit to be applied.
 */
export function makeCustomResourceDefinitions(resources: readonly ResourceDef[]): CustomResourceDefinition[] {
  const byName = new Map<string, ResourceDef[]>();
  for (const def of resources) {
    if (def.builtin) continue;
    const name = qualifiedName(def);
    byName.set(name, [...(byName.get(name) ?? []), def]);
  }
  return [...byName]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, [first, ...others]]) => (first ? [makeDefinition(name, first, others)] : []));
}

/** A definition as an API server shows it that has accepted it at `created` (RFC 3339). */
export function establish(definition: CustomResourceDefinition, created: string): CustomResourceDefinition {
  const { names, versions } = definition.spec;
  const condition = (type: string, reason: string, message: string): object => ({
    type,
    status: 'True',
    lastTransitionTime: created,
    reason,
    message,
  });
  return {
    ...definition,
    metadata: {
      ...definition.metadata,
      uid: uidOf(definition.metadata.name),
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: created,
    },
    status: {
      acceptedNames: names,
      conditions: [
        condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ],
      storedVersions: versions.slice(0, 1).map((version) => (version as { name: string }).name),
    },
  };
}

/** The same on every start: watchers see no change where there is none. */
function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `5${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

function makeDefinition(
  name: string,
  def: ResourceDef,
  others: readonly ResourceDef[],
): CustomResourceDefinition {
  const { group, plural, singular, kind, listKind, shortNames, categories } = def;
  return {
    apiVersion: apiVersionOf(customResourceDefinitions),
    kind: customResourceDefinitions.kind,
    metadata: { name, ...(def.crdLabels ? { labels: { ...def.crdLabels } } : {}) },
    spec: {
      group,
      names: {
        plural,
        singular,
        kind,
        listKind,
        ...(shortNames?.length ? { shortNames } : {}),
        ...(categories?.length ? { categories } : {}),
      },
      scope: def.namespaced ? 'Namespaced' : 'Cluster',
      versions: [def, ...others].map((version, i) => makeVersion(version, i === 0)),
    },
  };
}

function makeVersion(def: ResourceDef, storage: boolean): object {
  const { status, scale } = def.subresources ?? {};
  return {
    name: def.version,
    served: true,
    storage,
    schema: { openAPIV3Schema: withoutRefs(rootSchema(def), false) },
    ...(status || scale
      ? { subresources: { ...(status ? { status: {} } : {}), ...(scale ? { scale: scaleOf(scale) } : {}) } }
      : {}),
    additionalPrinterColumns: columnsOf(def),
  };
}

/** Metadata in a CRD's schema may say no more than that it is an object. */
function rootSchema(def: ResourceDef): Schema {
  const whole = resourceSchema(def);
  return { ...whole, properties: { ...whole.properties, metadata: { type: 'object' } } };
}

function scaleOf(scale: { specReplicas: string; statusReplicas: string; labelSelector?: string }): object {
  return {
    specReplicasPath: scale.specReplicas,
    statusReplicasPath: scale.statusReplicas,
    ...(scale.labelSelector ? { labelSelectorPath: scale.labelSelector } : {}),
  };
}

/** Columns that a cluster can compute; with any of its own a CRD must name Age itself. */
function columnsOf(def: ResourceDef): object[] {
  const columns = def.columns.flatMap(({ name, type, format, description, priority, jsonPath }: Column) =>
    jsonPath === undefined
      ? []
      : [
          {
            name,
            type,
            ...(format ? { format } : {}),
            ...(description ? { description } : {}),
            ...(priority ? { priority } : {}),
            jsonPath,
          },
        ],
  );
  if (columns.some(({ name }) => name === 'Age')) return columns;
  return [...columns, { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }];
}

/**
 * A schema with Kubernetes' types written out, as CRDs allow no references. Inside those types the list keys are left
 * out: a CRD may key lists only by members that are required or have a default.
 */
function withoutRefs(schema: Schema, native: boolean): object {
  const inside = native || schema.$ref !== undefined;
  const { $ref, ...own } = schema;
  const merged: Schema = $ref === undefined ? own : { ...kubernetesSchema($ref), ...own };
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(merged)) {
    if (key.startsWith('x-kubernetes-patch-')) continue;
    if (inside && (key.startsWith('x-kubernetes-list-') || key === 'x-kubernetes-map-type')) continue;
    if (key === 'format' && value === 'quantity') continue;
    out[key] = value;
  }
  const { properties, additionalProperties, items } = merged;
  if (properties) {
    out['properties'] = Object.fromEntries(
      Object.entries(properties).map(([name, property]) => [name, withoutRefs(property, inside)]),
    );
  }
  if (additionalProperties) out['additionalProperties'] = withoutRefs(additionalProperties, inside);
  if (items) out['items'] = withoutRefs(items, inside);
  return out;
}
