/** Reading a backup: every byte goes to a directory of its own and is checked there, before anything else is touched. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lchown, lutimes, mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { KnapsackError, messageOf, systemCode } from '../../base/errors.ts';
import { invalidBackup, manifestName, maxManifestBytes, parseManifest, partOf } from './format.ts';
import type { BackedUpFile, Manifest } from './format.ts';

/** Unpacks into `staging`, an empty directory. Throws CLI_BACKUP_INVALID when any byte is not what the manifest promises. */
export async function extractBackup(file: string, staging: string): Promise<Manifest> {
  const reading = new BackupReader(staging);
  const archive = extract();
  const source = pipeline(createReadStream(file), createGunzip(), archive);
  // Told through the archive's own failure.
  source.catch(() => undefined);
  try {
    for await (const entry of archive) await reading.take(entry.header, entry as unknown as Content);
    await source;
  } catch (error) {
    archive.destroy();
    await source.catch(() => undefined);
    // A full disk and the like are no fault of the archive.
    if (error instanceof KnapsackError || /^E[A-Z]+$/.test(systemCode(error) ?? '')) throw error;
    throw invalidBackup(`${file} is not a whole archive: ${messageOf(error)}`);
  }
  return reading.finish(file);
}

/** What an entry of an archive holds. */
type Content = AsyncIterable<Buffer> & { resume(): unknown };

class BackupReader {
  readonly #staging: string;
  readonly #found = new Map<string, BackedUpFile>();
  /** Made last: nothing is ever written through a link that an archive brought. */
  readonly #links: Header[] = [];
  /** Directories get their mode last, so that one without write permission can be filled. */
  readonly #directories: Header[] = [];
  #manifest: string | undefined;

  constructor(staging: string) {
    this.#staging = staging;
  }

  async take(header: Header, content: Content): Promise<void> {
    if (header.name === manifestName) {
      this.#manifest = await readText(content, maxManifestBytes);
      return;
    }
    const name = header.name.replace(/\/$/, '');
    const part = partOf(name);
    const path = join(this.#staging, name);
    if (part === name && header.type !== 'directory')
      throw invalidBackup(`its entry ${part} is no directory`);
    if (this.#found.has(name)) throw invalidBackup(`it has ${JSON.stringify(name)} twice`);
    switch (header.type) {
      case 'file':
      case 'contiguous-file':
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        this.#found.set(name, await writeChecked(path, header, content));
        await this.#own(path, header);
        return;
      case 'directory':
        await mkdir(path, { recursive: true, mode: 0o700 });
        this.#directories.push({ ...header, name });
        break;
      case 'symlink':
        if (part !== 'volumes')
          throw invalidBackup(`it has a link ${JSON.stringify(name)}, which no backup has`);
        this.#links.push({ ...header, name });
        break;
      default:
        throw invalidBackup(`it has an entry ${JSON.stringify(name)} of another type`);
    }
    content.resume();
  }

  /** Compares what was found with the manifest. */
  async finish(file: string): Promise<Manifest> {
    if (this.#manifest === undefined) throw invalidBackup(`${file} has no manifest: it is not whole`);
    const manifest = parseManifest(this.#manifest);
    for (const [name, promised] of Object.entries(manifest.files)) {
      const found = this.#found.get(name);
      if (!found) throw invalidBackup(`${file} lacks ${JSON.stringify(name)}`);
      if (found.sha256 !== promised.sha256) {
        throw invalidBackup(`${file} is damaged: ${JSON.stringify(name)} is not what was backed up`);
      }
      this.#found.delete(name);
    }
    const [extra] = this.#found.keys();
    if (extra !== undefined)
      throw invalidBackup(`${file} has ${JSON.stringify(extra)}, which its manifest lacks`);
    this.#checkLinks();
    for (const header of this.#links) await this.#link(header);
    for (const header of this.#directories.toReversed()) {
      await this.#own(join(this.#staging, header.name), header);
    }
    return manifest;
  }

  /** A link below a link would be made wherever the first one leads. */
  #checkLinks(): void {
    const links = new Set(this.#links.map(({ name }) => name));
    for (const link of links) {
      for (let above = dirname(link); above !== '.'; above = dirname(above)) {
        if (!links.has(above)) continue;
        throw invalidBackup(`it has an entry ${JSON.stringify(link)} below a link, which no backup has`);
      }
    }
  }

  async #link(header: Header): Promise<void> {
    const path = join(this.#staging, header.name);
    await mkdir(dirname(path), { recursive: true });
    await symlink(header.linkname ?? '', path);
    if (isRoot) await lchown(path, header.uid, header.gid);
  }

  /** Mode and times as they were; the owner too where this process may: pods under other users own their volumes. */
  async #own(path: string, { mode, uid, gid, mtime }: Header): Promise<void> {
    if (isRoot) await lchown(path, uid, gid);
    await chmod(path, mode & 0o7777);
    if (mtime) await lutimes(path, mtime, mtime);
  }
}

const isRoot = process.getuid?.() === 0;

async function writeChecked(path: string, header: Header, content: Content): Promise<BackedUpFile> {
  const hash = createHash('sha256');
  let size = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  // `wx`: two entries of one name never end in one file.
  await pipeline(content, counted, createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true }));
  if (size !== header.size) throw invalidBackup(`${JSON.stringify(header.name)} is cut off`);
  return { size, sha256: hash.digest('hex') };
}

async function readText(content: Content, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > limit) throw invalidBackup(`its manifest has more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
