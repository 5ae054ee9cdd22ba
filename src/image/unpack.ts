/** From layers to root directories that containers share: one per chain of layers, made once. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { chmod, lchown } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { KnapsackError, systemCode } from '../base/errors.ts';
import { digestOf, requireDigest } from './digest.ts';
import type { Descriptor } from './manifest.ts';
import { defaultUnpackLimits, RootFs, type UnpackLimits } from './rootfs.ts';
import type { ImageStore } from './store.ts';

const isRoot = process.geteuid?.() === 0;

/**
 * Identifies this boot of the machine. Unpacked roots are not synced to disk file by file (it would cost seconds), so
 * after a power loss they may hold empty files: a root of another boot is made again.
 */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** The chain ID of each layer: it names the layer together with all below it (OCI image specification, config.md). */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

/** Unpacks into `directory/CHAIN/rootfs`. Concurrent calls for one chain share one unpacking. */
export class Unpacker {
  readonly #store: ImageStore;
  readonly #directory: string;
  readonly #limits: UnpackLimits;
  readonly #boot = bootId();
  readonly #running = new Map<string, Promise<string>>();

  constructor(store: ImageStore, directory: string, limits: UnpackLimits = defaultUnpackLimits) {
    this.#store = store;
    this.#directory = directory;
    this.#limits = limits;
  }

  /**
   * The root directory of an image, to be mounted read-only. `layers` and `diffIds` run from the lowest up.
   * Throws IMAGE_ARCHIVE_UNSAFE, IMAGE_TOO_LARGE, IMAGE_DIGEST_MISMATCH, IMAGE_MANIFEST_INVALID.
   */
  async unpack(layers: readonly Descriptor[], diffIds: readonly string[]): Promise<string> {
    if (layers.length !== diffIds.length) {
      throw new KnapsackError(
        'IMAGE_MANIFEST_INVALID',
        `the manifest has ${layers.length} layers, but the config has ${diffIds.length} diff IDs`,
      );
    }
    const ids = chainIds(diffIds);
    return await this.#chain(layers, diffIds, ids);
  }

