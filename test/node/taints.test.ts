/** Taints keep pods from the node, as the scheduler says it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import type { Pod } from '../../src/api/pods.ts';
import { condition, startTestNode } from './support.ts';

describe('a tainted node', () => {
  it('takes pods that tolerate it, and the others when it is clean again', async (t) => {
    const node = await startTestNode('process');
    t.after(() => node.close());
    const setNode = (spec: object) =>
      node.api.client.patch(nodes, { name: 'testnode' }, { type: 'merge', body: { spec } });
    const containers = [{ name: 'app', image: 'script', args: ['setInterval(() => {}, 1000)'] }];
    const refused = async (name: string): Promise<string | undefined> => {
      const pod = await node.until(name, 'a refusal', (p) => condition(p, 'PodScheduled') === 'False');
      return pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.message;
    };
    const cordon = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

    await setNode({ taints: [{ key: 'gpu', value: 'true', effect: 'NoSchedule' }] });
    await node.run('plain', { containers });
    assert.equal(
      await refused('plain'),
      '0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}.',
    );
    const tolerations = [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule' }];
    await node.run('tolerant', { containers, tolerations });
    await node.untilReady('tolerant');
    // The scheduler is not asked about a pod that names its node.
    await node.run('bound', { containers, nodeName: 'testnode' });
    await node.untilReady('bound');

    await setNode({ unschedulable: true, taints: [cordon] });
    await node.run('late', { containers });
    // One reason: the filters after the first that says no are not asked.
    assert.equal(await refused('late'), '0/1 nodes are available: 1 node(s) were unschedulable.');
    await setNode({ unschedulable: null, taints: null });
    for (const name of ['plain', 'late']) await node.untilReady(name);
  });

  it('fails a pod that was put there by name and would have to leave at once', async (t) => {
    const node = await startTestNode('process');
    t.after(() => node.close());
    const body = { spec: { taints: [{ key: 'down', effect: 'NoExecute' }] } };
    await node.api.client.patch(nodes, { name: 'testnode' }, { type: 'merge', body });
    const run = (name: string, more: Partial<NonNullable<Pod['spec']>>) =>
      node.run(name, { containers: [{ name: 'app', image: 'hello' }], ...more });
    await run('bound', { nodeName: 'testnode' });
    const { status } = await node.until('bound', 'Failed', (p) => p.status?.phase === 'Failed');
    assert.equal(status?.reason, 'TaintToleration');
  });
});
