/** Facts about pods that more than one part needs. */
import type { KubernetesTypes } from './generated/kubernetes-types.ts';

export type Pod = KubernetesTypes['core.v1.Pod'];
export type Container = KubernetesTypes['core.v1.Container'];
export type EphemeralContainer = KubernetesTypes['core.v1.EphemeralContainer'];

/**
 * JSON object, container port → port on `status.podIP`, for pods that share the host's network and got other ports than
 * they asked for (the process driver). Absent: ports are as declared.
 */
export const portMapAnnotation = 'node.knapsack.dev/port-map';

/** Where a pod's container port can be reached, or undefined before the pod has an address. */
export function podAddress(pod: Pod, containerPort: number): { host: string; port: number } | undefined {
  const host = pod.status?.podIP;
  if (!host) return undefined;
  const mapped = pod.metadata.annotations?.[portMapAnnotation];
  if (!mapped) return { host, port: containerPort };
  const ports = JSON.parse(mapped) as { [port: string]: number };
  return { host, port: ports[String(containerPort)] ?? containerPort };
}

/** The PersistentVolumeClaim behind a volume of the pod, in the pod's namespace; undefined for other volumes. */
export function claimNameOf(pod: Pod, volume: KubernetesTypes['core.v1.Volume']): string | undefined {
  return volume.ephemeral ? `${pod.metadata.name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
}

/** The Ready condition. */
export function isPodReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

/** True once the pod's containers have ended for good. */
export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}
