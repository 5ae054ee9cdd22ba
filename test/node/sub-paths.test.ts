/** Volumes whose containers try to lead the platform to other files of the machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { configMaps } from '../../src/api/kubernetes/core.ts';
import { openInside } from '../../src/node/safe-path.ts';
import { writeAtomically } from '../../src/node/volumes.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { startTestNode, type DriverName } from './support.ts';

const isLinux = process.platform === 'linux';
const isRoot = process.geteuid?.() === 0;

function directory(t: TestContext): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'knapsack-paths-')));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

describe('a path inside a volume', { skip: !isLinux }, () => {
  /** Where a path leads; the descriptor is checked to be the same. */
  const find = (root: string, path: string, createMode?: number): string => {
    const found = openInside(root, path, createMode === undefined ? {} : { createMode });
    try {
      assert.equal(readlinkSync(`/proc/self/fd/${found.fd}`), found.path);
      assert.equal(fstatSync(found.fd).isDirectory(), found.isDirectory);
      return found.path;
    } finally {
      closeSync(found.fd);
    }
  };

  it('follows links, but never out of it', (t) => {
    const root = join(directory(t), 'volume');
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(join(root, 'a/file'), '');
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const links = {
      up: '../../../..',
      abs: '/a/b',
      host: '/etc',
      out: '../outside',
      loop: 'loop',
      deep: 'a/b/../../up/a',
    };
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name));
    assert.equal(find(root, ''), root);
    assert.equal(find(root, 'a//./b'), join(root, 'a/b'));
    assert.equal(find(root, 'up'), root);
    assert.equal(find(root, 'up/a/file'), join(root, 'a/file'));
    assert.equal(find(root, 'abs'), join(root, 'a/b'));
    assert.equal(find(root, 'abs/../file'), join(root, 'a/file'));
    assert.equal(find(root, 'deep/b'), join(root, 'a/b'));
    assert.equal(find(root, 'pipe'), join(root, 'pipe'));
    assert.throws(() => find(root, 'host'), {
      code: 'NODE_CONTAINER_CONFIG',
      message: /"host" does not exist/,
    });
    assert.throws(() => find(root, 'a/file/x'), /does not exist/);
    assert.throws(() => find(root, 'loop'), {
      code: 'NODE_VOLUME_UNSAFE',
      message: /too many symbolic links/,
    });
    assert.throws(() => find(root, 'a\0b'), /zero byte/);
    // Made where the link leads inside the volume.
    assert.equal(find(root, 'out/new', 0o777), join(root, 'outside/new'));
    assert.equal(statSync(join(root, 'outside/new')).mode & 0o777, 0o777);
    assert.equal(find(root, 'host/passwd', 0o755), join(root, 'etc/passwd'));
    assert.deepEqual(readdirSync(join(root, '..')), ['volume']);
  });

  it('keeps no descriptor open', (t) => {
    const root = directory(t);
    symlinkSync('loop', join(root, 'loop'));
    mkdirSync(join(root, 'a/b/c'), { recursive: true });
    const before = readdirSync('/proc/self/fd').length;
    for (const path of ['a/b/c', 'a/../a/b', 'loop', 'missing', 'a/missing/x']) {
      try {
        find(root, path);
      } catch {
        // Some lead nowhere.
      }
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });

  it('stays inside for any links and any path', (t) => {
    const root = join(directory(t), 'volume');
    const part = fc.constantFrom('a', 'b', 'c', '..', '.', '');
    const path = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));
    const target = fc.tuple(fc.constantFrom('', '/', '../'), path).map(([start, rest]) => start + rest);
    fc.assert(
      fc.property(
        fc.record({ a: target, b: target, c: target }),
        path,
        fc.boolean(),
        (links, wanted, create) => {
          rmSync(root, { recursive: true, force: true });
          mkdirSync(root);
          for (const [name, to] of Object.entries(links)) if (to !== '') symlinkSync(to, join(root, name));
          try {
            const found = find(root, wanted, create ? 0o755 : undefined);
            assert.ok(found === root || found.startsWith(`${root}/`), found);
          } catch (error) {
            assert.match(String(error), /does not exist|too many/);
          }
          assert.deepEqual(readdirSync(join(root, '..')), ['volume']);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('files of a volume', () => {
  it('are written without regard to what a container made of their links', (t) => {
    const dir = directory(t);
    const [volume, precious] = [join(dir, 'volume'), join(dir, 'precious')];
    mkdirSync(volume);
    mkdirSync(precious);
    writeFileSync(join(precious, 'file'), 'kept');
    const files = (text: string) => [{ path: 'key', content: Buffer.from(text), mode: 0o644 }];
    writeAtomically(volume, files('one'));
    rmSync(join(volume, '..data'));
    symlinkSync('../precious', join(volume, '..data'));
    symlinkSync('../precious', join(volume, '..data_tmp'));
    writeAtomically(volume, files('two'));
    assert.equal(readFileSync(join(precious, 'file'), 'utf8'), 'kept');
    assert.equal(readFileSync(join(volume, 'key'), 'utf8'), 'two');
  });
});

/** Puts a `mount` into the directory that is overtaken: between the look at a sub-path and its mount somebody makes a link of it. */
function overtakeMounts(dir: string): void {
  const real = execFileSync('sh', ['-c', 'command -v mount'], { encoding: 'utf8' }).trim();
  const script = [
    '#!/bin/sh',
    'case "$1 $2" in',
    '"--bind "*/swapped) rm -r "$2" && ln -s "$SECRET" "$2" ;;',
    'esac',
    `exec ${real} "$@"`,
  ].join('\n');
  writeFileSync(join(dir, 'mount'), `${script}\n`);
  chmodSync(join(dir, 'mount'), 0o755);
}

describe('a sub-path that is changed while it is being mounted', { skip: ociSkipReason() ?? false }, () => {
  for (const kind of ['directory', 'file'] as const) {
    it(`shows a container nothing of the machine (${kind})`, async (t) => {
      const dir = directory(t);
      const secret = join(dir, 'secret');
      if (kind === 'directory') mkdirSync(secret);
      writeFileSync(kind === 'directory' ? join(secret, 'file') : secret, 'of the machine');
      overtakeMounts(dir);
      const { PATH } = process.env;
      process.env['PATH'] = `${dir}:${PATH}`;
      process.env['SECRET'] = secret;
      const node = await startTestNode('oci').finally(() => (process.env['PATH'] = PATH));
      delete process.env['SECRET'];
      t.after(() => node.close());
      const volumeMounts = [{ name: 'work', mountPath: '/work' }];
      const make = kind === 'directory' ? `mkdirSync('/work/swapped')` : `writeFileSync('/work/swapped', '')`;
      await node.run('victim', {
        restartPolicy: 'Never',
        volumes: [{ name: 'work', emptyDir: {} }],
        initContainers: [{ name: 'make', image: 'script', args: [`require('fs').${make}`], volumeMounts }],
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [
              `console.log(require('fs').readFileSync('/seen${kind === 'directory' ? '/file' : ''}', 'utf8'))`,
            ],
            volumeMounts: [{ name: 'work', mountPath: '/seen', subPath: 'swapped' }],
          },
        ],
      });
      const pod = await node.until('victim', 'its end', (p) =>
        ['Failed', 'Succeeded'].includes(p.status?.phase ?? ''),
      );
      const { reason, message } = pod.status?.containerStatuses?.[0]?.state?.terminated ?? {};
      assert.equal(reason, 'StartError', await node.logs('victim'));
      assert.match(message ?? '', /subPath "swapped" was changed while it was being mounted/);
    });
  }
});

for (const driver of ['process', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : !isLinux;
  describe(`sub-paths, ${driver} driver`, { skip: skip ?? false }, () => {
    it('are directories that are as open as their volume, and files', { skip: !isRoot }, async (t) => {
      const node = await startTestNode(driver);
      t.after(() => node.close());
      await node.api.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings', namespace: 'default' },
        data: { key: 'value' },
      });
      const script = `
        const fs = require('fs');
        const [, directory, file] = process.argv;
        fs.writeFileSync(directory + '/made', 'x');
        let refused = false;
        try { fs.writeFileSync(file, 'changed'); } catch { refused = true; }
        console.log(JSON.stringify([fs.readFileSync(file, 'utf8'), refused]));`;
      await node.run('parts', {
        restartPolicy: 'Never',
        volumes: [
          { name: 'work', emptyDir: {} },
          { name: 'settings', configMap: { name: 'settings' } },
        ],
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [script, '/part', '/etc/setting'],
            securityContext: { runAsUser: 2020 },
            volumeMounts: [
              { name: 'work', mountPath: '/part', subPath: 'one/two' },
              { name: 'settings', mountPath: '/etc/setting', subPath: 'key' },
            ],
          },
        ],
      });
      const pod = await node.until('parts', 'its end', (p) =>
        ['Failed', 'Succeeded'].includes(p.status?.phase ?? ''),
      );
      assert.deepEqual(JSON.parse(await node.logs('parts')), ['value', true]);
      assert.equal(pod.status?.phase, 'Succeeded');
    });

    it("hand on the volume's group, and are as sticky", { skip: !isRoot }, async (t) => {
      const node = await startTestNode(driver);
      t.after(() => node.close());
      const shown = `console.log(JSON.stringify(process.argv.slice(1).map((path) => {
        const { mode, gid } = require('fs').statSync(path);
        return [(mode & 0o7777).toString(8), gid];
      })))`;
      await node.run('grouped', {
        restartPolicy: 'Never',
        securityContext: { fsGroup: 4321 },
        volumes: [
          { name: 'disk', emptyDir: {} },
          { name: 'memory', emptyDir: { medium: 'Memory' } },
        ],
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [shown, '/disk', '/memory'],
            volumeMounts: [
              { name: 'disk', mountPath: '/disk', subPath: 'one' },
              { name: 'memory', mountPath: '/memory', subPath: 'one' },
            ],
          },
        ],
      });
      await node.until('grouped', 'its end', ({ status }) => status?.phase === 'Succeeded');
      const found = [
        ['2777', 4321],
        ['3777', 4321],
      ];
      assert.deepEqual(JSON.parse(await node.logs('grouped')), found);
    });

    it('that are not there keep the container from being made, and say so', async (t) => {
      const node = await startTestNode(driver);
      t.after(() => node.close());
      await node.api.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings', namespace: 'default' },
        data: { key: 'value' },
      });
      await node.run('missing', {
        volumes: [{ name: 'settings', configMap: { name: 'settings' } }],
        containers: [
          {
            name: 'app',
            image: 'script',
            volumeMounts: [{ name: 'settings', mountPath: '/etc/setting', subPath: 'other' }],
          },
        ],
      });
      const waiting = (p: Awaited<ReturnType<typeof node.get>>) =>
        p.status?.containerStatuses?.[0]?.state?.waiting;
      const pod = await node.until('missing', 'words', (p) => {
        return waiting(p)?.reason === 'CreateContainerConfigError';
      });
      assert.match(waiting(pod)?.message ?? '', /path "other" does not exist in the volume/);
    });
  });
}

describe('volumes of ConfigMaps', { skip: ociSkipReason() ?? false }, () => {
  it('cannot be written by a container, even as root', async (t) => {
    const node = await startTestNode('oci');
    t.after(() => node.close());
    await node.api.client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'default' },
      data: { key: 'value' },
    });
    await node.run('vandal', {
      restartPolicy: 'Never',
      volumes: [{ name: 'settings', configMap: { name: 'settings' } }],
      containers: [
        {
          name: 'app',
          image: 'script',
          args: ["require('fs').renameSync('/settings/..data', '/settings/x')"],
          volumeMounts: [{ name: 'settings', mountPath: '/settings', readOnly: false }],
        },
      ],
    });
    await node.until('vandal', 'its failure', (p) => p.status?.phase === 'Failed');
    assert.match(await node.logs('vandal'), /EROFS/);
  });
});
