/** The image store: an OCI image layout on disk, shared by builder, registry, unpacker and other processes. */
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { KnapsackError, systemCode } from '../base/errors.ts';
import { blobPath, BlobWriter } from './blob-writer.ts';
import { digestOf, requireDigest } from './digest.ts';
import { withFileLock, writeFileAtomic } from './files.ts';
import { LayoutIndex, type RefMap } from './layout.ts';
import {
  maxManifestSize,
  mediaTypeOf,
  parseConfig,
  parseManifest,
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
} from './manifest.ts';
import { formatReference, repositoryName, type Reference } from './reference.ts';

/** The registry name under which the embedded registry's images are stored, whatever host they were named by. */
export const embeddedRegistry = 'registry.knapsack.local';

/** Largest blob that the store takes, bytes. */
export const maxBlobSize = 16 * 2 ** 30;

/** Annotation in `index.json` of an image that was pulled and may be pulled again: a copy, not the original. */
export const pulledAnnotation = 'dev.knapsack.pulled';

/** An image or index as stored: where it is, and what it says. */
export interface StoredManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: ImageManifest | ImageIndex;
}

/** One name in the store. */
export interface StoredRef {
  /** `registry/repository:tag`, or `registry/repository@digest`. */
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** Makes an image that comes with Knapsack (a base image…) when it is first asked for. */
export type ImageMaker = (store: ImageStore) => Promise<Descriptor>;

export interface ImageStoreOptions {
  /** Hosts (`localhost:5000`) that mean {@link embeddedRegistry}. More with `addAlias`. */
  readonly aliases?: readonly string[];
  /** By full name with tag. Each is called at most once in the life of a store, and again after a failure. */
  readonly shipped?: ReadonlyMap<string, ImageMaker>;
}

export class ImageStore {
  readonly root: string;
  readonly #index: LayoutIndex;
  readonly #aliases: Set<string>;
  readonly #shipped: ReadonlyMap<string, ImageMaker>;
  readonly #making = new Map<string, Promise<Descriptor>>();

  private constructor(root: string, options: ImageStoreOptions) {
    this.root = root;
    this.#index = new LayoutIndex(root);
    this.#aliases = new Set([embeddedRegistry, ...(options.aliases ?? [])]);
    this.#shipped = options.shipped ?? new Map();
  }

