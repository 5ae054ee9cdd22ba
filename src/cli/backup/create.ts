/** Making a backup: the snapshot of the store first, then the files that its objects speak of. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, constants } from 'node:zlib';
import { pack, type Header, type Pack } from 'tar-stream';
import { systemCode } from '../../base/errors.ts';
import { readSnapshot } from '../../kube/store/snapshot.ts';
import {
  formatVersion,
  manifestName,
  snapshotName,
  type BackedUpFile,
  type Manifest,
  type Part,
} from './format.ts';

export interface BackupOptions {
  /** The data directory. */
  readonly data: string;
  /** File with the snapshot of the store. */
  readonly snapshot: string;
  readonly version: string;
  /** Parts beside the store. */
  readonly parts: readonly Exclude<Part, 'store'>[];
  readonly progress: (step: string, ms: number) => void;
}

/** Writes a whole backup to `output` and ends it. Resolves with the manifest, whose every file is in the archive. */
export async function writeBackup(options: BackupOptions, output: Writable): Promise<Manifest> {
  const archive = pack();
  // Speed before size: layers of images are compressed already.
  const sink = pipeline(archive, createGzip({ level: constants.Z_BEST_SPEED }), output);
  try {
    const writing = new ArchiveWriter(archive);
    const [manifest] = await Promise.all([fill(options, writing), sink]);
    return manifest;
  } catch (error) {
    archive.destroy();
    await sink.catch(() => undefined);
    throw error;
  }
}

async function fill(options: BackupOptions, writing: ArchiveWriter): Promise<Manifest> {
  const { data, snapshot, parts, progress } = options;
  let began = performance.now();
  const done = (what: string): void => {
    progress(what, performance.now() - began);
    began = performance.now();
  };
  const store = await readSnapshot(createReadStream(snapshot));
  await writing.file(snapshotName, snapshot, 0o600);
  done(`store: ${store.objects} objects at version ${store.resourceVersion}`);
  for (const part of parts) {
    const before = writing.bytes;
    for await (const path of filesOf(data, part)) await writing.entry(path, join(data, path));
    done(`${part}: ${megabytes(writing.bytes - before)}`);
  }
  const manifest: Manifest = {
    kind: 'KnapsackBackup',
    format: formatVersion,
    created: new Date().toISOString(),
    version: options.version,
    host: hostname().toLowerCase(),
    parts: ['store', ...parts],
    store,
    files: writing.files,
  };
  await writing.text(manifestName, JSON.stringify(manifest, null, 1));
  writing.end();
  return manifest;
}

/** `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * Paths below the data directory, in an order that keeps a backup of a running platform whole. An image's index is read before
 * its blobs, which are never changed, and how far a log was delivered before the log itself: what is read twice is delivered
 * twice, which is allowed, while the other way round events would be lost.
 */
async function* filesOf(data: string, part: Part): AsyncGenerator<string> {
  yield part;
  if (part === 'images') yield* ['images/oci-layout', 'images/index.json', 'images/blobs'];
  yield* walk(data, part === 'images' ? 'images/blobs' : part);
}

async function* walk(data: string, directory: string): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(join(data, directory), { withFileTypes: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  const late = (name: string): number => (name.endsWith('.log') ? 1 : 0);
  entries.sort((a, b) => late(a.name) - late(b.name) || (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = `${directory}/${entry.name}`;
    yield path;
    if (entry.isDirectory()) yield* walk(data, path);
  }
}

type Head = Partial<Header> & { readonly name: string };

/** Puts files into an archive one after the other and keeps account of them. */
class ArchiveWriter {
  readonly #archive: Pack;
  readonly files: Record<string, BackedUpFile> = {};
  bytes = 0;

  constructor(archive: Pack) {
    this.#archive = archive;
  }

  /** A file, directory or symbolic link. What has gone in the meantime, and sockets and the like, are left out. */
  async entry(name: string, path: string): Promise<void> {
    const found = await lstat(path).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (!found) return;
    const { uid, gid, mtime } = found;
    const head = { name, mode: found.mode & 0o7777, uid, gid, mtime };
    if (found.isDirectory()) await this.#add({ ...head, type: 'directory' });
    else if (found.isSymbolicLink()) {
      await this.#add({ ...head, type: 'symlink', linkname: await readlink(path) });
    } else if (found.isFile()) await this.#stream(head, path, found.size);
  }

  async file(name: string, path: string, mode: number): Promise<void> {
    const { size } = await lstat(path);
    await this.#stream({ name, mode }, path, size);
  }

  /** Not in the account: it is the account. */
  text(name: string, text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#archive.entry({ name, mode: 0o600 }, text, (error) => (error ? reject(error) : resolve()));
    });
  }

  end(): void {
    this.#archive.finalize();
  }

  #add(head: Head): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#archive.entry(head, (error) => (error ? reject(error) : resolve())).end(undefined);
    });
  }

  async #stream(head: Head, path: string, size: number): Promise<void> {
    const hash = createHash('sha256');
    const target = this.#archive.entry({ ...head, size });
    if (size === 0) target.end(undefined);
    else {
      const counted = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          done(null, chunk);
        },
      });
      // A log may grow meanwhile; what it had when it was looked at is what is taken.
      await pipeline(createReadStream(path, { end: size - 1, highWaterMark: 1 << 18 }), counted, target);
    }
    this.files[head.name] = { size, sha256: hash.digest('hex') };
    this.bytes += size;
  }
}
