/** A blob on its way into the store. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KnapsackError } from '../base/errors.ts';
import { parseDigest, requireDigest } from './digest.ts';
import { syncDirectory } from './files.ts';

/** Where a blob of this digest lies under the layout's root. */
export function blobPath(root: string, digest: string): string {
  const parts = parseDigest(digest);
  if (!parts) throw new KnapsackError('IMAGE_NAME_INVALID', `${JSON.stringify(digest)} is not a digest`);
  return join(root, 'blobs', parts.algorithm, parts.hex);
}

/**
 * Collects bytes in a temporary file while hashing them; `commit` moves the file to its digest's place. Writes must be
 * awaited one after another. Nothing is visible before `commit`, and nothing remains after `abort`.
 */
export class BlobWriter {
  readonly #root: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #maxSize: number;
  readonly #hash = createHash('sha256');
  #size = 0;
  #open = true;

  private constructor(root: string, path: string, handle: FileHandle, maxSize: number) {
    this.#root = root;
    this.#path = path;
    this.#handle = handle;
    this.#maxSize = maxSize;
  }

  /** `maxSize` in bytes. */
  static async create(root: string, maxSize: number): Promise<BlobWriter> {
    const path = join(root, 'tmp', randomUUID());
    return new BlobWriter(root, path, await open(path, 'wx', 0o644), maxSize);
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /** Throws IMAGE_TOO_LARGE past the limit. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#size += chunk.length;
    if (this.#size > this.#maxSize) {
      throw new KnapsackError('IMAGE_TOO_LARGE', `a blob is larger than ${this.#maxSize} bytes`);
    }
    this.#hash.update(chunk);
    await this.#handle.writeFile(chunk);
  }

  /** Makes the blob durable and visible. With `expected`, throws IMAGE_DIGEST_MISMATCH unless the bytes have it. */
  async commit(expected?: string): Promise<{ digest: string; size: number }> {
    const sha256 = `sha256:${this.#hash.digest('hex')}`;
    try {
      await this.#handle.sync();
      await this.#close();
      const digest = expected ?? sha256;
      const algorithm = parseDigest(digest)?.algorithm ?? 'sha256';
      requireDigest('the blob', digest, algorithm === 'sha256' ? sha256 : await this.#rehash(algorithm));
      const target = blobPath(this.#root, digest);
      await mkdir(dirname(target), { recursive: true });
      await rename(this.#path, target);
      await syncDirectory(dirname(target));
      return { digest, size: this.#size };
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async abort(): Promise<void> {
    await this.#close();
    await rm(this.#path, { force: true });
  }

  async #rehash(algorithm: string): Promise<string> {
    const hash = createHash(algorithm);
    for await (const chunk of createReadStream(this.#path)) hash.update(chunk as Buffer);
    return `${algorithm}:${hash.digest('hex')}`;
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}