  /** Opens the layout in `root`, making it when it is not there. */
  static async open(root: string, options: ImageStoreOptions = {}): Promise<ImageStore> {
    await mkdir(join(root, 'blobs', 'sha256'), { recursive: true });
    await mkdir(join(root, 'tmp'), { recursive: true });
    const marker = join(root, 'oci-layout');
    const found = await stat(marker).catch(() => undefined);
    if (!found) await writeFileAtomic(marker, JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    return new ImageStore(root, options);
  }

  /** From now on `host` (`127.0.0.1:41234`) names the embedded registry. */
  addAlias(host: string): void {
    this.#aliases.add(host);
  }

  /** True when the name means the embedded registry. */
  isEmbedded(reference: Reference): boolean {
    return this.#aliases.has(reference.registry);
  }

  /** The reference with an alias of the embedded registry replaced by its one name. */
  canonical(reference: Reference): Reference {
    return this.isEmbedded(reference) ? { ...reference, registry: embeddedRegistry } : reference;
  }

  /** The manifest that a name means, or undefined. A digest decides over a tag. */
  async resolve(reference: Reference): Promise<Descriptor | undefined> {
    const key = this.#key(reference);
    const maker = this.#shipped.get(key);
    if (maker) return await this.#make(key, maker);
    return (await this.#index.read()).get(key);
  }

  /** All names, sorted. */
  async list(): Promise<StoredRef[]> {
    return [...(await this.#index.read())].map(([name, descriptor]) => ({ name, descriptor }));
  }

  /** Tags of one repository in ASCII order; undefined when the repository holds nothing. */
  async tags(reference: Reference): Promise<string[] | undefined> {
    const names = await this.#namesOf(reference);
    const prefix = `${repositoryName(this.canonical(reference))}:`;
    if (names.length === 0) return undefined;
    return names
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name }) => name.slice(prefix.length))
      .sort((a, b) => (a < b ? -1 : 1));
  }

  /** Manifests that one repository holds, each once. */
  async manifestsOf(reference: Reference): Promise<Descriptor[]> {
    const byDigest = new Map((await this.#namesOf(reference)).map((ref) => [ref.descriptor.digest, ref]));
    return [...byDigest.values()].map((ref) => ref.descriptor);
  }

  async #namesOf(reference: Reference): Promise<StoredRef[]> {
    const repository = repositoryName(this.canonical(reference));
    const all = await this.list();
    return all.filter(({ name }) => name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`));
  }

  /**
   * Stores a manifest in a repository, under its digest and, if the reference has one, its tag. The exact bytes are kept.
   * Throws IMAGE_MANIFEST_INVALID, and IMAGE_DIGEST_MISMATCH when the reference names another digest.
   */
  async putManifest(
    reference: Reference,
    bytes: Uint8Array,
    options: { mediaType?: string; annotations?: { readonly [key: string]: string } } = {},
  ): Promise<Descriptor> {
    const what = `manifest of ${formatReference(reference)}`;
    const manifest = parseManifest(what, bytes);
    const writer = await this.newBlob();
    await writer.write(bytes);
    const blob = await writer.commit(reference.digest);
    const descriptor: Descriptor = {
      mediaType: options.mediaType ?? mediaTypeOf(bytes, manifest),
      ...blob,
      ...(options.annotations && { annotations: options.annotations }),
    };
    await this.setRefs((refs) => {
      refs.set(this.#key({ ...reference, digest: blob.digest }), descriptor);
      if (reference.tag !== undefined) refs.set(this.#tagKey(reference), descriptor);
    });
    return descriptor;
  }

  /** Gives a stored image another name (with a tag). Throws IMAGE_NOT_FOUND. */
  async tag(from: Reference, to: Reference): Promise<Descriptor> {
    const descriptor = await this.resolve(from);
    if (!descriptor) throw notFound(from);
    const { annotations: _, ...named } = descriptor;
    await this.setRefs((refs) => {
      refs.set(this.#key({ ...to, digest: descriptor.digest }), named);
      if (to.tag !== undefined) refs.set(this.#tagKey(to), named);
    });
    return named;
  }

  /** Removes a tag; or, named by digest alone, the manifest with all its tags in that repository. False: was not there. */
  async delete(reference: Reference): Promise<boolean> {
    const repository = repositoryName(this.canonical(reference));
    let found = false;
    await this.setRefs((refs) => {
      if (reference.digest === undefined) {
        found = refs.delete(this.#tagKey(reference));
        return;
      }
      for (const [name, { digest }] of refs) {
        const here = name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`);
        if (here && digest === reference.digest) found = refs.delete(name) || found;
      }
    });
    return found;
  }

