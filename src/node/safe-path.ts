/** Paths that come from users, kept inside a directory. */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { KnapsackError, systemCode } from '../base/errors.ts';

const maxLinks = 40;

function unsafe(path: string, why: string): never {
  throw new KnapsackError('NODE_VOLUME_UNSAFE', `path ${JSON.stringify(path.slice(0, 300))} ${why}`);
}

/** Components of a relative path. Throws NODE_VOLUME_UNSAFE for an absolute path, `..` or a zero byte. */
export function relativeComponents(path: string): string[] {
  if (path.startsWith('/')) unsafe(path, 'must be relative');
  if (path.includes('\0')) unsafe(path, 'holds a zero byte');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) unsafe(path, 'must not contain ".."');
  return parts;
}

/**
 * The real path of `path` inside `root`, for places that only the platform writes to, as a process with `root` as its root directory would resolve it: links are
 * followed, but never out of `root`. Missing components are kept as they are, or made as directories with `create`.
 */
export function resolveInside(root: string, path: string, options: { create?: boolean } = {}): string {
  if (path.includes('\0')) unsafe(path, 'holds a zero byte');
  const waiting = path.split('/').reverse();
  let at: string[] = [];
  let links = 0;
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      at.pop();
      continue;
    }
    const next = join(root, ...at, part);
    const kind = kindOf(next);
    if (kind === 'link') {
      if (++links > maxLinks) unsafe(path, 'has too many symbolic links');
      const target = readlinkSync(next);
      if (target.startsWith('/')) at = [];
      waiting.push(...target.split('/').reverse());
      continue;
    }
    if (kind === undefined && options.create) mkdirSync(next, { mode: 0o755 });
    at.push(part);
  }
  return join(root, ...at);
}

function kindOf(path: string): 'link' | 'other' | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? 'link' : 'other';
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** `O_PATH` (open(2)), which Node.js does not name: a handle that neither reads nor waits, for files of every kind. */
const pathOnly = 0o10000000;

/** What a path led to. The descriptor is closed by whoever asked. */
export interface OpenedPath {
  /** Stays what it is, whatever becomes of the path. */
  readonly fd: number;
  /** Where it was found. */
  readonly path: string;
  readonly isDirectory: boolean;
}

export interface InsideOptions {
  /** Permission bits of directories that are made where there is nothing. */
  readonly createMode?: number;
}

/**
 * Opens `path` inside `root` as {@link resolveInside} finds it, for places where containers write: they may change any
 * component at any moment (CVE-2017-1002101, CVE-2021-25741). Each component is opened below the one before, without
 * following it, and links are read, so that no change leads out of `root`. Linux. Throws NODE_CONTAINER_CONFIG when there
 * is nothing.
 */
export function openInside(root: string, path: string, options: InsideOptions = {}): OpenedPath {
  if (path.includes('\0')) unsafe(path, 'holds a zero byte');
  /** The way from the root to here. */
  const way = [{ name: '', fd: openSync(root, pathOnly) }];
  const here = () => way.at(-1) ?? { name: '', fd: -1 };
  let found: OpenedPath | undefined;
  try {
    const waiting = path.split('/').reverse();
    let links = 0;
    for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        if (way.length > 1) closeAll(way.splice(-1));
        continue;
      }
      const next = below(here().fd, part);
      const fd = openComponent(next, path, options);
      way.push({ name: part, fd });
      if (!fstatSync(fd).isSymbolicLink()) continue;
      closeAll(way.splice(-1));
      if (++links > maxLinks) unsafe(path, 'has too many symbolic links');
      const target = readlinkSync(next);
      if (target.startsWith('/')) closeAll(way.splice(1));
      waiting.push(...target.split('/').reverse());
    }
    const { fd } = here();
    found = {
      fd,
      path: join(root, ...way.map(({ name }) => name)),
      isDirectory: fstatSync(fd).isDirectory(),
    };
    return found;
  } finally {
    closeAll(way.filter(({ fd }) => fd !== found?.fd));
  }
}

/** Where {@link openInside} finds something now. On other systems, whose containers are not confined, by path. */
export function pathInside(root: string, path: string, options: InsideOptions = {}): string {
  if (process.platform !== 'linux') {
    return resolveInside(root, path, { create: options.createMode !== undefined });
  }
  const opened = openInside(root, path, options);
  closeSync(opened.fd);
  return opened.path;
}

/** A name in an open directory, whatever the directory is called by now. */
function below(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

function openComponent(path: string, whole: string, { createMode }: InsideOptions): number {
  const open = (): number => openSync(path, pathOnly | constants.O_NOFOLLOW);
  try {
    return open();
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && createMode !== undefined) return make(path, createMode, open);
    if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
    throw new KnapsackError(
      'NODE_CONTAINER_CONFIG',
      `path ${JSON.stringify(whole.slice(0, 300))} does not exist in the volume`,
    );
  }
}

function make(path: string, mode: number, open: () => number): number {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // A container was quicker.
    if (systemCode(error) !== 'EEXIST') throw error;
    return open();
  }
  const fd = open();
  // Whatever this process's mask takes away; not by name, which may be another's by now.
  if (fstatSync(fd).isDirectory()) chmodSync(`/proc/self/fd/${fd}`, mode);
  return fd;
}

function closeAll(opened: readonly { readonly fd: number }[]): void {
  for (const { fd } of opened) closeSync(fd);
}
