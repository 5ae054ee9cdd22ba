import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../src/image/digest.ts';
import { mediaTypes } from '../../src/image/manifest.ts';
import { ImageStore } from '../../src/image/store.ts';
import { chainIds, Unpacker } from '../../src/image/unpack.ts';
import type { UnpackLimits } from '../../src/image/rootfs.ts';
import {
  makeTar,
  storeImage,
  temporaryDirectory,
  withCode,
  type Compression,
  type TarInput,
} from './support.ts';

interface Unpacked {
  readonly rootfs: string;
  readonly read: (path: string) => string;
}

async function withUnpacker(
  work: (tools: {
    directory: string;
    store: ImageStore;
    unpacker: Unpacker;
    unpack: (layers: readonly (readonly TarInput[])[], compression?: Compression) => Promise<Unpacked>;
  }) => Promise<void>,
  limits?: UnpackLimits,
): Promise<void> {
  await using temporary = await temporaryDirectory();
  const store = await ImageStore.open(join(temporary.path, 'store'));
  const unpacker = new Unpacker(store, join(temporary.path, 'unpacked'), limits);
  await work({
    directory: temporary.path,
    store,
    unpacker,
    async unpack(layers, compression = 'none') {
      const tars = await Promise.all(layers.map((layer) => makeTar(layer)));
      const descriptor = await storeImage(store, 'test', tars, { compression });
      const { manifest } = await store.manifest(descriptor);
      assert.equal(manifest.kind, 'image');
      const rootfs = await unpacker.unpack(
        manifest.layers,
        tars.map((tar) => digestOf(tar)),
      );
      return { rootfs, read: (path) => readFileSync(join(rootfs, path), 'utf8') };
    },
  });
}