  /** Changes names under the lock that processes share. */
  async setRefs(change: (refs: Map<string, Descriptor>) => void): Promise<void> {
    await withFileLock(join(this.root, 'index.lock'), async () => {
      const refs = new Map(await this.#index.read());
      change(refs);
      await this.#index.write(refs);
    });
  }

  /** Reads and parses a manifest, verifying its digest. Throws IMAGE_NOT_FOUND. */
  async manifest(descriptor: Descriptor): Promise<StoredManifest> {
    const bytes = await this.readBlob(descriptor.digest, maxManifestSize);
    return { descriptor, bytes, manifest: parseManifest(`manifest ${descriptor.digest}`, bytes) };
  }

  /** Reads and parses the config that a manifest names. */
  async config(manifest: ImageManifest): Promise<ImageConfig> {
    const { digest } = manifest.config;
    return parseConfig(`image config ${digest}`, await this.readBlob(digest, maxManifestSize));
  }

  /** Size in bytes of a stored blob, or undefined. */
  async blobSize(digest: string): Promise<number | undefined> {
    return (await stat(blobPath(this.root, digest)).catch(() => undefined))?.size;
  }

  /** A whole blob, its digest verified. Throws IMAGE_NOT_FOUND, IMAGE_TOO_LARGE. */
  async readBlob(digest: string, maxSize: number): Promise<Uint8Array> {
    const size = await this.blobSize(digest);
    if (size === undefined) throw new KnapsackError('IMAGE_NOT_FOUND', `blob ${digest} is not in the store`);
    if (size > maxSize) {
      throw new KnapsackError('IMAGE_TOO_LARGE', `blob ${digest} has ${size} bytes; the limit is ${maxSize}`);
    }
    const bytes = await readFile(blobPath(this.root, digest));
    requireDigest(`blob ${digest}`, digest, digestOf(bytes, digest.slice(0, digest.indexOf(':'))));
    return bytes;
  }

  /** A stream of a blob, or of the bytes `start` to `end` (inclusive) of it. The digest is the reader's to verify. */
  openBlob(digest: string, range?: { start: number; end: number }): Readable {
    return createReadStream(blobPath(this.root, digest), { highWaterMark: 1 << 20, ...range });
  }

  /** A writer for a new blob of at most `maxSize` bytes. */
  async newBlob(maxSize = maxBlobSize): Promise<BlobWriter> {
    return await BlobWriter.create(this.root, maxSize);
  }

  /** Stores bytes in memory as a blob. */
  async putBlob(bytes: Uint8Array | string): Promise<{ digest: string; size: number }> {
    const writer = await this.newBlob();
    await writer.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    return await writer.commit();
  }

  async deleteBlob(digest: string): Promise<boolean> {
    try {
      await rm(blobPath(this.root, digest));
      return true;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /** Digests that named images reach: manifests, configs, layers. */
  async reachable(): Promise<Set<string>> {
    return await reach(this, await this.#index.read());
  }

  /**
   * Deletes blobs that no named image reaches and leftovers of broken writes. Younger ones than `minAgeMs` stay: a push or
   * a build under way has stored its layers before it names them. Returns what went.
   */
  async collectGarbage(minAgeMs = 3_600_000): Promise<{ blobs: number; bytes: number }> {
    const keep = await this.reachable();
    const before = Date.now() - minAgeMs;
    let blobs = 0;
    let bytes = 0;
    const sweep = async (directory: string, digestOfName: (name: string) => string | undefined) => {
      for (const name of await readdir(directory).catch(() => [])) {
        const digest = digestOfName(name);
        if (digest !== undefined && keep.has(digest)) continue;
        const path = join(directory, name);
        const found = await stat(path).catch(() => undefined);
        if (!found || found.mtimeMs > before) continue;
        await rm(path, { force: true });
        blobs++;
        bytes += found.size;
      }
    };
    for (const algorithm of ['sha256', 'sha512']) {
      await sweep(join(this.root, 'blobs', algorithm), (name) => `${algorithm}:${name}`);
    }
    await sweep(join(this.root, 'tmp'), () => undefined);
    return { blobs, bytes };
  }

  #key(reference: Reference): string {
    if (reference.digest === undefined) return this.#tagKey(reference);
    return `${repositoryName(this.canonical(reference))}@${reference.digest}`;
  }

  #tagKey(reference: Reference): string {
    return `${repositoryName(this.canonical(reference))}:${reference.tag ?? 'latest'}`;
  }

  async #make(key: string, maker: ImageMaker): Promise<Descriptor> {
    const running = this.#making.get(key);
    if (running) return await running;
    const making = maker(this);
    this.#making.set(key, making);
    making.catch(() => this.#making.delete(key));
    return await making;
  }
}

function notFound(reference: Reference): KnapsackError {
  return new KnapsackError('IMAGE_NOT_FOUND', `image ${formatReference(reference)} is not in the store`);
}

/** Walks from names to blobs. What cannot be read is not followed: an index may list platforms that were not pulled. */
async function reach(store: ImageStore, refs: RefMap): Promise<Set<string>> {
  const seen = new Set<string>();
  const waiting = [...refs.values()].map(({ digest }) => digest);
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    if ((await store.blobSize(digest)) === undefined) continue;
    const { manifest } = await store.manifest({ mediaType: '', digest, size: 0 });
    if (manifest.kind === 'index') {
      waiting.push(...manifest.manifests.map((entry) => entry.digest));
      continue;
    }
    for (const blob of [manifest.config, ...manifest.layers]) seen.add(blob.digest);
  }
  return seen;
}
