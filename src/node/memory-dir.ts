/** Places for files of pods in memory, where they never reach a disk: `/dev/shm/<tag>/<pod uid>`. */
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../base/errors.ts';

const root = '/dev/shm';
/** What the system says where the root is missing or closed to us, or a file is in our place. */
const noPlace = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS', 'EEXIST', 'ENOTDIR']);

export class MemoryDir {
  readonly path: string;

  /** `tag` names the data directory among others on this machine. */
  constructor(tag: string) {
    this.path = join(root, tag);
  }

  /** Something that another user made is in our place. */
  get isForeign(): boolean {
    return lstatSync(this.path, { throwIfNoEntry: false }) !== undefined && !isOurs(this.path);
  }

  /** The directory of a pod, made when it is not there. Undefined where this machine has no such place for us. */
  of(podUid: string): string | undefined {
    if (process.platform !== 'linux') return undefined;
    const path = join(this.path, podUid);
    try {
      // Passable, not readable: other users of the machine do not learn which pods there are.
      mkdirSync(this.path, { recursive: true, mode: 0o711 });
      if (!isOurs(this.path)) return undefined;
      mkdirSync(path, { recursive: true, mode: 0o711 });
      return path;
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (noPlace.has(code)) return undefined;
      throw error;
    }
  }

  remove(podUid: string): void {
    if (isOurs(this.path)) rmSync(join(this.path, podUid), { recursive: true, force: true });
  }

  /** Removes the directories of pods that are no more. */
  sweep(livePodUids: ReadonlySet<string>): void {
    if (!isOurs(this.path)) return;
    for (const uid of readdirSync(this.path)) if (!livePodUids.has(uid)) this.remove(uid);
    if (livePodUids.size === 0) rmSync(this.path, { recursive: true, force: true });
  }
}

/** Everybody may make directories in the root: one that another user has put there first is not used. */
function isOurs(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0;
}
