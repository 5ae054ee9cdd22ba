/** A cordoned node has the taint that says so (kubernetes pkg/controller/nodelifecycle). */
import { timestamp } from '../../api/object.ts';
import { unschedulableTaint } from '../../api/kubernetes/node-fit.ts';
import { nodes } from '../../api/kubernetes/nodes.ts';
import { hasReason } from '../../kube/api-error.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../../kube/controller/controller.ts';
import { cordonTaints } from './decisions.ts';

export function cordonController(env: ControllerEnv): Controller {
  const cache = env.informers.for(nodes);
  return {
    name: 'node cordon',
    root: nodes,
    async reconcile({ name }: ObjectKey): Promise<Outcome> {
      const node = cache.get(name);
      if (!node || node.metadata.deletionTimestamp) return;
      const cordon = { ...unschedulableTaint, timeAdded: timestamp(env.clock.now()) };
      const taints = cordonTaints(node.spec, cordon);
      if (!taints) return;
      const { uid, resourceVersion } = node.metadata;
      const body = {
        metadata: { uid, resourceVersion },
        spec: { taints: taints.length > 0 ? taints : null },
      };
      try {
        await env.client.patch(nodes, { name }, { type: 'merge', body });
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
      }
    },
  };
}
