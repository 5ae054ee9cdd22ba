/** CustomResourceDefinitions (apiextensions.k8s.io/v1) as objects. */
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import type { KubeObject } from '../../../api/object.ts';

export type Definition = KubernetesTypes['apiextensions.v1.CustomResourceDefinition'] & KubeObject;
export type DefinitionVersion = KubernetesTypes['apiextensions.v1.CustomResourceDefinitionVersion'];
export type DefinitionNames = KubernetesTypes['apiextensions.v1.CustomResourceDefinitionNames'];
export type DefinitionCondition = KubernetesTypes['apiextensions.v1.CustomResourceDefinitionCondition'];

/** A schema as its author wrote it: nothing is known of it yet. */
export type RawSchema = { readonly [keyword: string]: unknown };

/** Holds a definition that is being deleted until its objects are gone. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

export function isTrue(definition: Definition, type: string): boolean {
  return definition.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
}

/** The version whose objects are stored. */
export function storageVersion(definition: Definition): DefinitionVersion | undefined {
  return definition.spec.versions.find((version) => version.storage);
}
