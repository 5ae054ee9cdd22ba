/**
 * Applies layers to a directory (OCI image specification, layer.md). An entry can only ever touch what lies under the
 * root: parents are resolved component by component without leaving it, existing files are unlinked and never opened, so
 * a file that is shared with another root by a hard link keeps its content.
 */
import { constants } from 'node:fs';
import {
  chmod,
  lchown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rm,
  symlink,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { KnapsackError, systemCode } from '../base/errors.ts';
import { readTar, type TarHeader, type TarItem } from './tar-read.ts';

export interface UnpackLimits {
  /** Bytes of file content in all layers together. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

export const defaultUnpackLimits: UnpackLimits = { maxBytes: 16 * 2 ** 30, maxEntries: 1_000_000 };

const maxSymlinks = 40;
const maxDepth = 256;
const opaqueMarker = '.wh..wh..opq';
const whiteoutPrefix = '.wh.';
/** Ownership needs root; without it everything belongs to whoever runs Knapsack. */
const isRoot = process.geteuid?.() === 0;

function unsafe(path: string, why: string): never {
  throw new KnapsackError('IMAGE_ARCHIVE_UNSAFE', `entry ${JSON.stringify(path.slice(0, 300))}: ${why}`);
}

/** Components of an archive path. `./` is dropped; an absolute path or `..` is refused. */
function components(path: string): string[] {
  if (path.includes('\0')) return unsafe(path, 'the name holds a zero byte');
  if (path.startsWith('/')) return unsafe(path, 'the name is absolute');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) return unsafe(path, 'the name holds ".."');
  if (parts.length > maxDepth) return unsafe(path, `more than ${maxDepth} levels`);
  return parts;
}

/** One root directory that layers are applied to, lowest first. */
export class RootFs {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  #bytes = 0;
  #entries = 0;
  /** Directories known to be real ones under the root: spares most lstat calls. */
  #realDirectories = new Set<string>();
  /** What the layer under way has made: an opaque marker spares it. */
  #fresh = new Set<string>();

  constructor(root: string, limits: UnpackLimits = defaultUnpackLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  /** Applies one layer, an uncompressed tar. Throws IMAGE_ARCHIVE_UNSAFE, IMAGE_TOO_LARGE. */
  async apply(layer: AsyncIterable<Uint8Array>): Promise<void> {
    this.#fresh = new Set();
    for await (const item of readTar(layer)) {
      if (++this.#entries > this.#limits.maxEntries) {
        throw new KnapsackError('IMAGE_TOO_LARGE', `more than ${this.#limits.maxEntries} entries`);
      }
      await this.#entry(item);
    }
  }

  async #entry(item: TarItem): Promise<void> {
    const { header } = item;
    const parts = components(header.path);
    const name = parts.pop();
    if (name === undefined) {
      if (header.type !== 'directory') unsafe(header.path, 'the root can only be a directory');
      return;
    }
    const parent = await this.#directory(header.path, parts);
    if (name === opaqueMarker) return await this.#clear(parent);
    if (name.startsWith(whiteoutPrefix)) {
      const hidden = name.slice(whiteoutPrefix.length);
      if (hidden === '' || hidden === '.' || hidden === '..') unsafe(header.path, 'a whiteout of nothing');
      return await this.#remove(join(parent, hidden));
    }
    const target = join(parent, name);
    switch (header.type) {
      case 'directory':
        await this.#makeDirectory(target, header);
        break;
      case 'file':
        await this.#remove(target);
        await this.#writeFile(target, item);
        break;
      case 'symlink':
        if (header.link === '' || header.link.includes('\0')) unsafe(header.path, 'a link to nothing');
        await this.#remove(target);
        await symlink(header.link, target);
        await this.#own(target, header);
        break;
      case 'hardlink':
        await this.#hardlink(target, header);
        break;
      case 'other':
        // Devices, FIFOs: a container gets its own /dev, and an unpacked image must not hold a device of the host.
        return;
    }
    this.#fresh.add(target);
  }

  /** The real directory for `parts`, following links inside the root, made where it is missing. */
  async #directory(path: string, parts: readonly string[]): Promise<string> {
    const waiting = [...parts].reverse();
    let at: string[] = [];
    let links = 0;
    for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at = at.slice(0, -1);
        continue;
      }
      const next = join(this.#root, ...at, part);
      if (!this.#realDirectories.has(next)) {
        const found = await lstat(next).catch(ignoreMissing);
        if (found?.isSymbolicLink()) {
          if (++links > maxSymlinks) return unsafe(path, 'too many symbolic links');
          const target = await readlink(next);
          if (target.startsWith('/')) at = [];
          waiting.push(...target.split('/').reverse());
          continue;
        }
        if (found && !found.isDirectory()) return unsafe(path, `${part} is not a directory`);
        if (!found) {
          await mkdir(next, 0o755);
          this.#fresh.add(next);
        }
        this.#realDirectories.add(next);
      }
      at.push(part);
      if (at.length > maxDepth) return unsafe(path, `more than ${maxDepth} levels`);
    }
    return join(this.#root, ...at);
  }

  async #makeDirectory(target: string, header: TarHeader): Promise<void> {
    const found = await lstat(target).catch(ignoreMissing);
    if (!found?.isDirectory()) {
      if (found) await this.#remove(target);
      await mkdir(target);
    }
    this.#realDirectories.add(target);
    await this.#own(target, header);
    // Without root the owner must keep access, or neither files below nor the clean-up would work.
    await chmod(target, isRoot ? header.mode & 0o1777 : (header.mode & 0o1777) | 0o700);
  }

  async #writeFile(target: string, item: TarItem): Promise<void> {
    const { header } = item;
    this.#bytes += header.size;
    if (this.#bytes > this.#limits.maxBytes) {
      throw new KnapsackError('IMAGE_TOO_LARGE', `unpacked content exceeds ${this.#limits.maxBytes} bytes`);
    }
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(target, flags, 0o600);
    try {
      for await (const chunk of item.content()) await file.writeFile(chunk);
      if (isRoot) await file.chown(header.uid, header.gid);
      // The set-user-ID bits stay data of the archive: on disk they would be a way to root for users of this machine.
      await file.chmod(header.mode & 0o777);
    } finally {
      await file.close();
    }
  }

  async #hardlink(target: string, header: TarHeader): Promise<void> {
    const parts = components(header.link);
    const name = parts.pop();
    if (name === undefined) return unsafe(header.path, 'a hard link to the root');
    const source = join(await this.#directory(header.path, parts), name);
    if (source === target) return;
    const found = await lstat(source).catch(ignoreMissing);
    if (!found) return unsafe(header.path, `a hard link to ${header.link}, which is not in the image`);
    if (found.isDirectory()) return unsafe(header.path, 'a hard link to a directory');
    await this.#remove(target);
    await link(source, target);
  }

  async #own(target: string, header: TarHeader): Promise<void> {
    if (isRoot) await lchown(target, header.uid, header.gid);
  }

  async #remove(target: string): Promise<void> {
    try {
      await unlink(target);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return;
      if (code !== 'EISDIR' && code !== 'EPERM') throw error;
      await rm(target, { recursive: true, force: true });
      for (const known of this.#realDirectories) {
        if (known === target || known.startsWith(`${target}/`)) this.#realDirectories.delete(known);
      }
    }
  }

  /** An opaque directory: what lower layers put into it disappears, what this layer has put stays. */
  async #clear(directory: string): Promise<void> {
    for (const name of await readdir(directory)) {
      const child = join(directory, name);
      const kept = this.#fresh.has(child) || [...this.#fresh].some((path) => path.startsWith(`${child}/`));
      if (!kept) await this.#remove(child);
      else if ((await lstat(child)).isDirectory()) await this.#clear(child);
    }
  }
}

function ignoreMissing(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
  throw error;
}
