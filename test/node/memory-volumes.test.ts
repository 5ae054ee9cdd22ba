import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Pod } from '../../src/api/pods.ts';
import { silentLogger } from '../../src/base/log.ts';
import { memoryTagOf } from '../../src/node/drivers/choose.ts';
import { removeLeftovers } from '../../src/node/leftovers.ts';
import { MemoryDir } from '../../src/node/memory-dir.ts';
import { PodVolumes, type VolumeFile } from '../../src/node/volumes.ts';

const skip = process.platform !== 'linux' && 'only Linux has memory file systems at a known place';

/** A data directory, the places that a pod of it has on disk and in memory, and what makes its volumes. */
async function withPod(
  run: (place: {
    readonly memory: MemoryDir;
    readonly tag: string;
    readonly dataDir: string;
    readonly uid: string;
    readonly dir: string;
    readonly prepare: (volume: object) => Promise<{ readonly volumes: PodVolumes; readonly path: string }>;
  }) => void | Promise<void>,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'knapsack-node-'));
  mkdirSync(join(dataDir, 'node'));
  const tag = memoryTagOf(join(dataDir, 'node'));
  const uid = randomUUID();
  const dir = join(dataDir, 'node/pods', uid, 'volumes');
  const memory = new MemoryDir(tag);
  const files: VolumeFile[] = [{ path: 'key', content: Buffer.from('s3cret'), mode: 0o400 }];
  const prepare = async (volume: object) => {
    const pod = {
      metadata: { name: 'a', uid },
      spec: { containers: [], volumes: [{ name: 'v', ...volume }] },
    };
    const volumes = new PodVolumes(pod as unknown as Pod, dir, memory, {
      files: () => Promise.resolve(files),
      claims: () => Promise.reject(new Error('no claims')),
    });
    await volumes.prepare();
    const mount = { name: 'app', volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    return { volumes, path: volumes.mountsOf(mount, new Map())[0]?.source ?? '' };
  };
  try {
    await run({ memory, tag, dataDir, uid, dir, prepare });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
    rmSync(join('/dev/shm', tag), { recursive: true, force: true });
  }
}

describe('volumes in memory', { skip }, () => {
  for (const [name, volume] of Object.entries({
    secret: { secret: { secretName: 's' } },
    projected: { projected: { sources: [] } },
    downwardAPI: { downwardAPI: { items: [] } },
  })) {
    it(`${name}: its files never reach a disk`, () =>
      withPod(async ({ tag, uid, dir, prepare }) => {
        const { volumes, path } = await prepare(volume);
        assert.equal(path, join('/dev/shm', tag, uid, 'v'));
        assert.equal(readFileSync(join(path, 'key'), 'utf8'), 's3cret');
        assert.equal(existsSync(dir), false);
        // Others may pass with the name of a pod, and learn none.
        assert.equal(statSync(join('/dev/shm', tag)).mode & 0o777, 0o711);
        volumes.remove();
        assert.equal(existsSync(join('/dev/shm', tag, uid)), false);
      }));
  }

  it('configMap: its files are beside the rest of the pod', () =>
    withPod(async ({ dir, prepare }) => {
      assert.equal((await prepare({ configMap: { name: 'c' } })).path, join(dir, 'v'));
    }));

  it('a pod that was started with the volume on disk keeps it there', () =>
    withPod(async ({ dir, prepare }) => {
      mkdirSync(join(dir, 'v'), { recursive: true });
      assert.equal((await prepare({ secret: { secretName: 's' } })).path, join(dir, 'v'));
    }));

  it('a place that others may write to, or that leads elsewhere, is not used', () =>
    withPod(async ({ tag, dir, dataDir, prepare }) => {
      const place = join('/dev/shm', tag);
      const elsewhere = join(dataDir, 'elsewhere');
      mkdirSync(elsewhere);
      symlinkSync(elsewhere, place);
      assert.equal((await prepare({ secret: { secretName: 's' } })).path, join(dir, 'v'));
      rmSync(place);
      rmSync(dir, { recursive: true });
      mkdirSync(place);
      chmodSync(place, 0o777);
      assert.equal((await prepare({ secret: { secretName: 's' } })).path, join(dir, 'v'));
    }));

  it('those of pods that are no more are removed, and all of a killed Knapsack', () =>
    withPod(async ({ memory, tag, dataDir, uid, prepare }) => {
      await prepare({ secret: { secretName: 's' } });
      const gone = memory.of(randomUUID()) ?? '';
      writeFileSync(join(gone, 'file'), '');
      memory.sweep(new Set([uid]));
      assert.deepEqual([existsSync(gone), existsSync(join('/dev/shm', tag, uid))], [false, true]);
      await removeLeftovers({ dataDir, hostEnv: {}, log: silentLogger });
      assert.equal(existsSync(join('/dev/shm', tag)), false);
    }));
});
