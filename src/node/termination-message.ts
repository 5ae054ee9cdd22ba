/** What a container wrote for its end. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Longest termination message, bytes (kubelet). */
const maxMessage = 4096;

/**
 * The end of the file, as a kubelet reads it; nothing when there is none. A container may have made anything of the file:
 * gigabytes of it, or, where nothing is mounted, a link to another file or a pipe that nobody writes to.
 */
export function readTerminationMessage(path: string): string {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // A link, or the pod's directory is being removed.
    return '';
  }
  try {
    const found = fstatSync(file);
    if (!found.isFile()) return '';
    const buffer = Buffer.alloc(Math.min(found.size, maxMessage));
    const size = readSync(file, buffer, 0, buffer.length, found.size - buffer.length);
    return buffer.toString('utf8', 0, size);
  } finally {
    closeSync(file);
  }
}
