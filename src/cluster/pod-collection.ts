/** Pods that nothing else will ever remove (kubernetes pkg/controller/podgc). */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { keyOf, timestamp } from '../api/object.ts';
import { isPodTerminal, type Pod } from '../api/pods.ts';
import { nodes } from '../api/kubernetes/nodes.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { hasReason } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';

type PodCondition = KubernetesTypes['core.v1.PodCondition'];

/** A node that has gone may only be registering again. */
const nodeQuarantineMs = 40_000;
/**
 * Ended pods that are kept, so that their logs and status can be read; a pod of a set that failed is one of them. A
 * cluster keeps 12 500: here they share the memory and the disk of one machine.
 */
export const maxEndedPods = 1000;

/** What the failure policy of a Job may ask for. `now` is ms since the epoch. */
function nodeGone(now: number): PodCondition {
  return {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'DeletionByPodGC',
    message: 'PodGC: node no longer exists',
    lastTransitionTime: timestamp(now),
  };
}

export function podCollectionController(env: ControllerEnv): Controller {
  const podCache = env.informers.for(pods);
  const nodeCache = env.informers.for(nodes);
  /** When the node of a pod was first found missing, by pod key. */
  const missing = new Map<string, number>();
  /** Ended pods that stand, by key. */
  const ended = new Map<string, Pod>();

  async function remove(pod: Pod): Promise<void> {
    const { name, namespace = '', uid = '' } = pod.metadata;
    missing.delete(keyOf(pod));
    try {
      await env.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  /** Its end is written down first: a controller that counts its pods' ends waits for one. */
  async function fail(pod: Pod, why?: PodCondition): Promise<void> {
    const { name, namespace = '', uid } = pod.metadata;
    if (!pod.metadata.finalizers?.length) return;
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== why?.type);
    const status = { phase: 'Failed', ...(why ? { conditions: [...others, why] } : {}) };
    const body = { metadata: { uid }, status };
    try {
      await env.client.patch(pods, { namespace, name }, { type: 'merge', body }, { subresource: 'status' });
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  /** The oldest go first. */
  async function removeSurplus(): Promise<void> {
    if (ended.size <= maxEndedPods) return;
    const created = ({ metadata }: Pod): string => metadata.creationTimestamp ?? '';
    const oldest = [...ended.values()].sort((a, b) => (created(a) < created(b) ? -1 : 1));
    for (const pod of oldest.slice(0, ended.size - maxEndedPods)) {
      ended.delete(keyOf(pod));
      await remove(pod);
    }
  }

  async function orphaned(pod: Pod, node: string): Promise<Outcome> {
    const key = keyOf(pod);
    if (nodeCache.get(node)) {
      missing.delete(key);
      return undefined;
    }
    const now = env.clock.now();
    const since = missing.get(key) ?? now;
    missing.set(key, since);
    const left = since + nodeQuarantineMs - now;
    if (left > 0) return { requeueAfter: left };
    if (!isPodTerminal(pod)) await fail(pod, nodeGone(now));
    await remove(pod);
    return undefined;
  }

  return {
    name: 'pod collection',
    root: pods,
    watches: [
      watches(nodes, (node) =>
        nodeCache.get(node.metadata.name)
          ? []
          : podCache
              .list()
              .filter((pod) => pod.spec?.nodeName === node.metadata.name)
              .map(keyOf),
      ),
    ],
    concurrency: 1,
    async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
      const pod = podCache.get(`${namespace}/${name}`);
      if (!pod) {
        missing.delete(`${namespace}/${name}`);
        ended.delete(`${namespace}/${name}`);
        return undefined;
      }
      const node = pod.spec?.nodeName;
      if (node) {
        const outcome = await orphaned(pod, node);
        if (outcome) return outcome;
      } else if (pod.metadata.deletionTimestamp) {
        // No node will ever confirm that it has ended.
        if (!isPodTerminal(pod)) await fail(pod);
        await remove(pod);
        return undefined;
      }
      if (isPodTerminal(pod) && !pod.metadata.deletionTimestamp) ended.set(keyOf(pod), pod);
      else ended.delete(keyOf(pod));
      await removeSurplus();
      return undefined;
    },
  };
}
