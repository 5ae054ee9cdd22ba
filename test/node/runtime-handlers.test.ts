import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { events } from '../../src/api/kubernetes/events.ts';
import { runtimeClasses } from '../../src/api/kubernetes/runtime-classes.ts';
import { waitFor } from '../support/wait.ts';
import { condition, helloPod, startTestNode, type TestNode } from './support.ts';

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
    const event = await waitFor('the event', async () => {
      const { items } = await node.api.client.list(events, { namespace: 'default' });
      return items.find((one) => one.reason === 'FailedCreatePodSandBox');
    });
    assert.equal(
      event.message,
      'Failed to create pod sandbox: no runtime for "oci" is configured (there are process)',
    );
    const waiting = await node.get('oci');
    assert.equal(condition(waiting, 'PodScheduled'), 'True');
    assert.equal(waiting.status?.phase, 'Pending');
  });
});
