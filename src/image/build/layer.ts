/** A layer being put together: a tree of entries that is written as one reproducible tar blob. */
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { mediaTypes, type Descriptor } from '../manifest.ts';
import type { ImageStore } from '../store.ts';
import { tarHeader, tarPadding, tarTrailer } from '../tar-write.ts';

type Source =
  | { readonly type: 'directory'; readonly mode: number }
  | { readonly type: 'symlink'; readonly link: string }
  | { readonly type: 'file'; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly type: 'file'; readonly mode: number; readonly from: string; readonly size: number };

/**
 * Decides about a path (relative to the copied directory, directories without a slash): take it, leave it with all below,
 * or, for a directory, only look at what is below.
 */
export type Filter = (path: string, isDirectory: boolean) => 'take' | 'leave' | 'descend';

/** Paths are relative, `/`-separated. Whatever the files on disk say, owner is 0:0, time is the epoch, modes 644 or 755. */
export class Layer {
  readonly #entries = new Map<string, Source>();

  get size(): number {
    return this.#entries.size;
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  directory(path: string, mode = 0o755): void {
    this.#parents(path);
    this.#entries.set(path, { type: 'directory', mode });
  }

  symlink(path: string, link: string): void {
    this.#parents(path);
    this.#entries.set(path, { type: 'symlink', link });
  }

  /** A file with content given here. */
  text(path: string, content: string, mode = 0o644): void {
    this.#parents(path);
    this.#entries.set(path, { type: 'file', mode, bytes: Buffer.from(content) });
  }

  /** A file copied from disk, links followed. */
  async file(path: string, from: string): Promise<void> {
    this.#parents(path);
    const found = await lstat(from);
    this.#entries.set(path, {
      type: 'file',
      mode: found.mode & 0o100 ? 0o755 : 0o644,
      from,
      size: found.size,
    });
  }

  /**
   * Copies a directory's content below `path`. Symbolic links stay links; `onLink` may refuse one by throwing. Sockets and
   * the like are passed over. Returns the number of entries.
   */
  async tree(
    path: string,
    from: string,
    filter: Filter = () => 'take',
    onLink: (path: string, target: string) => void = () => {},
  ): Promise<number> {
    let count = 0;
    const walk = async (below: string): Promise<void> => {
      const names = await readdir(join(from, below), { withFileTypes: true });
      for (const entry of names) {
        const relative = below === '' ? entry.name : `${below}/${entry.name}`;
        const target = path === '' ? relative : `${path}/${relative}`;
        const decision = filter(relative, entry.isDirectory());
        if (decision === 'leave') continue;
        if (entry.isDirectory()) {
          if (decision === 'take') this.directory(target);
          await walk(relative);
        } else if (entry.isSymbolicLink()) {
          const link = await readlink(join(from, relative));
          onLink(relative, link);
          this.symlink(target, link);
        } else if (entry.isFile()) {
          await this.file(target, join(from, relative));
        } else {
          continue;
        }
        count++;
      }
    };
    await walk('');
    return count;
  }

  /** Writes the layer into the store, uncompressed: its digest is its diff ID. */
  async write(store: ImageStore): Promise<Descriptor> {
    const writer = await store.newBlob();
    try {
      const paths = [...this.#entries.keys()].sort((a, b) => (a < b ? -1 : 1));
      let buffer: Uint8Array[] = [];
      let buffered = 0;
      const put = async (chunk: Uint8Array): Promise<void> => {
        buffer.push(chunk);
        buffered += chunk.length;
        if (buffered < 1 << 20) return;
        await writer.write(Buffer.concat(buffer));
        buffer = [];
        buffered = 0;
      };
      for (const path of paths) {
        const source = this.#entries.get(path);
        if (!source) continue;
        if (source.type !== 'file') {
          const link = source.type === 'symlink' ? source.link : '';
          const mode = source.type === 'symlink' ? 0o777 : source.mode;
          await put(tarHeader({ path, type: source.type, mode, size: 0, link }));
          continue;
        }
        const size = 'bytes' in source ? source.bytes.length : source.size;
        await put(tarHeader({ path, type: 'file', mode: source.mode, size }));
        if ('bytes' in source) await put(source.bytes);
        else await copyExactly(source.from, size, put);
        await put(tarPadding(size));
      }
      await put(tarTrailer);
      await writer.write(Buffer.concat(buffer));
      return { mediaType: mediaTypes.layer, ...(await writer.commit()) };
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  #parents(path: string): void {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      if (!this.#entries.has(parent)) this.#entries.set(parent, { type: 'directory', mode: 0o755 });
    }
  }
}

/** A file may change while it is read; the tar header has promised its size already. */
async function copyExactly(
  from: string,
  size: number,
  put: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  if (size === 0) return;
  let copied = 0;
  for await (const chunk of createReadStream(from, { end: size - 1, highWaterMark: 1 << 20 })) {
    copied += (chunk as Buffer).length;
    await put(chunk as Buffer);
  }
  if (copied !== size) throw new Error(`${from} became shorter while it was read`);
}
