/** Reading a part of a file that others write to. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Up to `limit` bytes from `start` on; nothing when there is no file. */
export function readFrom(path: string, start: number, limit: number): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const size = Math.min(Math.max(0, fstatSync(file).size - start), limit);
    const buffer = Buffer.allocUnsafe(size);
    return buffer.subarray(0, readSync(file, buffer, 0, size, start));
  } finally {
    closeSync(file);
  }
}
