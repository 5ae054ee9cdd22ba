/** Blob uploads: in one request, in one piece after opening, in chunks, or by mounting what is there. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { KnapsackError } from '../base/errors.ts';
import type { BlobWriter } from '../image/blob-writer.ts';
import { parseDigest } from '../image/digest.ts';
import { maxBlobSize } from '../image/store.ts';
import { RegistryError } from './errors.ts';
import { answerEmpty, bodyOf, requireDigestText, type Exchange } from './exchange.ts';

interface Upload {
  readonly name: string;
  readonly writer: BlobWriter;
  /** A request is adding bytes: chunks come one after another. */
  busy: boolean;
  /** ms since the epoch. */
  lastUsed: number;
}

const maxUploads = 256;

export interface UploadLimits {
  /** An upload that nobody continues is dropped after this long, ms. */
  readonly idleMs: number;
  /** Bytes. */
  readonly maxBlobSize: number;
}

export const defaultUploadLimits: UploadLimits = { idleMs: 3_600_000, maxBlobSize };

/** The uploads under way. They live in memory: after a restart a client opens a new one. */
export class Uploads {
  readonly #limits: UploadLimits;
  readonly #open = new Map<string, Upload>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(limits: UploadLimits = defaultUploadLimits) {
    this.#limits = limits;
    this.#sweeper = setInterval(() => void this.#sweep(), Math.min(limits.idleMs, 60_000));
    this.#sweeper.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await Promise.all([...this.#open.values()].map((upload) => upload.writer.abort()));
    this.#open.clear();
  }

  /** POST /v2/NAME/blobs/uploads/: opens an upload; with `digest` takes the whole blob, with `mount` one that is there. */
  async start(exchange: Exchange): Promise<void> {
    const { store, query, name } = exchange;
    const mount = query.get('mount');
    if (mount !== null && parseDigest(mount) && (await store.blobSize(mount)) !== undefined) {
      answerEmpty(exchange, 201, blobHeaders(name, mount));
      return;
    }
    const digest = query.get('digest');
    if (digest !== null) requireDigestText(digest);
    if (this.#open.size >= maxUploads) {
      throw new RegistryError('TOOMANYREQUESTS', `${maxUploads} uploads are under way`);
    }
    const writer = await store.newBlob(this.#limits.maxBlobSize);
    const id = randomUUID();
    const upload = { name, writer, busy: false, lastUsed: Date.now() };
    this.#open.set(id, upload);
    if (digest === null) {
      answerEmpty(exchange, 202, { ...uploadHeaders(name, id, upload), 'oci-chunk-min-length': '1' });
      return;
    }
    try {
      await this.#receive(exchange.request, upload);
      await this.#commit(exchange, id, upload, digest);
    } catch (error) {
      this.#open.delete(id);
      await writer.abort();
      throw error;
    }
  }

  /** PATCH LOCATION: one chunk, at exactly the place where the last one ended. */
  async append(exchange: Exchange): Promise<void> {
    const upload = this.#find(exchange);
    await this.#receive(exchange.request, upload);
    answerEmpty(exchange, 202, uploadHeaders(exchange.name, exchange.reference, upload));
  }

  /** PUT LOCATION?digest=DIGEST: the last chunk, if any, and the end. */
  async finish(exchange: Exchange): Promise<void> {
    const upload = this.#find(exchange);
    const digest = requireDigestText(exchange.query.get('digest'));
    await this.#receive(exchange.request, upload);
    await this.#commit(exchange, exchange.reference, upload, digest);
  }

  /** GET LOCATION: how far it got. */
  status(exchange: Exchange): void {
    const upload = this.#find(exchange);
    const { 'content-length': _, ...headers } = uploadHeaders(exchange.name, exchange.reference, upload);
    exchange.response.writeHead(204, headers).end();
  }

  /** DELETE LOCATION. */
  async cancel(exchange: Exchange): Promise<void> {
    const upload = this.#find(exchange);
    this.#open.delete(exchange.reference);
    await upload.writer.abort();
    exchange.response.writeHead(204).end();
  }

  #find({ reference, name }: Exchange): Upload {
    const upload = this.#open.get(reference);
    if (!upload || upload.name !== name) {
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN', `upload ${reference} of ${name} is not known`);
    }
    return upload;
  }

  async #receive(request: IncomingMessage, upload: Upload): Promise<void> {
    if (upload.busy) {
      throw new RegistryError('BLOB_UPLOAD_INVALID', 'another request is adding to this upload', {
        status: 409,
      });
    }
    requirePlace(request, upload.writer.size);
    upload.busy = true;
    try {
      for await (const chunk of bodyOf(request)) {
        upload.lastUsed = Date.now();
        await upload.writer.write(chunk as Buffer);
      }
    } catch (error) {
      if (!(error instanceof KnapsackError) || error.code !== 'IMAGE_TOO_LARGE') throw error;
      throw new RegistryError('SIZE_INVALID', error.message, { status: 413 });
    } finally {
      upload.busy = false;
      upload.lastUsed = Date.now();
    }
  }

  async #commit(exchange: Exchange, id: string, upload: Upload, digest: string): Promise<void> {
    this.#open.delete(id);
    try {
      await upload.writer.commit(digest);
    } catch (error) {
      if (!(error instanceof KnapsackError) || error.code !== 'IMAGE_DIGEST_MISMATCH') throw error;
      throw new RegistryError('DIGEST_INVALID', error.message);
    }
    answerEmpty(exchange, 201, blobHeaders(exchange.name, digest));
  }

  async #sweep(): Promise<void> {
    const before = Date.now() - this.#limits.idleMs;
    for (const [id, upload] of this.#open) {
      if (upload.busy || upload.lastUsed > before) continue;
      this.#open.delete(id);
      await upload.writer.abort();
    }
  }
}

/** A `Content-Range: FIRST-LAST` must continue what is there and agree with the length. */
function requirePlace(request: IncomingMessage, size: number): void {
  const header = request.headers['content-range'];
  if (header === undefined) return;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/.*)?$/.exec(header);
  const start = Number(match?.[1] ?? -1);
  const length = Number(match?.[2] ?? -1) - start + 1;
  const stated = request.headers['content-length'];
  if (start === size && length >= 0 && (stated === undefined || Number(stated) === length)) return;
  throw new RegistryError(
    'BLOB_UPLOAD_INVALID',
    `Content-Range ${header} does not continue at byte ${size}`,
    {
      status: 416,
      detail: { range: `0-${Math.max(size - 1, 0)}` },
    },
  );
}

function blobHeaders(name: string, digest: string): { [header: string]: string } {
  return { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest };
}

function uploadHeaders(name: string, id: string, upload: Upload): { [header: string]: string } {
  return {
    location: `/v2/${name}/blobs/uploads/${id}`,
    'docker-upload-uuid': id,
    range: `0-${Math.max(upload.writer.size - 1, 0)}`,
  };
}
