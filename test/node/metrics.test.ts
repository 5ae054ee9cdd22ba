import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { parseQuantity } from '../../src/api/kubernetes/quantity.ts';
import type { Pod } from '../../src/api/pods.ts';
import { parsePs, processGroupStats } from '../../src/node/drivers/process-stats.ts';
import { MetricsSampler, type MeasuredPod } from '../../src/node/metrics.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode, type TestNode } from './support.ts';

const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', namespace: 'default', labels: { app: 'a' } },
};

describe('metrics sampler', () => {
  function startSampler(containers: MeasuredPod['containers']) {
    const clock = new ManualClock(1_700_000_000_000);
    const sampler = new MetricsSampler({
      clock,
      nodeName: 'n',
      memoryBytes: 2 ** 60,
      running: () => [{ pod, containers }],
      nodeLabels: () => ({ role: 'all' }),
    });
    return { clock, sampler };
  }

  /** Lets what was begun reach its next timer. */
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('averages CPU between two looks and does not look while nobody asks', async () => {
    let looks = 0;
    const stats = () => Promise.resolve({ cpuMs: 250 * looks++, memoryBytes: 10_240 });
    const { clock, sampler } = startSampler([{ name: 'app', id: '1', startedAt: 0, stats }]);
    clock.advance(3_600_000);
    assert.equal(looks, 0);
    const first = sampler.pods();
    await turn();
    clock.advance(1000);
    const [figures] = await first;
    assert.deepEqual(figures?.containers, [{ name: 'app', usage: { cpu: '250000000n', memory: '10Ki' } }]);
    assert.equal(figures.window, '1s');
    assert.deepEqual(figures.metadata.labels, { app: 'a' });
    // While someone has asked, a look each 15 seconds; after some minutes none.
    clock.advance(15_000);
    await turn();
    assert.equal(looks, 3);
    const [second] = await sampler.pods();
    assert.equal(second?.window, '15s');
    for (let i = 0; i < 100; i++) {
      clock.advance(15_000);
      await turn();
    }
    assert.ok(looks > 10);
    assert.ok(looks < 20);
    // The next question begins anew: an average over half an hour would say little.
    const third = sampler.pods();
    await turn();
    clock.advance(1000);
    assert.equal((await third)[0]?.window, '1s');
  });

  it('leaves out a pod of which a container has no figures yet', async () => {
    const stats = () => Promise.resolve({ cpuMs: 1, memoryBytes: 1 });
    const { clock, sampler } = startSampler([
      { name: 'app', id: '1', startedAt: 0, stats },
      { name: 'side', id: '2', startedAt: 0, stats: () => Promise.reject(new Error('it has ended')) },
    ]);
    const found = sampler.pods();
    await turn();
    clock.advance(1000);
    assert.deepEqual(await found, []);
  });

  it('measures a container that came between two looks since its start', async () => {
    const containers: MeasuredPod['containers'][number][] = [];
    const { clock, sampler } = startSampler(containers);
    const found = sampler.nodes();
    await turn();
    clock.advance(1000);
    await found;
    clock.advance(5000);
    const stats = () => Promise.resolve({ cpuMs: 5000, memoryBytes: 1 });
    containers.push({ name: 'app', id: '1', startedAt: clock.now(), stats });
    clock.advance(10_000);
    await turn();
    const [figures] = await sampler.pods();
    assert.equal(figures?.window, '10s');
    assert.equal(figures.containers[0]?.usage['cpu'], '500000000n');
  });

  it('tells the memory and CPU of the machine', async () => {
    const { clock, sampler } = startSampler([]);
    const found = sampler.nodes();
    await turn();
    clock.advance(1000);
    const [node] = await found;
    assert.equal(node?.metadata.name, 'n');
    assert.ok((parseQuantity(node.usage['memory'] ?? '') ?? 0) > 0);
    assert.ok((parseQuantity(node.usage['cpu'] ?? '') ?? -1) >= 0);
  });
});

describe('figures of a process group', () => {
  it('come from /proc', { skip: process.platform !== 'linux' }, async () => {
    const busy = spawn(process.execPath, ['-e', 'for (;;);'], { detached: true, stdio: 'ignore' });
    const { pid = 0 } = busy;
    try {
      await waitFor('CPU time', async () => ((await processGroupStats(pid))?.cpuMs ?? 0) >= 200);
      assert.ok(((await processGroupStats(pid))?.memoryBytes ?? 0) > 2 ** 20);
    } finally {
      busy.kill('SIGKILL');
      await once(busy, 'exit');
    }
    assert.equal(await processGroupStats(pid), undefined);
  });

  it('come from ps elsewhere', () => {
    const text = '  501  2048   0:01.50\n  501  1024 1-02:03:04\n  502 9 0:00.00\n\n';
    const day = 26 * 3_600_000 + 3 * 60_000 + 4000;
    assert.deepEqual(parsePs(text, 501), { cpuMs: 1500 + day, memoryBytes: 3 * 2 ** 20 });
    assert.equal(parsePs(text, 7), undefined);
  });
});

for (const driver of ['process', 'oci'] as const) {
  const skip = driver === 'oci' ? (ociSkipReason() ?? false) : false;
  describe(`figures of pods under the ${driver} driver`, { skip }, () => {
    let node: TestNode;
    before(async () => {
      node = await startTestNode(driver);
    });
    after(() => node.close());

    it('show which pod is busy', async () => {
      const spin = 'setInterval(() => { const end = Date.now() + 50; while (Date.now() < end); }, 100)';
      const rest = 'setInterval(() => {}, 1000)';
      for (const [name, code] of [
        ['busy', spin],
        ['idle', rest],
      ] as const) {
        await node.run(name, { containers: [{ name: 'app', image: 'script', args: [code] }] });
      }
      for (const name of ['busy', 'idle']) {
        await node.until(name, 'Running', (found) => found.status?.phase === 'Running');
      }
      // The start of a process is work, too: it takes a while until rest looks like rest.
      await waitFor('figures of both', async () => {
        const found = new Map((await node.agent.metrics.pods()).map((one) => [one.metadata.name, one]));
        const cores = (name: string) => parseQuantity(found.get(name)?.containers[0]?.usage['cpu'] ?? '');
        const [busy, idle] = [cores('busy'), cores('idle')];
        const memory = parseQuantity(found.get('idle')?.containers[0]?.usage['memory'] ?? '') ?? 0;
        if (busy === undefined || idle === undefined) return false;
        return memory > 2 ** 20 && busy > 0.1 && busy > 2 * idle;
      });
    });
  });
}
