/** Paths that come from users, kept inside a directory. */
import { lstatSync, mkdirSync, readlinkSync } from 'node:fs';
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
 * The real path of `path` inside `root`, as a process with `root` as its root directory would resolve it: links are
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
