/** What happens to a machine at night: it starts anew, its disk is full, its clock is put back, others are on it too. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Pod } from '../../src/api/pods.ts';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { identifyProcess, isSameProcess } from '../../src/base/process.ts';
import { newRecord } from '../../src/node/container-record.ts';
import { memoryTagOf } from '../../src/node/drivers/choose.ts';
import { MemoryDir } from '../../src/node/memory-dir.ts';
import { removeLeftovers } from '../../src/node/leftovers.ts';
import { startProbing } from '../../src/node/prober.ts';
import { planRestart } from '../../src/node/restart.ts';
import { loadPods, PodFile, type SavedPod } from '../../src/node/saved-pod.ts';
import { readTerminationMessage } from '../../src/node/termination-message.ts';
import { PodVolumes } from '../../src/node/volumes.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode, type DriverName } from './support.ts';

const isLinux = process.platform === 'linux';
const isRoot = process.geteuid?.() === 0;
const forever = 'setInterval(() => {}, 1000)';

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-faults-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

describe('the termination message', { skip: process.platform === 'win32' }, () => {
  it('is the end of a file, of any length, and of nothing else', (t) => {
    const dir = directory(t);
    const path = (name: string): string => join(dir, name);
    writeFileSync(path('short'), 'because');
    writeFileSync(path('long'), `${'x'.repeat(5000)}why`);
    writeFileSync(path('endless'), 'x');
    truncateSync(path('endless'), 2 ** 40);
    symlinkSync(path('short'), path('link'));
    execFileSync('mkfifo', [path('pipe')]);
    mkdirSync(path('directory'));
    assert.equal(readTerminationMessage(path('short')), 'because');
    assert.equal(readTerminationMessage(path('long')), `${'x'.repeat(4093)}why`);
    assert.equal(readTerminationMessage(path('endless')).length, 4096);
    for (const name of ['link', 'pipe', 'directory', 'nothing']) {
      assert.equal(readTerminationMessage(path(name)), '', name);
    }
  });
});

describe('a clock that is put back', () => {
  it('does not make a restart wait longer than its back-off', () => {
    const spec = { name: 'app', image: 'i' };
    const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [spec] } };
    const record = { ...newRecord(spec, 'main'), backoff: { delayMs: 10_000 } };
    const finished = Date.parse('2026-01-01T12:00:00Z');
    const terminated = { exitCode: 1, startedAt: '2026-01-01T11:59:59Z', finishedAt: '2026-01-01T12:00:00Z' };
    assert.equal(planRestart(pod, record, terminated, finished + 4000)?.remainingMs, 6000);
    assert.equal(planRestart(pod, record, terminated, finished - 3_600_000)?.remainingMs, 10_000);
  });
});

describe('a clock that is put forward', () => {
  it('does not use up the time that a container has to start', async () => {
    let offset = 0;
    let attempts = 0;
    const clock = { ...systemClock, now: () => Date.now() + offset };
    const probe = { exec: { command: ['check'] }, periodSeconds: 10, failureThreshold: 3 };
    const end = await new Promise<string>((resolve) => {
      const probing = startProbing(
        {
          container: { name: 'app', image: 'i', startupProbe: probe },
          host: '127.0.0.1',
          portOf: (port) => port,
          exec: () => {
            offset = 3_600_000;
            return Promise.resolve({ exitCode: ++attempts < 3 ? 1 : 0, output: '' });
          },
        },
        clock,
        {
          started: () => {
            probing.stop();
            resolve('started');
          },
          ready: () => undefined,
          unhealthy: () => undefined,
          failed: () => resolve('failed'),
        },
      );
    });
    assert.equal(end, 'started');
  });
});

describe('the state of a pod', () => {
  const pod: SavedPod = { namespace: 'default', name: 'p', uid: 'u', driver: 'process', containers: [] };

  it('that could not be saved is saved when there is room again', (t) => {
    const dir = directory(t);
    const clock = new ManualClock();
    const file = new PodFile(join(dir, 'u'), { clock, log: silentLogger });
    // Where the file would be written there is something that cannot be written.
    mkdirSync(join(dir, 'u/state.json.tmp/full'), { recursive: true });
    file.save(pod);
    file.save({ ...pod, name: 'newest' });
    clock.advance(5000);
    assert.equal(loadPods(dir).get('u'), undefined);
    rmSync(join(dir, 'u/state.json.tmp'), { recursive: true });
    clock.advance(5000);
    assert.equal(loadPods(dir).get('u')?.name, 'newest');
    rmSync(join(dir, 'u'), { recursive: true });
    file.save(pod);
    clock.advance(5000);
    assert.equal(existsSync(join(dir, 'u')), false);
  });

  it('that is no state, as after a power cut, counts as none', (t) => {
    const dir = directory(t);
    for (const [uid, text] of Object.entries({
      a: '',
      b: 'null',
      c: '{}',
      d: '{"containers":7}',
      e: '\0\0',
    })) {
      mkdirSync(join(dir, uid));
      writeFileSync(join(dir, uid, 'state.json'), text);
    }
    assert.deepEqual([...loadPods(dir).values()], [undefined, undefined, undefined, undefined, undefined]);
  });

  it('holds no process of before the machine was started', { skip: !isLinux }, (t) => {
    const dir = directory(t);
    mkdirSync(join(dir, 'u'));
    const common = {
      restartCount: 3,
      attempted: true,
      imageID: 'i',
      containerID: 'c',
      stopSignal: 'SIGTERM' as const,
      backoffMs: 0,
    };
    const running = { ...common, name: 'app', handle: { process: { pid: 1, started: '1' } }, id: 'u_app_3' };
    const ended = { ...common, name: 'init' };
    const saved: SavedPod = { ...pod, sandbox: { ip: '10.128.0.2' }, containers: [running, ended] };
    new PodFile(join(dir, 'u'), { clock: new ManualClock(), log: silentLogger }).save(saved);
    assert.deepEqual(loadPods(dir).get('u'), saved);
    assert.deepEqual(loadPods(dir, 'another').get('u'), {
      ...pod,
      containers: [{ ...common, name: 'app', wasLost: true }, ended],
    });
  });
});

for (const driver of ['process', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : !isLinux;
  describe(`after a restart of the machine, ${driver} driver`, { skip: skip ?? false }, () => {
    it('pods run again by their policy, and whoever has their old numbers is left alone', async (t) => {
      const first = await startTestNode(driver);
      t.after(() => first.close());
      const app = { name: 'app', image: 'script', args: [forever] };
      await first.run('always', { containers: [app] });
      await first.run('never', { restartPolicy: 'Never', containers: [app] });
      for (const name of ['always', 'never']) await first.untilReady(name);
      await first.agent.close({ removePods: false });

      const innocent = spawn('sleep', ['1000'], { stdio: 'ignore' });
      t.after(() => innocent.kill('SIGKILL'));
      const identity = identifyProcess(innocent.pid ?? 0);
      assert.ok(identity);
      for (const file of globSync(join(first.dataDir, 'node/pods/*/state.json'))) {
        const state = JSON.parse(readFileSync(file, 'utf8')) as {
          boot: string;
          uid: string;
          containers: { handle: { process: { pid: number } } }[];
        };
        // The machine goes down: processes and networks are gone, files are not.
        for (const { handle } of state.containers) {
          process.kill(handle.process.pid, 'SIGKILL');
          handle.process = identity;
        }
        // What a command of the killed agent left, its environment in it.
        mkdirSync(join(first.dataDir, 'node/oci/run'), { recursive: true });
        writeFileSync(join(first.dataDir, 'node/oci/run/open-1-7.json'), '{}');
        // What a runtime keeps of a pod that has been deleted since, and the layer of a container.
        mkdirSync(join(first.dataDir, 'node/oci/state/deleted_app_0'), { recursive: true });
        mkdirSync(join(first.dataDir, 'node/pods', state.uid, 'containers/old/upper'), { recursive: true });
        const netns = globSync(`/run/netns/knapsack-*-${state.uid}`);
        for (const path of netns) execFileSync('ip', ['netns', 'del', basename(path)]);
        state.boot = 'the one before';
        writeFileSync(file, JSON.stringify(state));
      }

      const second = await startTestNode(driver, { api: first.api, root: join(first.dataDir, '..') });
      t.after(() => second.close());
      const again = await second.until('always', 'a restart', (pod) => {
        return (
          pod.status?.containerStatuses?.[0]?.restartCount === 1 && pod.status.containerStatuses[0].ready
        );
      });
      const last = again.status?.containerStatuses?.[0]?.lastState?.terminated;
      assert.equal(last?.reason, 'ContainerStatusUnknown');
      assert.equal(last?.exitCode, 137);
      const over = await second.until('never', 'its end', (pod) => pod.status?.phase === 'Failed');
      assert.equal(over.status?.containerStatuses?.[0]?.state?.terminated?.reason, 'ContainerStatusUnknown');
      assert.equal(over.status?.containerStatuses?.[0]?.restartCount, 0);
      assert.ok(isSameProcess(identity), 'nobody else was killed');
      if (driver === 'oci') {
        assert.deepEqual(globSync(join(second.dataDir, 'node/oci/state/deleted*')), []);
        assert.deepEqual(globSync(join(second.dataDir, 'node/oci/run/open-*')), []);
        const { uid = '' } = again.metadata;
        const layers = globSync(join(second.dataDir, 'node/pods', uid, 'containers/*'));
        assert.deepEqual(
          layers.map((path) => basename(path)),
          [`${uid}_app_1`],
        );
      }
      await second.close();
      await first.close();
    });
  });
}

