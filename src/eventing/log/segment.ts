/** A segment: one file of consecutive records, named by the offset of its first. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { headerBytes, parseRecord, type LogRecord } from './record.ts';
import type { LogFile } from './files.ts';

export interface Segment {
  readonly path: string;
  /** Offset of the first record. */
  readonly base: number;
  /** Records in it that are durable. */
  count: number;
  /** Bytes of it that are durable; nothing past them may be read. */
  bytes: number;
  /** When the last record was written, milliseconds since the epoch. */
  lastWrite: number;
}

const suffix = '.log';

export function segmentPath(directory: string, base: number): string {
  return join(directory, `${String(base).padStart(20, '0')}${suffix}`);
}

/** The base offsets of the segments in a directory, ascending. */
export async function listSegments(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names
    .filter((name) => /^\d{20}\.log$/.test(name))
    .map((name) => Number(name.slice(0, -suffix.length)))
    .sort((a, b) => a - b);
}

const chunkBytes = 256 * 1024;

/** What a scan met at its end. */
export type ScanEnd =
  /** The last byte allowed ended a record. */
  | 'clean'
  /** The rest is no whole, valid record. */
  | 'broken';

/**
 * Reads records in order from an open file, a chunk at a time. Holds one chunk (or one record, if that is larger).
 */
export class RecordScanner {
  readonly #file: LogFile;
  #position: number;
  #offset: number;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  /** `position` is the byte where the record of `offset` starts. */
  constructor(file: LogFile, position: number, offset: number) {
    this.#file = file;
    this.#position = position;
    this.#offset = offset;
  }

  /** Offset of the record that {@link read} gives first. */
  get offset(): number {
    return this.#offset;
  }

  /** Byte position of that record in the file. */
  get position(): number {
    return this.#position;
  }

  /**
   * The next records that lie before byte `limit`, at least one when there is one, about a chunk at most; or how the
   * bytes before `limit` end.
   */
  async read(limit: number): Promise<LogRecord[] | ScanEnd> {
    const records: LogRecord[] = [];
    for (;;) {
      const parsed = parseRecord(this.#chunk, this.#at);
      if (parsed.kind === 'record') {
        records.push({ offset: this.#offset, time: parsed.time, payload: parsed.payload });
        this.#position += parsed.end - this.#at;
        this.#at = parsed.end;
        this.#offset++;
        continue;
      }
      if (records.length > 0) return records;
      if (parsed.kind === 'corrupt') return 'broken';
      const left = limit - this.#position;
      if (left === 0) return 'clean';
      if (left < parsed.need || left < headerBytes) return 'broken';
      this.#chunk = Buffer.allocUnsafe(Math.min(left, Math.max(chunkBytes, parsed.need)));
      this.#at = 0;
      const got = await this.#file.read(this.#chunk, this.#position);
      if (got < this.#chunk.length) this.#chunk = this.#chunk.subarray(0, got);
      if (got < parsed.need) return 'broken';
    }
  }
}
