/**
 * Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer (kubernetes
 * pkg/controller/tainteviction).
 */
import { keyOf, timestamp } from '../../api/object.ts';
import type { Pod } from '../../api/pods.ts';
import { nodes } from '../../api/kubernetes/nodes.ts';
import { pods } from '../../api/kubernetes/pods.ts';
import { hasReason } from '../../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../../kube/client/client.ts';
import {
  watches,
  type Controller,
  type ControllerEnv,
  type Outcome,
} from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import { patienceMs } from './decisions.ts';

const reason = 'TaintManagerEviction';

export function taintEvictionController(env: ControllerEnv, recorder: EventRecorder): Controller {
  const podCache = env.informers.for(pods);
  const nodeCache = env.informers.for(nodes);
  /** When a pod was first found where it may not stay, by key. */
  const found = new Map<string, { readonly uid: string; readonly at: number }>();

  async function evict(pod: Pod): Promise<void> {
    const { uid = '' } = pod.metadata;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: timestamp(env.clock.now()),
    };
    const body = { metadata: { uid }, status: { conditions: [condition] } };
    recorder.event(pod, 'Normal', reason, `Marking for deletion Pod ${keyOf(pod)}`);
    try {
      await env.client.patch(pods, objectKey(pod), { type: 'strategic', body }, { subresource: 'status' });
      await env.client.delete(pods, objectKey(pod), { preconditions: { uid } });
    } catch (error) {
      // It is gone, or another of its name is there.
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
    found.delete(keyOf(pod));
  }

  return {
    name: 'taint eviction',
    root: pods,
    watches: [
      watches(nodes, ({ metadata }) =>
        podCache
          .list()
          .filter((pod) => pod.spec?.nodeName === metadata.name)
          .map(keyOf),
      ),
    ],
    async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
      const key = `${namespace}/${name}`;
      const pod = podCache.get(key);
      if (!pod?.spec?.nodeName || pod.metadata.deletionTimestamp) {
        found.delete(key);
        return;
      }
      const taints = nodeCache.get(pod.spec.nodeName)?.spec?.taints ?? [];
      const patience = patienceMs(pod.spec, taints);
      if (patience === undefined) {
        if (found.delete(key)) recorder.event(pod, 'Normal', reason, `Cancelling deletion of Pod ${key}`);
        return;
      }
      const { uid = '' } = pod.metadata;
      const now = env.clock.now();
      const before = found.get(key);
      const at = before?.uid === uid ? before.at : now;
      found.set(key, { uid, at });
      const left = at + patience - now;
      return left > 0 ? { requeueAfter: left } : evict(pod);
    },
  };
}