  async #chain(
    layers: readonly Descriptor[],
    diffIds: readonly string[],
    ids: readonly string[],
  ): Promise<string> {
    const id = ids[layers.length - 1] ?? digestOf('');
    const running = this.#running.get(id);
    if (running) return await running;
    const unpacking = this.#unpackTop(id, layers, diffIds, ids).finally(() => this.#running.delete(id));
    this.#running.set(id, unpacking);
    return await unpacking;
  }

  async #unpackTop(
    id: string,
    layers: readonly Descriptor[],
    diffIds: readonly string[],
    ids: readonly string[],
  ): Promise<string> {
    const home = join(this.#directory, id.replace(':', '-'));
    const rootfs = join(home, 'rootfs');
    if (await this.#isComplete(home)) return rootfs;
    const top = layers.at(-1);
    const diffId = diffIds.at(-1);
    const below =
      layers.length > 1 ? await this.#chain(layers.slice(0, -1), diffIds.slice(0, -1), ids) : undefined;
    const temporary = join(this.#directory, `tmp-${randomUUID()}`);
    try {
      await mkdir(join(temporary, 'rootfs'), { recursive: true });
      await chmod(join(temporary, 'rootfs'), 0o755);
      if (below !== undefined) await cloneTree(below, join(temporary, 'rootfs'));
      if (top && diffId) await this.#apply(join(temporary, 'rootfs'), top, diffId);
      await writeFile(join(temporary, 'complete'), this.#boot);
      await rm(home, { recursive: true, force: true });
      await rename(temporary, home);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      // Another process may have been quicker; its root is as good.
      if (['ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '') && (await this.#isComplete(home))) {
        return rootfs;
      }
      throw error;
    }
    return rootfs;
  }

  async #isComplete(home: string): Promise<boolean> {
    const boot = await readFile(join(home, 'complete'), 'utf8').catch(() => undefined);
    return boot === this.#boot;
  }

  async #apply(rootfs: string, layer: Descriptor, diffId: string): Promise<void> {
    const hash = createHash(diffId.slice(0, diffId.indexOf(':')));
    const target = new RootFs(rootfs, this.#limits);
    // Headers, padding and long names come on top of the content.
    const maxSize = this.#limits.maxBytes + this.#limits.maxEntries * 4096 + (1 << 20);
    await target.apply(hashed(this.#decompressed(layer), hash, maxSize));
    requireDigest(
      `the uncompressed layer ${layer.digest}`,
      diffId,
      `${diffId.split(':')[0]}:${hash.digest('hex')}`,
    );
  }

  /** Told by the first bytes and not by the media type, which images in the wild get wrong. */
  async *#decompressed(layer: Descriptor): AsyncGenerator<Uint8Array> {
    const source = this.#store.openBlob(layer.digest);
    const size = await this.#store.blobSize(layer.digest);
    if (size === undefined) {
      throw new KnapsackError('IMAGE_NOT_FOUND', `layer ${layer.digest} is not in the store`);
    }
    const magic = await firstBytes(this.#store, layer.digest, Math.min(4, size));
    const gzip = magic[0] === 0x1f && magic[1] === 0x8b;
    const zstd = magic.length === 4 && Buffer.from(magic).readUInt32LE(0) === 0xfd2fb528;
    if (!gzip && !zstd) {
      yield* source as AsyncIterable<Uint8Array>;
      return;
    }
    const inflate = gzip
      ? createGunzip({ chunkSize: 1 << 18 })
      : createZstdDecompress({ chunkSize: 1 << 18 });
    source.on('error', (error) => inflate.destroy(error));
    try {
      yield* source.pipe(inflate) as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (!/^(Z_|ZSTD_|ERR_.*Z)/.test(systemCode(error) ?? '')) throw error;
      throw new KnapsackError('IMAGE_ARCHIVE_UNSAFE', `layer ${layer.digest} cannot be decompressed`, {
        cause: error,
      });
    } finally {
      source.destroy();
      inflate.destroy();
    }
  }

  /**
   * Removes roots that are not in `keep` (root directories as `unpack` returned them) and leftovers of broken unpacking.
   * The caller knows which roots pods still use.
   */
  async collectGarbage(keep: ReadonlySet<string>): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const home = join(this.#directory, name);
      const busy =
        this.#running.has(name.replace('-', ':')) || (name.startsWith('tmp-') && this.#running.size > 0);
      if (busy || keep.has(join(home, 'rootfs'))) continue;
      await rm(home, { recursive: true, force: true });
      removed++;
    }
    return removed;
  }
}

async function firstBytes(store: ImageStore, digest: string, count: number): Promise<Uint8Array> {
  if (count === 0) return Buffer.alloc(0);
  const parts: Buffer[] = [];
  for await (const part of store.openBlob(digest, { start: 0, end: count - 1 })) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function* hashed(
  chunks: AsyncIterable<Uint8Array>,
  hash: { update(chunk: Uint8Array): unknown },
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > maxBytes) {
      throw new KnapsackError('IMAGE_TOO_LARGE', `a layer decompresses to more than ${maxBytes} bytes`);
    }
    hash.update(chunk);
    yield chunk;
  }
}

/** Copies a tree: directories anew, everything else as hard links. */
async function cloneTree(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      const { mode, uid, gid } = await lstat(source);
      await mkdir(target);
      await cloneTree(source, target);
      if (isRoot) await lchown(target, uid, gid);
      await chmod(target, mode & 0o7777);
    } else if (entry.isSymbolicLink()) {
      // Not every system can hard-link a symbolic link.
      const { uid, gid } = await lstat(source);
      await symlink(await readlink(source), target);
      if (isRoot) await lchown(target, uid, gid);
    } else {
      await link(source, target);
    }
  }
}
