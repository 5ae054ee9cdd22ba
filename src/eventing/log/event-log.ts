/**
 * A durable append-only log in one directory: segments of framed records, appended in groups that share one disk sync.
 *
 * What it promises: `append` resolves only when the record is on disk; records keep their order and their offsets; after
 * a crash at any point every acknowledged record is still there. It does not know its readers: the owner says up to
 * where all have read (`readByAll`).
 */
import { mkdir, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { KnapsackError, messageOf, systemCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { encodeRecord, maxPayloadBytes } from './record.ts';
import { openLogFile, syncDirectory, type LogFile, type OpenLogFile } from './files.ts';
import { listSegments, RecordScanner, segmentPath, type Segment } from './segment.ts';
import { LogCursor } from './cursor.ts';

export interface LogOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Nobody needs records before this offset. */
  readByAll(): number;
  /** A segment is closed when it has this many bytes. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Read-by-all records kept at most, in bytes. Default 64 MiB. */
  readonly retentionBytes?: number;
  /** Read-by-all records kept at most, in ms since they were written. Default one hour. */
  readonly retentionMs?: number;
  /** Past this size appends are refused until readers catch up. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Appends that may wait for the disk, in bytes. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  readonly openFile?: OpenLogFile;
}

interface Append {
  readonly record: Buffer;
  readonly resolve: (offset: number) => void;
  readonly reject: (error: unknown) => void;
}

const defaults = {
  segmentBytes: 16 * 1024 * 1024,
  retentionBytes: 64 * 1024 * 1024,
  retentionMs: 3_600_000,
  maxBytes: 1024 * 1024 * 1024,
  maxQueuedBytes: 64 * 1024 * 1024,
};

/** Bytes that one disk sync covers at most. */
const maxBatchBytes = 4 * 1024 * 1024;

/** Codes of a file system that cannot take more, as opposed to one that is broken. */
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export class EventLog {
  readonly #directory: string;
  readonly #options: LogOptions & typeof defaults & { openFile: OpenLogFile };
  /** Ascending; the last one is written to. Never empty. */
  readonly #segments: Segment[];
  #file: LogFile;
  /** The file may hold bytes of a failed append past what is durable. */
  #dirty = false;
  #queue: Append[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #trimming: Promise<void> | undefined;
  #closed = false;
  readonly #waiters = new Set<() => void>();

  private constructor(
    directory: string,
    options: LogOptions & typeof defaults & { openFile: OpenLogFile },
    segments: Segment[],
    file: LogFile,
  ) {
    this.#directory = directory;
    this.#options = options;
    this.#segments = segments;
    this.#file = file;
  }

  /**
   * Opens the log, makes it where there is none, and cuts off what a crash left half written at its end. What is cut
   * was never acknowledged; it is kept beside the segment as `….torn` and logged.
   */
  static async open(directory: string, options: LogOptions): Promise<EventLog> {
    const settings = { ...defaults, openFile: openLogFile, ...options };
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const bases = await listSegments(directory);
    if (bases.length === 0) {
      const file = await settings.openFile(segmentPath(directory, 0), 'create');
      await syncDirectory(directory);
      await syncDirectory(dirname(directory));
      return new EventLog(directory, settings, [newSegment(directory, 0, options.clock.now())], file);
    }
    const segments: Segment[] = [];
    for (const [i, base] of bases.entries()) {
      const path = segmentPath(directory, base);
      const { size, mtimeMs } = await stat(path);
      const next = bases[i + 1];
      segments.push({
        path,
        base,
        bytes: size,
        count: next === undefined ? 0 : next - base,
        lastWrite: mtimeMs,
      });
    }
    const last = segments.at(-1) as Segment;
    const file = await settings.openFile(last.path, 'write');
    await repairTail(last, file, options.log);
    return new EventLog(directory, settings, segments, file);
  }

  /** Offset that the next record gets. */
  get nextOffset(): number {
    const last = this.#active();
    return last.base + last.count;
  }

  /** Offset of the oldest record that is still there. */
  get firstOffset(): number {
    return this.#segments[0]?.base ?? 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /**
   * Resolves with the record's offset when it is on disk.
   * @throws KnapsackError EVENTING_LOG_FULL (disk full, or readers too far behind), EVENTING_LOG_BUSY (the disk is too
   * slow for what is asked of it), EVENTING_LOG_FAILED (any other failure of the disk), EVENTING_LOG_CLOSED.
   */
  append(payload: Buffer): Promise<number> {
    if (this.#closed) return Promise.reject(closedError(this.#directory));
    if (payload.length > maxPayloadBytes) {
      return Promise.reject(new RangeError(`a record of ${payload.length} bytes is past ${maxPayloadBytes}`));
    }
    if (this.#queuedBytes + payload.length > this.#options.maxQueuedBytes) {
      return Promise.reject(
        new KnapsackError(
          'EVENTING_LOG_BUSY',
          `${this.#queuedBytes} bytes of events wait for the disk of ${this.#directory}`,
        ),
      );
    }
    const record = encodeRecord(this.#options.clock.now(), payload);
    this.#queuedBytes += record.length;
    return new Promise((resolve, reject) => {
      this.#queue.push({ record, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** A reader that starts at `offset` (or at the oldest record, when that is younger). */
  cursor(offset: number): LogCursor {
    return new LogCursor(
      {
        segmentOf: (at) => this.#segments.findLast((segment) => segment.base <= at) ?? this.#segments[0],
        openFile: this.#options.openFile,
        log: this.#options.log,
      },
      offset,
    );
  }

  /** Resolves when there is a record at `offset`, or when `signal` aborts, or the log closes. */
  async reaches(offset: number, signal: AbortSignal): Promise<void> {
    while (this.nextOffset <= offset && !signal.aborted && !this.#closed) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }

  /** Removes whole segments that all have read and that are past their retention. */
  async trim(): Promise<void> {
    this.#trimming ??= this.#removeOld(this.#options.retentionBytes).finally(() => {
      this.#trimming = undefined;
    });
    await this.#trimming;
  }

  /** Waits for appends under way, then closes. Cursors stop with the log. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake();
    await this.#writing;
    await this.#trimming;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const bytes = Buffer.concat(batch.map((append) => append.record));
      try {
        const first = await this.#commit(bytes, batch.length);
        batch.forEach((append, i) => append.resolve(first + i));
        this.#wake();
      } catch (error) {
        const failure = this.#failure(error);
        for (const append of batch) append.reject(failure);
      }
      this.#queuedBytes -= bytes.length;
    }
    this.#writing = undefined;
  }

  #takeBatch(): Append[] {
    let bytes = 0;
    let count = 0;
    for (const { record } of this.#queue) {
      if (count > 0 && bytes + record.length > maxBatchBytes) break;
      bytes += record.length;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Writes and syncs; the segment's figures move only when all of it is on disk. Returns the first offset. */
  async #commit(bytes: Buffer, count: number): Promise<number> {
    await this.#makeRoom(bytes.length);
    if (this.#dirty) {
      // What a failed append left must go before anything follows it.
      await this.#file.truncate(this.#active().bytes);
      this.#dirty = false;
    }
    if (this.#active().bytes >= this.#options.segmentBytes) await this.#roll();
    const segment = this.#active();
    this.#dirty = true;
    await this.#file.write(bytes, segment.bytes);
    await this.#file.sync();
    this.#dirty = false;
    const first = segment.base + segment.count;
    segment.bytes += bytes.length;
    segment.count += count;
    segment.lastWrite = this.#options.clock.now();
    return first;
  }

  async #roll(): Promise<void> {
    const base = this.nextOffset;
    const file = await this.#options.openFile(segmentPath(this.#directory, base), 'create');
    await syncDirectory(this.#directory);
    await this.#file.close();
    this.#file = file;
    this.#segments.push(newSegment(this.#directory, base, this.#options.clock.now()));
  }

  async #makeRoom(bytes: number): Promise<void> {
    if (this.bytes + bytes <= this.#options.maxBytes) return;
    await this.#trimming;
    await this.#removeOld(Math.max(0, this.#options.maxBytes - bytes));
    if (this.bytes + bytes <= this.#options.maxBytes) return;
    throw new KnapsackError(
      'EVENTING_LOG_FULL',
      `the event log ${this.#directory} has reached its limit of ${this.#options.maxBytes} bytes: ` +
        `${this.nextOffset - this.#options.readByAll()} events wait for a subscriber`,
    );
  }

  /** Removes closed segments that all have read, oldest first, while they are too old or more than `keepBytes`. */
  async #removeOld(keepBytes: number): Promise<void> {
    const oldest = this.#options.clock.now() - this.#options.retentionMs;
    for (;;) {
      const [first, second] = this.#segments;
      if (!first || !second || second.base > this.#options.readByAll()) return;
      if (first.lastWrite >= oldest && this.bytes <= keepBytes) return;
      await unlink(first.path).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
      });
      this.#segments.shift();
    }
  }

  #failure(error: unknown): KnapsackError {
    if (error instanceof KnapsackError) return error;
    const code = fullCodes.has(systemCode(error) ?? '') ? 'EVENTING_LOG_FULL' : 'EVENTING_LOG_FAILED';
    this.#options.log.error(
      { directory: this.#directory, error: messageOf(error) },
      'event log cannot write',
    );
    return new KnapsackError(code, `events cannot be written to ${this.#directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }

  #active(): Segment {
    return this.#segments.at(-1) as Segment;
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
  }
}

function closedError(directory: string): KnapsackError {
  return new KnapsackError('EVENTING_LOG_CLOSED', `the event log ${directory} is closed`);
}

function newSegment(directory: string, base: number, now: number): Segment {
  return { path: segmentPath(directory, base), base, count: 0, bytes: 0, lastWrite: now };
}

/** Finds the end of the last whole record and cuts the file there. */
async function repairTail(segment: Segment, file: LogFile, log: Logger): Promise<void> {
  const scanner = new RecordScanner(file, 0, segment.base);
  let end = await scanner.read(segment.bytes);
  while (typeof end !== 'string') end = await scanner.read(segment.bytes);
  const size = segment.bytes;
  segment.count = scanner.offset - segment.base;
  segment.bytes = scanner.position;
  if (end === 'clean') return;
  const torn = Buffer.alloc(size - scanner.position);
  await file.read(torn, scanner.position);
  // Kept, not thrown away: should it ever be rot of the disk instead of a torn write, someone can look.
  await writeFile(`${segment.path}.${scanner.position}.torn`, torn, { mode: 0o600 }).catch(() => undefined);
  await file.truncate(scanner.position);
  await file.sync();
  log.warn(
    { segment: segment.path, bytes: torn.length, nextOffset: scanner.offset },
    'event log ended in an unfinished write, cut off',
  );
}
