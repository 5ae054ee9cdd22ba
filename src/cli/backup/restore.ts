/** Restoring: unpack beside the data directory, check, build the store, and only then put it in place. */
import { createReadStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemCode } from '../../base/errors.ts';
import { loadSnapshot } from '../../kube/store/snapshot.ts';
import { sqliteBackend } from '../../kube/store/sqlite.ts';
import { syncDirectory } from './directory.ts';
import { extractBackup } from './extract.ts';
import { snapshotName, type Manifest } from './format.ts';
import { rehome, versionAfterRestore } from './rehome.ts';

export interface RestoreOptions {
  readonly file: string;
  /** The data directory: missing, empty, or one that `replace` allows to be deleted. */
  readonly data: string;
  readonly replace: boolean;
  readonly progress: (step: string, ms: number) => void;
}

export interface Restored {
  readonly manifest: Manifest;
  /** Version that the restored store stands at. */
  readonly resourceVersion: number;
}

/** Throws CLI_BACKUP_INVALID and failures of the disk, always with the data directory as it was. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { file, data, progress } = options;
  await mkdir(dirname(data), { recursive: true });
  const inPlace = await isMountPoint(data);
  const staging = await mkdtemp(inPlace ? join(data, '.restore-') : `${data}.restore-`);
  try {
    let began = performance.now();
    const manifest = await extractBackup(file, staging);
    progress(`checked and unpacked ${Object.keys(manifest.files).length} files`, performance.now() - began);
    began = performance.now();
    const resourceVersion = await buildStore(staging, manifest);
    progress(`store built: ${manifest.store.objects} objects`, performance.now() - began);
    if (inPlace) await publishInside(staging, data);
    else await publish(staging, data, options.replace);
    return { manifest, resourceVersion };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** A mounted file system cannot be replaced by renaming: then everything happens within it. */
async function isMountPoint(data: string): Promise<boolean> {
  const found = await stat(data).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  return found !== undefined && found.dev !== (await stat(dirname(data))).dev;
}

async function buildStore(staging: string, manifest: Manifest): Promise<number> {
  const snapshot = join(staging, snapshotName);
  const backend = sqliteBackend(join(staging, 'store'));
  const moved = manifest.host !== hostname().toLowerCase();
  const age = Date.now() - Date.parse(manifest.created);
  let version = 0;
  try {
    await loadSnapshot(
      createReadStream(snapshot, { highWaterMark: 1 << 18 }),
      backend,
      (resourceVersion) => (version = versionAfterRestore(resourceVersion, age)),
      moved ? (entry) => rehome(entry, manifest.host) : undefined,
    );
  } finally {
    await backend.close();
  }
  await rm(snapshot);
  return version;
}

/** One rename makes it visible. A directory that is replaced stays beside it until the new one is there. */
async function publish(staging: string, data: string, replace: boolean): Promise<void> {
  const old = `${staging}.replaced`;
  if (replace) {
    await rename(data, old).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
  } else {
    // Empty: anything else is not removed by this.
    await rmdir(data).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
  }
  try {
    // As `up` makes it: passable, so that pods under other users reach their files.
    await chmod(staging, 0o711);
    await rename(staging, data);
  } catch (error) {
    await rename(old, data).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(data));
  await rm(old, { recursive: true, force: true });
}

/** The store comes last: without it the directory is not one that `up` would take for whole. */
async function publishInside(staging: string, data: string): Promise<void> {
  const own = staging.slice(data.length + 1);
  for (const name of await readdir(data)) {
    if (name !== own) await rm(join(data, name), { recursive: true, force: true });
  }
  const names = (await readdir(staging)).filter((name) => name !== 'store');
  for (const name of [...names, 'store']) await rename(join(staging, name), join(data, name));
  await syncDirectory(data);
}
