import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runtimeClasses } from '../../src/api/kubernetes/runtime-classes.ts';
import { helloPod, startTestNode, type TestNode } from './support.ts';

describe('RuntimeClasses on the node', () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process');
  });
  after(() => node.close());

  it('a pod runs when the handler of its class is served here, and waits otherwise', async () => {
    for (const handler of ['process', 'oci']) {
      await node.api.client.create(runtimeClasses, {
        apiVersion: 'node.k8s.io/v1',
        kind: 'RuntimeClass',
        metadata: { name: handler },
        handler,
      });
      await node.run(handler, { ...helloPod, runtimeClassName: handler });
    }
    await node.untilReady('process');
    const waiting = await node.until('oci', 'to wait', (pod) =>
      Boolean(pod.status?.conditions?.some((one) => one.type === 'PodScheduled' && one.status === 'False')),
    );
    const scheduled = waiting.status?.conditions?.find((one) => one.type === 'PodScheduled');
    assert.equal(
      scheduled?.message,
      '0/1 nodes are available: 1 node(s) had no runtime handler "oci" (process).',
    );
  });
});