describe('a runtime that is killed', { skip: ociSkipReason() ?? false }, () => {
  it('takes its container with it, which starts again', async (t) => {
    const node = await startTestNode('oci');
    t.after(() => node.close());
    await node.run('orphan', { containers: [{ name: 'app', image: 'script', args: [forever] }] });
    const pod = await node.untilReady('orphan');
    const state = JSON.parse(
      readFileSync(join(node.dataDir, 'node/pods', pod.metadata.uid ?? '', 'state.json'), 'utf8'),
    ) as { containers: { handle: { process: { pid: number; started: string } } }[] };
    const main = state.containers[0]?.handle.process;
    assert.ok(main && isSameProcess(main));
    const runtime = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${main.pid}/status`, 'utf8'))?.[1]);
    process.kill(runtime, 'SIGKILL');
    const again = await node.until('orphan', 'a restart', (p) => {
      return p.status?.containerStatuses?.[0]?.restartCount === 1 && p.status.containerStatuses[0].ready;
    });
    assert.equal(again.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    await waitFor('the old process to end', () => !isSameProcess(main));
  });
});

describe('volumes in memory', { skip: !isLinux || !isRoot }, () => {
  const volumesOf = (tag: string, dir: string): PodVolumes => {
    const metadata = { name: 'p', namespace: 'default', uid: 'u' };
    const spec = {
      containers: [{ name: 'app', image: 'i' }],
      volumes: [{ name: 'work', emptyDir: { medium: 'Memory' } }],
    };
    const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec };
    return new PodVolumes(pod, dir, new MemoryDir(tag), {
      files: () => Promise.resolve([]),
      claims: () => Promise.reject(new Error('no claims')),
    });
  };

  it('are not made where another user of the machine was first', async (t) => {
    const dir = directory(t);
    const tag = `knapsack-test-${process.pid}`;
    const place = join('/dev/shm', tag);
    mkdirSync(place);
    t.after(() => rmSync(place, { recursive: true }));
    await volumesOf(tag, dir).prepare();
    assert.ok(existsSync(join(place, 'u/work')));
    chownSync(place, 2020, 2020);
    await assert.rejects(volumesOf(tag, dir).prepare(), {
      code: 'NODE_VOLUME_UNSAFE',
      message: /belongs to another user of this machine/,
    });
  });

  it('are swept nowhere else', (t) => {
    const dir = directory(t);
    writeFileSync(join(dir, 'precious'), '');
    const tag = `knapsack-test-link-${process.pid}`;
    symlinkSync(dir, join('/dev/shm', tag));
    t.after(() => rmSync(join('/dev/shm', tag)));
    new MemoryDir(tag).sweep(new Set());
    assert.ok(existsSync(join(dir, 'precious')));
  });

  it('go with everything else that a killed agent left', async (t) => {
    const dataDir = directory(t);
    mkdirSync(join(dataDir, 'node'));
    const place = join('/dev/shm', memoryTagOf(join(dataDir, 'node')));
    mkdirSync(join(place, 'u/work'), { recursive: true });
    await removeLeftovers({ dataDir, hostEnv: process.env, log: silentLogger });
    assert.equal(existsSync(place), false);
  });
});
