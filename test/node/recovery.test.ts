import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { podAddress, type Pod } from '../../src/api/pods.ts';
import { tagOf } from '../../src/node/drivers/choose.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { startDurableApi, startTestNode, tryHttp, type DriverName, type TestNode } from './support.ts';

const child = fileURLToPath(new URL('agent-child.ts', import.meta.url));

/** Starts an agent in another process, waits until its pods are Ready, and kills it. */
async function runAndKill(driver: DriverName, root: string, names: readonly string[]): Promise<void> {
  const agent = spawn(process.execPath, [child, driver, root, ...names], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    agent.stdout.once('data', () => resolve());
    void ended.then((code) => reject(new Error(`the agent ended with ${String(code)}`)));
  });
  agent.kill('SIGKILL');
  await ended;
}

async function answers(pod: Pod): Promise<boolean> {
  const { host, port } = podAddress(pod, 8080) ?? { host: '', port: 0 };
  return (await tryHttp(host, port)) !== undefined;
}

function streamsOf(pod: string) {
  return {
    namespace: 'default',
    pod,
    container: 'app',
    stdin: false,
    stdout: true,
    stderr: false,
    tty: false,
  };
}

/** What a command in a pod's container prints. */
async function outputOf(node: TestNode, pod: string, command: readonly string[]): Promise<string> {
  const running = await node.agent.streams.exec({ ...streamsOf(pod), command })();
  let text = '';
  for await (const chunk of running.stdout ?? []) text += String(chunk);
  assert.deepEqual(await running.ended, { kind: 'exited', code: 0 });
  return text;
}

/** Processes whose command line or environment names the directory. */
function processesOf(root: string): string[] {
  return globSync('/proc/[0-9]*/cmdline').filter((file) => {
    try {
      return readFileSync(file, 'utf8').includes(root) && !file.includes(`/${process.pid}/`);
    } catch {
      return false;
    }
  });
}

describe('recovery by another driver', { skip: ociSkipReason() ?? false }, () => {
  it('ends the containers and starts the pod anew', async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'knapsack-node-'));
    mkdirSync(join(root, 'store'));
    try {
      await runAndKill('oci', root, ['moved']);
      const tag = tagOf(join(root, 'data/node'));
      const api = await startDurableApi(join(root, 'store'));
      const old = await api.client.get(pods, { namespace: 'default', name: 'moved' });
      const node = await startTestNode('process', { api, root });
      t.after(() => node.close());
      const pod = await node.until('moved', 'a start', (p) => {
        return p.status?.containerStatuses?.[0]?.containerID?.startsWith('process://') === true;
      });
      await waitFor('an answer', () => answers(pod));
      assert.equal(await answers(old), false);
      assert.equal(existsSync(`/sys/class/net/kns${tag}`), false);
      await node.close();
      await api.close();
      assert.deepEqual(processesOf(root), []);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

for (const driver of ['process', 'spawn', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`recovery, ${driver} driver`, { skip: skip ?? false }, () => {
    it('adopts what runs after SIGKILL, removes what has no pod, and leaves nothing at the end', async (t) => {
      const root = mkdtempSync(join(tmpdir(), 'knapsack-node-'));
      mkdirSync(join(root, 'store'));
      try {
        await runAndKill(driver, root, ['keep', 'orphan', 'victim', 'typed']);
        const api = await startDurableApi(join(root, 'store'));
        const find = (name: string): Promise<Pod> => api.client.get(pods, { namespace: 'default', name });
        const [keep, orphan, victim] = [await find('keep'), await find('orphan'), await find('victim')];
        assert.ok(await answers(keep), 'it runs without the agent');
        await api.client.delete(pods, { namespace: 'default', name: 'orphan' }, { gracePeriodSeconds: 0 });
        const pidOf = (pod: Pod): number => {
          const file = join(root, 'data/node/pods', pod.metadata.uid ?? '', 'state.json');
          const { containers } = JSON.parse(readFileSync(file, 'utf8')) as {
            containers: { handle: { process: { pid: number } } }[];
          };
          return containers[0]?.handle.process.pid ?? 0;
        };
        process.kill(pidOf(victim), 'SIGKILL');

        const node = await startTestNode(driver, { api, root });
        t.after(() => node.close());
        await waitFor('the orphan to end', async () => !(await answers(orphan)));
        const adopted = await node.untilReady('keep');
        const [before, after] = [keep, adopted].map((pod) => pod.status?.containerStatuses?.[0]);
        assert.equal(after?.containerID, before?.containerID);
        assert.equal(after?.restartCount, 0);
        assert.ok(await answers(adopted));
        assert.equal(await node.logs('keep'), 'listening\n');
        assert.equal(await outputOf(node, 'keep', ['node', '-p', '40 + 2']), '42\n');
        await node.untilReady('typed');
        assert.throws(
          () => node.agent.streams.attach({ ...streamsOf('typed'), stdin: true }),
          /standard input of container "app" in pod "typed" is closed: the agent that held it has been restarted/,
        );
        const restarted = await node.until('victim', 'a restart', (pod) => {
          return (
            pod.status?.containerStatuses?.[0]?.restartCount === 1 && pod.status.containerStatuses[0].ready
          );
        });
        assert.ok(await answers(restarted));
        // A shell saw it end while there was no agent.
        const { exitCode } = restarted.status?.containerStatuses?.[0]?.lastState?.terminated ?? {};
        if (driver !== 'spawn' && process.platform === 'linux') assert.equal(exitCode, 137);

        const tag = tagOf(join(root, 'data/node'));
        await api.client.delete(pods, { namespace: 'default', name: 'keep' });
        await node.gone('keep');
        assert.equal(await answers(adopted), false);
        await node.close();
        await api.close();
        if (process.platform === 'linux') {
          await waitFor('all processes to end', () => processesOf(root).length === 0);
          assert.deepEqual(globSync(`/sys/fs/cgroup/*/knapsack-${tag}`), []);
          assert.equal(existsSync(`/sys/class/net/kns${tag}`), false);
          assert.doesNotMatch(readFileSync('/proc/mounts', 'utf8'), new RegExp(root));
        }
        if (driver === 'oci') {
          assert.doesNotMatch(execFileSync('ip', ['netns'], { encoding: 'utf8' }), new RegExp(tag));
        }
        assert.equal(existsSync(join(root, 'data/node/pods')), false);
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
    });

    it('lets pods run on when it is closed without removing them', async (t) => {
      const first = await startTestNode(driver);
      t.after(() => first.close());
      await first.run('stays', {
        containers: [{ name: 'app', image: 'hello', ports: [{ containerPort: 8080 }] }],
      });
      await first.untilReady('stays');
      await first.agent.close({ removePods: false });
      const second = await startTestNode(driver, { api: first.api, root: join(first.dataDir, '..') });
      t.after(() => second.close());
      const pod = await second.untilReady('stays');
      await waitFor('an answer', () => answers(pod));
      assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
      await second.close();
      assert.equal(await answers(pod), false);
      await first.close();
    });
  });
}
