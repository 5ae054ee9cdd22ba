/** Reads a container's log for `kubectl logs`: from a line or a time on, with timestamps, and following. */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import type { ContainerLog } from './container-log.ts';

export interface ReadOptions {
  readonly follow?: boolean;
  /** Only the last so many lines. */
  readonly tailLines?: number;
  /** Only lines from this time on, ms since the epoch. */
  readonly since?: number;
  /** Each line begins with its time, RFC 3339 with nanoseconds. */
  readonly timestamps?: boolean;
  /** Stop after so many bytes. */
  readonly limitBytes?: number;
  readonly signal?: AbortSignal;
}

/** Most that is read of one file at once, bytes. */
const maxRead = 64 * 2 ** 20;
const chunkSize = 256 * 1024;
const newline = 10;

interface Line {
  /** With its newline, if it has one. */
  readonly bytes: Buffer;
  readonly time: number;
}

/** When which part of a file was there: ascending end offsets and times. */
class TimeIndex {
  readonly #entries: (readonly [number, number])[];
  #at = 0;

  constructor(path: string) {
    this.#entries = existsSync(path)
      ? readFileSync(path, 'latin1')
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => {
            const [offset, time] = line.split(' ');
            return [Number(offset), Number(time)] as const;
          })
      : [];
  }

  /** The time of the byte before `offset`. Offsets must be asked in ascending order. */
  timeAt(offset: number, otherwise: number): number {
    while ((this.#entries[this.#at]?.[0] ?? Infinity) < offset) this.#at++;
    return this.#entries[this.#at]?.[1] ?? otherwise;
  }
}

function readFrom(path: string, start: number, limit = maxRead): Buffer {
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

function* linesOf(bytes: Buffer, times: TimeIndex, otherwise: number): Generator<Line> {
  let start = 0;
  while (start < bytes.length) {
    const at = bytes.indexOf(newline, start);
    const end = at < 0 ? bytes.length : at + 1;
    yield { bytes: bytes.subarray(start, end), time: times.timeAt(end, otherwise) };
    start = end;
  }
}

/** The log as chunks of bytes. Ends at the end of the log; with `follow`, when the container has ended. */
export async function* readLog(
  log: ContainerLog,
  options: ReadOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const output = new Output(options);
  const changes = options.follow ? new Changes(log, options.signal) : undefined;
  try {
    log.look();
    let generation = log.generation;
    const older = readFrom(`${log.path}.1`, 0);
    const current = readFrom(log.path, 0);
    let position = current.length;
    const otherwise = log.time || Date.now();
    const lines = [
      ...linesOf(older, new TimeIndex(`${log.indexPath}.1`), otherwise),
      ...linesOf(current, new TimeIndex(log.indexPath), otherwise),
    ].filter((line) => line.time >= (options.since ?? 0));
    const { tailLines } = options;
    const wanted = tailLines === undefined ? lines : tailLines <= 0 ? [] : lines.slice(-tailLines);
    yield* output.write(wanted);
    if (!changes) return;
    while (!output.full && !options.signal?.aborted) {
      const ended = log.ended;
      if (log.generation !== generation) {
        // Moved aside since: the rest of the old file first.
        const rest = readFrom(`${log.path}.1`, position);
        yield* output.write(split(rest, log.time));
        generation = log.generation;
        position = 0;
      }
      const more = readFrom(log.path, position, 4 * chunkSize);
      position += more.length;
      if (more.length > 0) {
        yield* output.write(split(more, log.time || Date.now()));
        continue;
      }
      if (ended) return;
      await changes.next();
    }
  } finally {
    changes?.close();
  }
}

function split(bytes: Buffer, time: number): Line[] {
  const lines: Line[] = [];
  for (let start = 0; start < bytes.length;) {
    const at = bytes.indexOf(newline, start);
    const end = at < 0 ? bytes.length : at + 1;
    lines.push({ bytes: bytes.subarray(start, end), time });
    start = end;
  }
  return lines;
}

/** Formats lines into chunks and counts the bytes. */
class Output {
  readonly #timestamps: boolean;
  #left: number;
  #atLineStart = true;

  constructor(options: ReadOptions) {
    this.#timestamps = options.timestamps ?? false;
    this.#left = options.limitBytes ?? Infinity;
  }

  get full(): boolean {
    return this.#left <= 0;
  }

  *write(lines: readonly Line[]): Generator<Buffer> {
    let parts: Buffer[] = [];
    let size = 0;
    for (const line of lines) {
      if (this.#timestamps && this.#atLineStart) parts.push(Buffer.from(`${nanoTime(line.time)} `));
      this.#atLineStart = line.bytes.at(-1) === newline;
      parts.push(line.bytes);
      size += line.bytes.length;
      if (size < chunkSize) continue;
      yield* this.#emit(parts);
      parts = [];
      size = 0;
      if (this.full) return;
    }
    yield* this.#emit(parts);
  }

  *#emit(parts: readonly Buffer[]): Generator<Buffer> {
    const bytes = Buffer.concat(parts);
    const kept = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    this.#left -= kept.length;
    if (kept.length > 0) yield kept;
  }
}

function nanoTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000000Z');
}

/** Turns the log's callbacks into something to wait for; a change between two waits is not lost. */
class Changes {
  #pending = false;
  #wake: (() => void) | undefined;
  readonly #unsubscribe: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #notify = (): void => {
    this.#pending = true;
    this.#wake?.();
  };

  constructor(log: ContainerLog, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#unsubscribe = log.onChange(this.#notify);
    signal?.addEventListener('abort', this.#notify);
  }

  async next(): Promise<void> {
    if (!this.#pending) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#pending = false;
    this.#wake = undefined;
  }

  close(): void {
    this.#unsubscribe();
    this.#signal?.removeEventListener('abort', this.#notify);
  }
}
