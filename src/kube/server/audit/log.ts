/** The audit log: one JSON object a line, in the order in which requests ended, in files of bounded size and number. */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import type { Logger } from '../../../base/log.ts';
import { messageOf, systemCode } from '../../../base/errors.ts';

export interface AuditLogOptions {
  /** The file that is written to; older ones are `<path>.1` to `<path>.<keep>`. */
  readonly path: string;
  readonly log: Logger;
  /** Bytes of a file before it is put aside. Default 10 MiB. */
  readonly maxBytes?: number;
  /** Files kept besides the one that is written to. Default 4. */
  readonly keep?: number;
}

/** What may wait for a slow disk, bytes; what comes on top is lost, and counted. */
const maxPendingBytes = 16 * 1024 * 1024;

export class AuditLog {
  readonly #path: string;
  readonly #log: Logger;
  readonly #maxBytes: number;
  readonly #keep: number;
  #file: FileHandle | undefined;
  #size = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  constructor(options: AuditLogOptions) {
    this.#path = options.path;
    this.#log = options.log;
    this.#maxBytes = options.maxBytes ?? 10 * 1024 * 1024;
    this.#keep = options.keep ?? 4;
  }

  /** Takes an event; returns at once. */
  append(event: object): void {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    if (this.#pendingBytes + line.length > maxPendingBytes) {
      this.#lost++;
      return;
    }
    this.#pending.push(line);
    this.#pendingBytes += line.length;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Writes what waits, and closes the file. */
  async close(): Promise<void> {
    while (this.#writing) await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Never rejects: a full disk must not stop the API. */
  async #write(): Promise<void> {
    // Requests that end in the same turn of the loop share a write.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#pending.length > 0) {
      const batch = this.#pending;
      this.#pending = [];
      this.#pendingBytes = 0;
      try {
        for (const chunk of this.#split(batch)) {
          if (this.#size > 0 && this.#size + chunk.length > this.#maxBytes) await this.#rotate();
          this.#file ??= await this.#open();
          await this.#file.appendFile(chunk);
          this.#size += chunk.length;
        }
      } catch (error) {
        this.#lost += batch.length;
        this.#log.error({ error: messageOf(error), path: this.#path }, 'audit log not written');
        await this.#file?.close().catch(() => undefined);
        this.#file = undefined;
      }
      if (this.#lost > 0 && this.#pending.length === 0) {
        this.#log.warn({ lost: this.#lost }, 'audit events lost');
        this.#lost = 0;
      }
    }
  }

  /** Joins lines as long as they fit into one file. */
  *#split(lines: readonly Buffer[]): Generator<Buffer> {
    let chunk: Buffer[] = [];
    let size = 0;
    for (const line of lines) {
      if (size > 0 && size + line.length > this.#maxBytes / 4) {
        yield Buffer.concat(chunk);
        chunk = [];
        size = 0;
      }
      chunk.push(line);
      size += line.length;
    }
    if (size > 0) yield Buffer.concat(chunk);
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.#path, 'a', 0o600);
    this.#size = (await file.stat()).size;
    return file;
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    await rm(`${this.#path}.${this.#keep}`, { force: true });
    for (let i = this.#keep - 1; i >= 1; i--)
      await moveIfThere(`${this.#path}.${i}`, `${this.#path}.${i + 1}`);
    if (this.#keep > 0) await moveIfThere(this.#path, `${this.#path}.1`);
    else await rm(this.#path, { force: true });
    this.#size = 0;
  }
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
