import { controllerRef, type KubeObject, type OwnerReference } from '../../api/object.ts';
import type { PodTemplateSpec } from '../../api/kubernetes/pod-defaults.ts';
import type { PersistentVolumeClaim } from '../../api/kubernetes/storage.ts';
import type { StatefulSet } from '../../api/kubernetes/workloads.ts';
import type { Pod } from '../../api/pods.ts';

/** The revision of a pod of a StatefulSet: the name of its ControllerRevision. */
export const revisionLabel = 'controller-revision-hash';
const podNameLabel = 'statefulset.kubernetes.io/pod-name';
const podIndexLabel = 'apps.kubernetes.io/pod-index';

function podNameOf(set: StatefulSet, ordinal: number): string {
  return `${set.metadata.name}-${ordinal}`;
}

/** The number at the end of a pod's name; undefined for a pod of another set. */
export function ordinalOf(set: StatefulSet, { metadata: { name } }: Pod): number | undefined {
  const match = /^(.*)-(0|[1-9]\d{0,8})$/.exec(name);
  return match?.[1] === set.metadata.name ? Number(match[2]) : undefined;
}

/** Labels by which a pod is known for itself. */
export function identityLabels(set: StatefulSet, ordinal: number): { [key: string]: string } {
  return { [podNameLabel]: podNameOf(set, ordinal), [podIndexLabel]: String(ordinal) };
}

/** The pod of an ordinal, from the template of a revision. */
export function makeStatefulPod(
  set: StatefulSet,
  ordinal: number,
  revision: { readonly name: string; readonly template: PodTemplateSpec },
): Pod {
  const { template } = revision;
  const name = podNameOf(set, ordinal);
  const claims = claimNames(set, ordinal);
  const volumes = [
    ...[...claims].map(([volume, claimName]) => ({ name: volume, persistentVolumeClaim: { claimName } })),
    // A claim takes the place of a volume of its name.
    ...(template.spec?.volumes ?? []).filter((volume) => !claims.has(volume.name)),
  ];
  const { annotations, finalizers } = template.metadata ?? {};
  const { serviceName } = set.spec ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      generateName: `${set.metadata.name}-`,
      ...(set.metadata.namespace ? { namespace: set.metadata.namespace } : {}),
      labels: {
        ...template.metadata?.labels,
        ...identityLabels(set, ordinal),
        [revisionLabel]: revision.name,
      },
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(set)],
    },
    spec: {
      ...template.spec,
      containers: template.spec?.containers ?? [],
      hostname: name,
      ...(serviceName ? { subdomain: serviceName } : {}),
      ...(volumes.length > 0 ? { volumes } : {}),
    },
  };
}

/** Claim template → claim of the ordinal. */
function claimNames(set: StatefulSet, ordinal: number): Map<string, string> {
  const templates = set.spec?.volumeClaimTemplates ?? [];
  return new Map(
    templates.map(({ metadata: { name } }) => [name, `${name}-${podNameOf(set, ordinal)}`] as const),
  );
}

/** The claims of an ordinal. */
export function makeClaims(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  const names = claimNames(set, ordinal);
  return (set.spec?.volumeClaimTemplates ?? []).map(({ metadata, spec }) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: names.get(metadata.name) ?? '',
      ...(set.metadata.namespace ? { namespace: set.metadata.namespace } : {}),
      labels: { ...metadata.labels, ...set.spec?.selector.matchLabels },
      ...(metadata.annotations ? { annotations: metadata.annotations } : {}),
    },
    ...(spec ? { spec } : {}),
  }));
}

/**
 * Who owns a claim, by the retention policy of its set: nobody, the set (it goes with it), or, once it is scaled away, its
 * pod; the owner is its controller. `condemned`: the pod is beyond the replicas. References of others stay, and a claim
 * that another controller manages, or that still belongs to an earlier set or pod of the name, gets none.
 */
export function claimOwners(
  set: StatefulSet,
  pod: Pod | undefined,
  condemned: boolean,
  claim: PersistentVolumeClaim,
): OwnerReference[] {
  const { ownerReferences = [] } = claim.metadata;
  const own = (ref: OwnerReference): KubeObject | undefined =>
    [set, pod].find((owner) => owner !== undefined && namesOwner(ref, owner));
  if (ownerReferences.some((ref) => (own(ref)?.metadata.uid ?? ref.uid) !== ref.uid)) return ownerReferences;
  const others = ownerReferences.filter((ref) => !own(ref));
  const { whenDeleted, whenScaled } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  if (foreignController(set, pod, claim)) return others;
  if (whenScaled === 'Delete' && condemned)
    return pod?.metadata.uid ? [...others, controllerRef(pod)] : others;
  return whenDeleted === 'Delete' ? [...others, controllerRef(set)] : others;
}

/** Another controller that manages a claim whose set has a policy for it: then the policy does not hold. */
export function foreignController(
  set: StatefulSet,
  pod: Pod | undefined,
  claim: PersistentVolumeClaim,
): OwnerReference | undefined {
  const { whenDeleted, whenScaled } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  if (whenDeleted !== 'Delete' && whenScaled !== 'Delete') return undefined;
  return claim.metadata.ownerReferences?.find(
    (ref) => ref.controller && !namesOwner(ref, set) && !(pod && namesOwner(ref, pod)),
  );
}

function namesOwner({ apiVersion, kind, name }: OwnerReference, owner: KubeObject): boolean {
  return apiVersion === owner.apiVersion && kind === owner.kind && name === owner.metadata.name;
}
