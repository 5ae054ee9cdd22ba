/** From a CustomResourceDefinition to the resources that it defines: one a version. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import {
  apiVersionOf,
  type AdmissionContext,
  type Column,
  type Conversion,
  type Issue,
  type ResourceDef,
} from '../../../api/resource.ts';
import { validateStructure } from '../../../api/structural.ts';
import type { CustomResource } from '../../resource-registry.ts';
import { storageVersion, type Definition, type DefinitionVersion, type RawSchema } from './definition.ts';
import { embeddedIssues, hasEmbedded } from './embedded.ts';
import { metadataSchema, objectSchema } from './schema.ts';

/** Looks at `x-kubernetes-validations` of an object whose form is in order. */
export type RuleValidator = (object: UntypedObject, old: UntypedObject | undefined) => readonly Issue[];

export interface VersionOptions {
  /** Undefined where the schema has no rules. */
  readonly rules: (schema: RawSchema) => RuleValidator | undefined;
  /** Converts objects of the definition between its versions. */
  readonly convert: (definition: Definition) => Conversion['convert'];
}

/** The resources of an accepted definition. */
export function customResource(definition: Definition, options: VersionOptions): CustomResource {
  const { versions } = definition.spec;
  const storage = storageVersion(definition) ?? versions[0];
  if (!storage) throw new Error(`${definition.metadata.name} has no versions`);
  const defs = new Map<string, ResourceDef>();
  const single = versions.length === 1 && everStored(definition).every((name) => name === storage.name);
  const stored = (): ResourceDef => {
    const def = defs.get(storage.name);
    if (!def) throw new Error(`${definition.metadata.name} has no storage version`);
    return def;
  };
  const conversion: Conversion | undefined = single
    ? undefined
    : { stored, convert: options.convert(definition) };
  for (const version of versions)
    defs.set(version.name, makeResource(definition, version, conversion, options));
  const served = versions.flatMap((version) => {
    const def = version.served ? defs.get(version.name) : undefined;
    return def ? [def] : [];
  });
  return { served, stored: stored() };
}

function everStored(definition: Definition): readonly string[] {
  return definition.status?.storedVersions ?? [];
}

function makeResource(
  definition: Definition,
  version: DefinitionVersion,
  conversion: Conversion | undefined,
  options: VersionOptions,
): ResourceDef {
  const { group, scope } = definition.spec;
  const names = definition.status?.acceptedNames ?? definition.spec.names;
  const raw: RawSchema = version.schema?.openAPIV3Schema ?? {};
  const { status, scale } = version.subresources ?? {};
  const columns = version.additionalPrinterColumns ?? [];
  const selectable = (version.selectableFields ?? []).map(({ jsonPath }) => jsonPath.slice(1));
  const identity = { group, version: version.name, kind: names.kind };
  return {
    ...identity,
    listKind: names.listKind || `${names.kind}List`,
    plural: names.plural,
    singular: names.singular || names.kind.toLowerCase(),
    ...(names.shortNames?.length ? { shortNames: names.shortNames } : {}),
    ...(names.categories?.length ? { categories: names.categories } : {}),
    namespaced: scope === 'Namespaced',
    builtin: false,
    schema: objectSchema(raw),
    ...(status || scale
      ? {
          subresources: {
            ...(status ? { status: true as const } : {}),
            ...(scale
              ? {
                  scale: {
                    specReplicas: scale.specReplicasPath,
                    statusReplicas: scale.statusReplicasPath,
                    ...(scale.labelSelectorPath ? { labelSelector: scale.labelSelectorPath } : {}),
                  },
                }
              : {}),
          },
        }
      : {}),
    columns: columns.length > 0 ? (columns as readonly Column[]) : [],
    ...(columns.length > 0 ? { columnsComplete: true as const } : {}),
    ...(selectable.length > 0 ? { selectableFields: selectable } : {}),
    ...(version.deprecated
      ? { warning: version.deprecationWarning ?? `${apiVersionOf(identity)} ${names.kind} is deprecated` }
      : {}),
    ...(conversion ? { conversion } : {}),
    schemaSince: Number(definition.metadata.resourceVersion ?? 0),
    validate: makeValidator(raw, options),
  };
}

/** The checks that the structural walkers do not make: names, embedded objects, rules. */
function makeValidator(raw: RawSchema, options: VersionOptions): NonNullable<ResourceDef['validate']> {
  const metadata = metadataSchema(raw);
  const schema = objectSchema(raw);
  const embedded = hasEmbedded(schema);
  // Compiled by the first object: definitions are many and their objects may be none.
  let rules: { readonly run: RuleValidator | undefined } | undefined;
  return (object, context) => {
    const issues: Issue[] = [];
    if (metadata) issues.push(...nameIssues(metadata, object));
    if (embedded) issues.push(...embeddedIssues(schema, object));
    if (issues.length > 0) return issues;
    rules ??= { run: options.rules(raw) };
    return rules.run?.(object as UntypedObject, oldOf(context)) ?? [];
  };
}

function oldOf(context: AdmissionContext): UntypedObject | undefined {
  return context.old as UntypedObject | undefined;
}

function nameIssues(schema: Parameters<typeof validateStructure>[0], { metadata }: KubeObject): Issue[] {
  return validateStructure(schema, metadata, false).map((issue) => ({
    ...issue,
    path: issue.path === '' ? 'metadata' : `metadata.${issue.path}`,
    detail: issue.detail.replace(/^(?=(name|generateName) in body)/, 'metadata.'),
  }));
}

/** The strategy `None`: all versions look alike, but for their name. */
export const renameVersion: Conversion['convert'] = (objects, to) => {
  const apiVersion = apiVersionOf(to);
  return objects.map((object) => ({ ...structuredClone<UntypedObject>(object), apiVersion }));
};
