/** What is in a backup: one gzipped tar archive whose last entry is a manifest of all the others. */
import { KnapsackError } from '../../base/errors.ts';

export const manifestName = 'manifest.json';
/** The snapshot of the store, see `kube/store/snapshot.ts`. */
export const snapshotName = 'store/objects.ndjson';
export const formatVersion = 1;
/** A manifest takes some 150 bytes a file. */
export const maxManifestBytes = 256 * 1024 * 1024;

/** Top directories of a backup. `store` and `pki` are in each. */
export const parts = ['store', 'pki', 'images', 'events', 'volumes'] as const;
export type Part = (typeof parts)[number];

export interface BackedUpFile {
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface Manifest {
  readonly kind: 'KnapsackBackup';
  readonly format: number;
  /** RFC 3339. */
  readonly created: string;
  /** Of the Knapsack that made it. */
  readonly version: string;
  /** Name of the machine, which is its node's. */
  readonly host: string;
  readonly parts: readonly Part[];
  readonly store: { readonly resourceVersion: number; readonly objects: number };
  /** Every regular file, by its path in the archive. */
  readonly files: { readonly [path: string]: BackedUpFile };
}

export function invalidBackup(why: string): KnapsackError {
  return new KnapsackError('CLI_BACKUP_INVALID', why);
}

/** Throws CLI_BACKUP_INVALID for anything but a manifest that this version understands. */
export function parseManifest(text: string): Manifest {
  let manifest: Partial<Manifest> | null;
  try {
    manifest = JSON.parse(text) as Partial<Manifest> | null;
  } catch {
    throw invalidBackup('its manifest is not JSON');
  }
  if (manifest?.kind !== 'KnapsackBackup') throw invalidBackup('its manifest is not that of a backup');
  if (manifest.format !== formatVersion) {
    throw invalidBackup(
      `it has format ${String(manifest.format)}, made by Knapsack ${String(manifest.version)}; this version reads format ${formatVersion}`,
    );
  }
  const { files, store, created, host } = manifest;
  const isWhole =
    typeof files === 'object' &&
    typeof store === 'object' &&
    typeof created === 'string' &&
    !Number.isNaN(Date.parse(created)) &&
    typeof host === 'string' &&
    Object.hasOwn(files, snapshotName);
  if (!isWhole) throw invalidBackup('its manifest is incomplete');
  return manifest as Manifest;
}

/**
 * The part that a path of an archive belongs to. Throws CLI_BACKUP_INVALID for a path that is not plainly below one: what an
 * archive says must never decide where on the machine something is written.
 */
export function partOf(path: string): Part {
  const segments = path.split('/');
  const part = parts.find((name) => name === segments[0]);
  const isPlain =
    part !== undefined &&
    segments.every((segment) => segment !== '' && segment !== '.' && segment !== '..') &&
    !/[\0\\]/.test(path);
  if (!isPlain) throw invalidBackup(`it has an entry ${JSON.stringify(path)}, which no backup has`);
  return part;
}
