/** The object that an autoscaler scales: anything with a `scale` subresource. */
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import type { ResourceDef } from '../../api/resource.ts';
import type { Client } from '../../kube/client/client.ts';
import { readScale } from '../../kube/server/service/scale.ts';

type TargetReference = KubernetesTypes['autoscaling.v2.CrossVersionObjectReference'];

export interface ScaleTarget {
  readonly def: ResourceDef;
  readonly name: string;
  readonly replicas: number;
  readonly statusReplicas: number;
  /** In the text form of a list's `labelSelector`; empty when the target tells none. */
  readonly selector: string;
}

/** What is served now; a set that may change. */
export interface ServedResources {
  readonly resources: readonly ResourceDef[];
}

/** Throws Error or ApiError with the words of a REST mapper or of the API. */
export async function readTarget(
  client: Client,
  served: ServedResources,
  namespace: string,
  reference: TargetReference,
): Promise<ScaleTarget> {
  const { def, scale } = scalable(served, reference);
  const object = await client.get(def, { namespace, name: reference.name });
  const { spec, status } = readScale(scale, object);
  return {
    def,
    name: reference.name,
    replicas: spec.replicas ?? 0,
    statusReplicas: status.replicas,
    selector: status.selector ?? '',
  };
}

export async function writeTarget(
  client: Client,
  target: ScaleTarget,
  namespace: string,
  replicas: number,
): Promise<void> {
  const key = { namespace, name: target.name };
  await client.patch(
    target.def,
    key,
    { type: 'merge', body: { spec: { replicas } } },
    { subresource: 'scale' },
  );
}

type ScalePaths = NonNullable<NonNullable<ResourceDef['subresources']>['scale']>;

/** The version that the reference names, or else any of its group. */
function scalable(
  { resources }: ServedResources,
  { apiVersion = '', kind }: TargetReference,
): { def: ResourceDef; scale: ScalePaths } {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const found = resources.filter((def) => def.kind === kind && def.group === group && def.namespaced);
  const def = found.find((one) => one.version === version) ?? found[0];
  if (!def) throw new Error(`no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`);
  const scale = def.subresources?.scale;
  if (!scale) throw new Error('the server could not find the requested resource');
  return { def, scale };
}
