/** Writing files so that a crash leaves the old content or the new, never a part. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KnapsackError, systemCode } from '../base/errors.ts';

/** Makes the entries of a directory durable. Where the system cannot sync directories, nothing is done. */
export async function syncDirectory(path: string): Promise<void> {
  let handle;
  try {
    handle = await open(path, 'r');
    await handle.sync();
  } catch (error) {
    if (!['EISDIR', 'EPERM', 'EINVAL', 'EACCES'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await handle?.close();
  }
}

/** Replaces a file by way of a temporary one: write, fsync, rename, fsync of the directory. */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomUUID()}.tmp`;
  const handle = await open(temporary, 'wx', 0o644);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

const lockWaitMs = 15_000;
/** A lock whose writer died before it wrote its pid is broken after this long. */
const lockOrphanMs = 5000;

/**
 * Runs `work` while holding a lock file, so that processes that share a directory take turns. The lock of a dead process
 * is broken. Throws IMAGE_STORE_BUSY when the lock cannot be had in 15 s.
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const deadline = Date.now() + lockWaitMs;
  for (;;) {
    try {
      const handle = await open(path, 'wx', 0o644);
      await handle.writeFile(String(process.pid));
      await handle.close();
      break;
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    if (await isOrphan(path)) await breakLock(path);
    if (Date.now() > deadline) {
      throw new KnapsackError(
        'IMAGE_STORE_BUSY',
        `the lock ${path} is held by process ${await holder(path)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/**
 * Takes an orphaned lock away. Two waiters may both have judged it: what the slower one takes may be the quicker one's new
 * lock, and is put back then.
 */
async function breakLock(path: string): Promise<void> {
  const taken = `${path}.${process.pid}.${randomUUID()}`;
  try {
    await rename(path, taken);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if (!(await isOrphan(taken))) await link(taken, path).catch(() => undefined);
  await rm(taken, { force: true });
}

async function holder(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

async function isOrphan(path: string): Promise<boolean> {
  const pid = Number(await holder(path));
  if (!pid) {
    const found = await stat(path).catch(() => undefined);
    return found !== undefined && Date.now() - found.mtimeMs > lockOrphanMs;
  }
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}
