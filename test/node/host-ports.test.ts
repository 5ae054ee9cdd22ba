import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { startTestNode, type TestNode } from './support.ts';

describe('pods that ask for one port of the machine', () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process');
  });
  after(() => node.close());

  const spec = {
    containers: [
      {
        name: 'app',
        image: 'script',
        args: ['setInterval(() => {}, 1000)'],
        ports: [{ containerPort: 80, hostPort: 54_321 }],
      },
    ],
  };

  it('wait for it, or fail where they were put on the node by name', async () => {
    await node.run('holder', spec);
    await node.untilReady('holder');
    await node.run('waiting', spec);
    await node.until('waiting', 'unschedulable', ({ status }) =>
      (status?.conditions ?? []).some(({ message = '' }) => message.includes("didn't have free ports")),
    );
    await node.run('placed', { ...spec, nodeName: 'testnode' });
    const { status } = await node.until('placed', 'Failed', (pod) => pod.status?.phase === 'Failed');
    assert.equal(status?.reason, 'NodePorts');
    assert.equal(
      status.message,
      "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    );
    await node.api.client.delete(pods, { namespace: 'default', name: 'holder' });
    await node.untilReady('waiting');
    await node.api.client.delete(pods, { namespace: 'default', name: 'placed' });
    await node.gone('placed');
  });
});
