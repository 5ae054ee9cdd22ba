/** The few file operations of the log. An interface, so that tests can fill the disk without filling a disk. */
import { open, type FileHandle } from 'node:fs/promises';

export interface LogFile {
  /** Writes all of `bytes` at `position`, or throws with an unknown part of them written. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** Resolves when what was written is on disk. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Fills `into` from `position` on; returns how many bytes there were. */
  read(into: Buffer, position: number): Promise<number>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export type OpenLogFile = (path: string, mode: 'create' | 'read' | 'write') => Promise<LogFile>;

const flags = { create: 'wx+', read: 'r', write: 'r+' } as const;

export const openLogFile: OpenLogFile = async (path, mode) => {
  const handle = await open(path, flags[mode], 0o600);
  return new DiskFile(handle);
};

class DiskFile implements LogFile {
  readonly #handle: FileHandle;
  constructor(handle: FileHandle) {
    this.#handle = handle;
  }
  async write(bytes: Buffer, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      // A nearly full disk takes a part and fails only the next write.
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }
  async sync(): Promise<void> {
    await this.#handle.datasync();
  }
  async truncate(size: number): Promise<void> {
    await this.#handle.truncate(size);
  }
  async read(into: Buffer, position: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const { bytesRead } = await this.#handle.read(into, done, into.length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }
  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }
  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Makes creations, renames and removals in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
