/** How many pods the sets behind some pods are to have. */
import { controllerOf, type KubeObject, type OwnerReference } from '../../api/object.ts';
import type { Pod } from '../../api/pods.ts';
import { qualifiedName, type ResourceDef } from '../../api/resource.ts';
import { deployments, replicaSets } from '../../api/kubernetes/workloads.ts';
import { isMembers } from '../../api/structural-members.ts';
import { isNotFound } from '../../kube/api-error.ts';
import type { ControllerEnv } from '../../kube/controller/controller.ts';
import type { ResourceRegistry } from '../../kube/resource-registry.ts';
import type { Expected } from './decisions.ts';

export interface ScaleLookup {
  readonly expected: Expected;
  /** Pods without a controller: nobody can say how many of them there should be. */
  readonly unmanaged: readonly Pod[];
}

/** The sum over the distinct controllers of the pods. */
export async function lookUpScales(
  env: ControllerEnv,
  registry: Pick<ResourceRegistry, 'resources'>,
  pods: readonly Pod[],
): Promise<ScaleLookup> {
  const sizes = new Map<string, number>();
  const unmanaged: Pod[] = [];
  const known = new Set<string>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (!owner) {
      unmanaged.push(pod);
      continue;
    }
    if (known.has(owner.uid)) continue;
    known.add(owner.uid);
    const found = await scaleOf(env, registry, pod.metadata.namespace ?? '', owner);
    if (typeof found === 'string') return { expected: { failure: found }, unmanaged };
    if (!found)
      return { expected: { failure: `found no controllers for pod "${pod.metadata.name}"` }, unmanaged };
    sizes.set(found.uid, found.replicas);
  }
  let count = 0;
  for (const size of sizes.values()) count += size;
  return { expected: { count }, unmanaged };
}

type Scale = { readonly uid: string; readonly replicas: number };

/** Undefined when the owner has gone; a text when it has no scale. */
async function scaleOf(
  env: ControllerEnv,
  { resources }: Pick<ResourceRegistry, 'resources'>,
  namespace: string,
  owner: OwnerReference,
): Promise<Scale | string | undefined> {
  const [group] = owner.apiVersion.includes('/') ? owner.apiVersion.split('/') : [''];
  const def = resources.find((each) => each.group === group && each.kind === owner.kind);
  if (!def) return `no matches for kind "${owner.kind}" in version "${owner.apiVersion}"`;
  const path = def.subresources?.scale?.specReplicas;
  if (path === undefined) return `${qualifiedName(def)} does not implement the scale subresource`;
  const object = await read(env, def, namespace, owner);
  if (!object) return undefined;
  // A replica set of a deployment is one of several: the deployment says how many pods there should be in all.
  const above =
    def.plural === replicaSets.plural && group === replicaSets.group ? controllerOf(object) : undefined;
  if (above?.kind === deployments.kind && above.apiVersion.startsWith(`${deployments.group}/`)) {
    return scaleOf(env, { resources }, namespace, above);
  }
  return { uid: owner.uid, replicas: replicasAt(object, path) };
}

async function read(
  env: ControllerEnv,
  def: ResourceDef,
  namespace: string,
  { name, uid }: OwnerReference,
): Promise<KubeObject | undefined> {
  try {
    const object = await env.client.get(def, def.namespaced ? { namespace, name } : { name });
    return object.metadata.uid === uid ? object : undefined;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function replicasAt(object: KubeObject, path: string): number {
  let value: unknown = object;
  for (const part of path.split('.').filter(Boolean)) value = isMembers(value) ? value[part] : undefined;
  return typeof value === 'number' ? value : 0;
}
