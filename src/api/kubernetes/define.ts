/** Shortens the definitions of Kubernetes' own kinds. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { KubeObject } from '../object.ts';
import type { AdmissionContext, Issue, ResourceDef } from '../resource.ts';
import { kubernetesSchema } from './schemas.ts';

/** Wire types that are whole objects, and so can be resources. */
export type ObjectTypeName = {
  [K in keyof KubernetesTypes]: KubernetesTypes[K] extends KubeObject ? K : never;
}[keyof KubernetesTypes];

/** The object type by its short name, `KubernetesObject<'core.v1.Pod'>`. */
export type KubernetesObject<K extends ObjectTypeName> = KubernetesTypes[K] & KubeObject;

type Optional =
  | 'orphansByDefault'
  | 'shortNames'
  | 'categories'
  | 'subresources'
  | 'cells'
  | 'mutate'
  | 'tracksGeneration'
  | 'conversion';

interface Definition<T extends KubeObject> extends Pick<ResourceDef<T>, Optional | 'columns'> {
  readonly group?: string;
  readonly plural: string;
  /** Default true. */
  readonly namespaced?: boolean;
  /** Faults beyond form and metadata, which the server looks at for every kind. */
  readonly issues?: (object: T, context: AdmissionContext) => readonly Issue[];
}

/** A resource of a Kubernetes wire type; kind and version come from its name. Throws on a type without facts. */
export function kubernetesResource<K extends ObjectTypeName>(
  type: K,
  definition: Definition<KubernetesObject<K>>,
): ResourceDef<KubernetesObject<K>> {
  const [, version = '', kind = ''] = type.split('.');
  const { group = '', namespaced = true, issues, ...rest } = definition;
  kubernetesSchema(type);
  return {
    ...rest,
    group,
    version,
    kind,
    listKind: `${kind}List`,
    singular: kind.toLowerCase(),
    namespaced,
    builtin: true,
    schema: { $ref: type },
    ...(issues ? { validate: issues } : {}),
  };
}

/** The scale subresource of workloads. */
export const workloadScale = {
  specReplicas: '.spec.replicas',
  statusReplicas: '.status.replicas',
  labelSelector: '.spec.selector',
} as const;

/** The stored object of an update, as the kind's type. */
export function oldOf<T extends KubeObject>(_object: T, context: AdmissionContext): T | undefined {
  return context.old as T | undefined;
}
