/** Stands in for the node agent: pods become Running and Ready through the API, and end when they are deleted. */
import { timestamp, type KubeObject } from '../../src/api/object.ts';
import type { Pod } from '../../src/api/pods.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { hasReason } from '../../src/kube/api-error.ts';
import type { Client } from '../../src/kube/client/client.ts';
import type { Informers } from '../../src/kube/client/informer.ts';

export interface FakeNodeOptions {
  /** False leaves a pod not ready. Default: all become ready. */
  readonly becomesReady?: (pod: Pod) => boolean;
}

export interface FakeNode {
  /** Everything it has begun is done. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Registers a node `node-1` and serves every pod that appears. */
export async function startFakeNode(
  client: Client,
  informers: Informers,
  options: FakeNodeOptions = {},
): Promise<FakeNode> {
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } } satisfies KubeObject;
  await client.create(nodes, node);
  const work = new Set<Promise<void>>();
  let last = 0;

  async function start(pod: Pod): Promise<void> {
    const { name, namespace = '', uid } = pod.metadata;
    const ready = options.becomesReady?.(pod) ?? true;
    last++;
    const podIP = `10.244.${last >> 8}.${last & 255}`;
    const now = timestamp(Date.now());
    await client.patch(
      pods,
      { namespace, name },
      { type: 'merge', body: { metadata: { uid }, spec: { nodeName: 'node-1' } } },
    );
    const status = {
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: now,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: now }],
    };
    await client.patch(
      pods,
      { namespace, name },
      { type: 'merge', body: { metadata: { uid }, status } },
      { subresource: 'status' },
    );
  }

  async function end(pod: Pod): Promise<void> {
    const { name, namespace = '', uid = '' } = pod.metadata;
    await client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } });
  }

  function run(task: Promise<void>): void {
    const guarded = task
      .catch((error: unknown) => {
        if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
      })
      .finally(() => work.delete(guarded));
    work.add(guarded);
  }

  const unsubscribe = informers.for(pods).onChange(({ type, object }) => {
    if (type === 'deleted') return;
    if (object.metadata.deletionTimestamp) run(end(object));
    else if (type === 'added' && object.status?.phase === 'Pending') run(start(object));
  });
  const settled = async (): Promise<void> => {
    while (work.size > 0) await Promise.all(work);
  };
  return {
    settled,
    async stop() {
      unsubscribe();
      await settled();
    },
  };
}
