/** Small images for tests. Tars come from tar-stream, so that reader and writer are not tested against each other. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { digestOf } from '../../src/image/digest.ts';
import { hostPlatform, mediaTypes, type Descriptor, type RunConfig } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import type { ImageStore } from '../../src/image/store.ts';

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'knapsack-test-'));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export type TarInput = readonly [header: Partial<Header> & { name: string }, content?: string | Buffer];

export async function makeTar(entries: readonly TarInput[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, content = ''] of entries) archive.entry({ mtime: new Date(0), ...header }, content);
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** Stores layers (tars) as an image under a name. */
export async function storeImage(
  store: ImageStore,
  name: string,
  tars: readonly Buffer[],
  options: { run?: RunConfig; compression?: Compression; diffIds?: readonly string[] } = {},
): Promise<Descriptor> {
  const { run = {}, compression = 'none' } = options;
  const layers = [];
  for (const tar of tars) {
    const bytes =
      compression === 'gzip' ? gzipSync(tar) : compression === 'zstd' ? zstdCompressSync(tar) : tar;
    const suffix = compression === 'none' ? '' : `+${compression}`;
    layers.push({ mediaType: `${mediaTypes.layer}${suffix}`, ...(await store.putBlob(bytes)) });
  }
  const config = await store.putBlob(
    JSON.stringify({
      ...hostPlatform(),
      config: run,
      rootfs: { type: 'layers', diff_ids: options.diffIds ?? tars.map((tar) => digestOf(tar)) },
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, ...config },
    layers,
  };
  return await store.putManifest(parseReference(name), Buffer.from(JSON.stringify(manifest)));
}

/** Asserts on the code of a KnapsackError. */
export function withCode(code: string, message?: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof Error &&
    'code' in error &&
    error.code === code &&
    (message?.test(error.message) ?? true);
}