describe('unpacking layers', () => {
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    it(`merges layers (${compression})`, () =>
      withUnpacker(async ({ unpack }) => {
        const { rootfs, read } = await unpack(
          [
            [
              [{ name: 'etc', type: 'directory', mode: 0o755 }],
              [{ name: 'etc/a', mode: 0o640 }, 'one'],
              [{ name: 'etc/b' }, 'kept'],
            ],
            [
              [{ name: './etc/a', mode: 0o755 }, 'two'],
              [{ name: 'new/deep/file' }, 'made'],
              [{ name: 'link', type: 'symlink', linkname: '/etc/b' }],
              [{ name: 'hard', type: 'link', linkname: 'etc/b' }],
            ],
          ],
          compression,
        );
        assert.equal(read('etc/a'), 'two');
        assert.equal(read('etc/b'), 'kept');
        assert.equal(read('new/deep/file'), 'made');
        assert.equal(readlinkSync(join(rootfs, 'link')), '/etc/b');
        assert.equal(statSync(join(rootfs, 'hard')).ino, statSync(join(rootfs, 'etc/b')).ino);
        assert.equal(statSync(join(rootfs, 'etc/a')).mode & 0o777, 0o755);
      }));
  }

  it('hides what whiteouts and opaque directories name', () =>
    withUnpacker(async ({ unpack }) => {
      const { rootfs, read } = await unpack([
        [
          [{ name: 'a' }, 'a'],
          [{ name: 'tree/x/y' }, 'y'],
          [{ name: 'opaque/old/file' }, 'old'],
          [{ name: 'opaque/both' }, 'old'],
          [{ name: 'kept' }, 'kept'],
        ],
        [
          [{ name: '.wh.a' }],
          [{ name: '.wh.tree' }],
          [{ name: 'opaque', type: 'directory' }],
          [{ name: 'opaque/both' }, 'new'],
          [{ name: 'opaque/sub/added' }, 'added'],
          [{ name: 'opaque/.wh..wh..opq' }],
          [{ name: 'opaque/later' }, 'later'],
        ],
      ]);
      assert.deepEqual(readdirSync(rootfs).sort(), ['kept', 'opaque']);
      assert.deepEqual(readdirSync(join(rootfs, 'opaque')).sort(), ['both', 'later', 'sub']);
      assert.equal(read('opaque/both'), 'new');
      assert.equal(read('opaque/sub/added'), 'added');
    }));

  it('leaves a lower image as it was when a higher one changes its files', () =>
    withUnpacker(async ({ unpack }) => {
      const base: TarInput[] = [
        [{ name: 'd', type: 'directory', mode: 0o755 }],
        [{ name: 'd/f', mode: 0o644 }, 'base'],
      ];
      const lower = await unpack([base]);
      const upper = await unpack([
        base,
        [
          [{ name: 'd', type: 'directory', mode: 0o700 }],
          [{ name: 'd/f', mode: 0o600 }, 'changed'],
          [{ name: 'd/g' }, 'added'],
        ],
      ]);
      assert.equal(lower.read('d/f'), 'base');
      assert.equal(statSync(join(lower.rootfs, 'd')).mode & 0o777, 0o755);
      assert.equal(existsSync(join(lower.rootfs, 'd/g')), false);
      assert.equal(upper.read('d/f'), 'changed');
    }));

  it('unpacks a base once, and shares its files with what is built upon it', () =>
    withUnpacker(async ({ unpack }) => {
      const base: TarInput[] = [[{ name: 'big' }, 'x'.repeat(100_000)]];
      const first = await unpack([base, [[{ name: 'app1' }, '1']]]);
      const second = await unpack([base, [[{ name: 'app2' }, '2']]]);
      assert.equal(statSync(join(first.rootfs, 'big')).ino, statSync(join(second.rootfs, 'big')).ino);
      assert.equal(existsSync(join(second.rootfs, 'app1')), false);
    }));

  it('shares one unpacking among those who ask at the same time', () =>
    withUnpacker(async ({ store, unpacker }) => {
      const tar = await makeTar([[{ name: 'f' }, 'x']]);
      const layer = { mediaType: mediaTypes.layer, ...(await store.putBlob(tar)) };
      const ask = (): Promise<string> => unpacker.unpack([layer], [digestOf(tar)]);
      const [one, ...others] = await Promise.all([ask(), ask(), ask()]);
      for (const other of others) assert.equal(other, one);
      const inode = statSync(join(one, 'f')).ino;
      await ask();
      assert.equal(statSync(join(one, 'f')).ino, inode, 'a later call must find it complete');
    }));

  it('finds a root that another unpacker made, and makes one anew that was not completed', () =>
    withUnpacker(async ({ directory, store, unpacker }) => {
      const tar = await makeTar([[{ name: 'f' }, 'x']]);
      const layer = { mediaType: mediaTypes.layer, ...(await store.putBlob(tar)) };
      const rootfs = await unpacker.unpack([layer], [digestOf(tar)]);
      const inode = statSync(join(rootfs, 'f')).ino;
      const other = new Unpacker(store, join(directory, 'unpacked'));
      assert.equal(await other.unpack([layer], [digestOf(tar)]), rootfs);
      assert.equal(statSync(join(rootfs, 'f')).ino, inode);
      await rm(join(rootfs, '..', 'complete'));
      await rm(join(rootfs, 'f'));
      await other.unpack([layer], [digestOf(tar)]);
      assert.equal(readFileSync(join(rootfs, 'f'), 'utf8'), 'x');
    }));

  it('refuses content that is not what its diff ID says, and keeps nothing of it', () =>
    withUnpacker(async ({ directory, store, unpacker }) => {
      const tar = await makeTar([[{ name: 'f' }, 'x']]);
      const layer = { mediaType: mediaTypes.layer, ...(await store.putBlob(tar)) };
      await assert.rejects(unpacker.unpack([layer], [digestOf('other')]), withCode('IMAGE_DIGEST_MISMATCH'));
      assert.deepEqual(readdirSync(join(directory, 'unpacked')), []);
    }));

  it('names chains as the specification does', () => {
    const [a = '', b = '', c = ''] = ['a', 'b', 'c'].map((text) => digestOf(text));
    const ab = digestOf(`${a} ${b}`);
    assert.deepEqual(chainIds([a, b, c]), [a, ab, digestOf(`${ab} ${c}`)]);
  });
});

