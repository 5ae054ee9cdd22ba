import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode, type TestNode } from './support.ts';

describe('pods whose objects others keep', () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process');
  });
  after(() => node.close());

  const key = (name: string) => ({ namespace: 'default', name });
  const filesOf = (pod: Pod): string => join(node.dataDir, 'node', 'pods', pod.metadata.uid ?? '');
  const ended = (pod: Pod): boolean =>
    pod.metadata.deletionGracePeriodSeconds === 0 &&
    pod.status?.containerStatuses?.[0]?.state?.terminated !== undefined;
  const finalizers = ['example.com/kept'];

  async function release(name: string): Promise<void> {
    const body = { metadata: { finalizers: null } };
    await node.api.client.patch(pods, key(name), { type: 'merge', body });
    await node.gone(name);
  }

  it('keep their logs until they are let go, and leave nothing then', async () => {
    const args = ['console.log("was here"); setInterval(() => {}, 1000)'];
    const pod = await node.run(
      'kept',
      { containers: [{ name: 'app', image: 'script', args }] },
      { finalizers },
    );
    await waitFor('the log', async () => (await node.logs('kept').catch(() => '')) === 'was here\n');
    await node.api.client.delete(pods, key('kept'), { gracePeriodSeconds: 1 });
    await node.until('kept', 'the end of its container', ended);
    assert.equal(await node.logs('kept'), 'was here\n');
    assert.ok(existsSync(filesOf(pod)));
    await release('kept');
    await waitFor('its files to go', () => !existsSync(filesOf(pod)));
  });

  it('hold no CPU while they are kept', async () => {
    const { status } = await node.api.client.get(nodes, { name: 'testnode' });
    const requests = { cpu: status?.allocatable?.['cpu'] ?? '1' };
    const sleeper = {
      containers: [
        { name: 'app', image: 'script', args: ['setInterval(() => {}, 1000)'], resources: { requests } },
      ],
    };
    await node.run('first', sleeper, { finalizers });
    await node.untilReady('first');
    await node.run('second', sleeper);
    await node.until('second', 'Unschedulable', (pod) =>
      (pod.status?.conditions ?? []).some((c) => c.reason === 'Unschedulable'),
    );
    await node.api.client.delete(pods, key('first'), { gracePeriodSeconds: 1 });
    await node.until('first', 'the end of its container', ended);
    await node.untilReady('second');
    await release('first');
    await node.api.client.delete(pods, key('second'), { gracePeriodSeconds: 0 });
    await node.gone('second');
  });

  it('keep what they had come to over a restart of the agent', async (t) => {
    const args = [
      'console.log("gone"); process.on("SIGTERM", () => process.exit(3)); setInterval(() => {}, 1000)',
    ];
    const first = await startTestNode('process');
    t.after(() => first.close());
    await first.run('past', { containers: [{ name: 'app', image: 'script', args }] }, { finalizers });
    await waitFor('the log', async () => (await first.logs('past').catch(() => '')) === 'gone\n');
    await first.api.client.delete(pods, key('past'), { gracePeriodSeconds: 5 });
    await first.until('past', 'the end of its container', ended);
    await first.agent.close({ removePods: false });
    const second = await startTestNode('process', { api: first.api, root: join(first.dataDir, '..') });
    t.after(() => second.close());
    await waitFor('the log', async () => (await second.logs('past').catch(() => '')) === 'gone\n');
    await second.agent.close({ removePods: false });
    const { status } = await first.get('past');
    assert.equal(status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
  });

  it('do not keep the agent from closing', async (t) => {
    const other = await startTestNode('process');
    let closed = false;
    t.after(() => (closed ? undefined : other.close()));
    await other.run(
      'stays',
      { containers: [{ name: 'app', image: 'script', args: ['setInterval(() => {}, 1000)'] }] },
      { finalizers },
    );
    await other.untilReady('stays');
    await other.api.client.delete(pods, key('stays'), { gracePeriodSeconds: 1 });
    await other.until('stays', 'the end of its container', ended);
    await other.close();
    closed = true;
  });
});