describe('hostile layers', () => {
  const escapes: [string, TarInput[]][] = [
    ['a parent path', [[{ name: '../escaped' }, 'x']]],
    ['a parent path inside', [[{ name: 'a/../../escaped' }, 'x']]],
    ['an absolute path', [[{ name: '/escaped' }, 'x']]],
    ['a hard link out of the root', [[{ name: 'h', type: 'link', linkname: '../../outside' }]]],
    ['an absolute hard link', [[{ name: 'h', type: 'link', linkname: '/etc/passwd' }]]],
    ['a hard link to what is not there', [[{ name: 'h', type: 'link', linkname: 'nowhere' }]]],
    ['a whiteout of the parent', [[{ name: 'a/.wh...' }]]],
    [
      'a file below a file',
      [
        [{ name: 'f' }, 'x'],
        [{ name: 'f/g' }, 'y'],
      ],
    ],
    [
      'links in a circle',
      [
        [{ name: 'a', type: 'symlink', linkname: 'b' }],
        [{ name: 'b', type: 'symlink', linkname: 'a' }],
        [{ name: 'a/f' }, 'x'],
      ],
    ],
  ];
  for (const [what, entries] of escapes) {
    it(`refuses ${what}`, () =>
      withUnpacker(async ({ directory, unpack }) => {
        await assert.rejects(unpack([entries]), withCode('IMAGE_ARCHIVE_UNSAFE'));
        assert.deepEqual(readdirSync(directory).sort(), ['store', 'unpacked']);
        assert.deepEqual(readdirSync(join(directory, 'unpacked')), [], 'nothing half-made may stay');
      }));
  }

  it('writes through links only inside of the root', () =>
    withUnpacker(async ({ directory, unpack }) => {
      const { rootfs, read } = await unpack([
        [
          [{ name: 'out', type: 'symlink', linkname: '../../../..' }],
          [{ name: 'abs', type: 'symlink', linkname: directory }],
          [{ name: 'out/f' }, 'clamped'],
          [{ name: 'abs/g' }, 'below'],
          [{ name: 'pass', type: 'symlink', linkname: '/etc/passwd' }],
          [{ name: 'pass' }, 'replaced'],
        ],
      ]);
      assert.equal(read('f'), 'clamped');
      assert.equal(existsSync(join(directory, 'g')), false);
      assert.equal(readFileSync(join(rootfs, directory, 'g'), 'utf8'), 'below');
      assert.ok(lstatSync(join(rootfs, 'pass')).isFile());
    }));

  it('replaces a link, where a later layer puts a directory, by a real one', () =>
    withUnpacker(async ({ directory, unpack }) => {
      const { rootfs } = await unpack([
        [[{ name: 'd', type: 'symlink', linkname: directory }]],
        [[{ name: 'd', type: 'directory', mode: 0o755 }], [{ name: 'd/f' }, 'x']],
      ]);
      assert.ok(lstatSync(join(rootfs, 'd')).isDirectory());
      assert.equal(existsSync(join(directory, 'f')), false);
    }));

  it('makes no devices or pipes, and no set-user-ID files', () =>
    withUnpacker(async ({ unpack }) => {
      const { rootfs } = await unpack([
        [
          [{ name: 'dev', type: 'character-device', devmajor: 1, devminor: 3 }],
          [{ name: 'pipe', type: 'fifo' }],
          [{ name: 'su', mode: 0o6755 }, 'x'],
        ],
      ]);
      assert.deepEqual(readdirSync(rootfs), ['su']);
      assert.equal(statSync(join(rootfs, 'su')).mode & 0o7777, 0o755);
    }));

  it('stops at the limits of bytes and entries', async () => {
    await withUnpacker(
      async ({ unpack }) => {
        const layers = [[[{ name: 'a' }, 'x'.repeat(600)]], [[{ name: 'b' }, 'x'.repeat(600)]]] as const;
        await unpack([layers[0]]);
        await assert.rejects(unpack([[...layers[0], ...layers[1]]]), withCode('IMAGE_TOO_LARGE'));
        const many = Array.from({ length: 12 }, (_, i): TarInput => [{ name: `f${i}` }]);
        await assert.rejects(unpack([many]), withCode('IMAGE_TOO_LARGE', /entries/));
      },
      { maxBytes: 1000, maxEntries: 10 },
    );
  });

  it('stops a decompression bomb', () =>
    withUnpacker(
      async ({ store, unpacker }) => {
        const bomb = gzipSync(Buffer.alloc(20 << 20));
        const layer = { mediaType: mediaTypes.layer, ...(await store.putBlob(bomb)) };
        await assert.rejects(unpacker.unpack([layer], [digestOf('')]), withCode('IMAGE_TOO_LARGE'));
      },
      { maxBytes: 1 << 20, maxEntries: 10 },
    ));

  it('says so when a layer cannot be decompressed', () =>
    withUnpacker(async ({ store, unpacker }) => {
      const broken = gzipSync(Buffer.from('hello'.repeat(1000))).subarray(0, 30);
      const layer = { mediaType: mediaTypes.layer, ...(await store.putBlob(broken)) };
      await assert.rejects(unpacker.unpack([layer], [digestOf('')]), withCode('IMAGE_ARCHIVE_UNSAFE'));
    }));
});
