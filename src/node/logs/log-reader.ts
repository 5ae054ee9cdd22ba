/** Reads a container's log for `kubectl logs`: from a line or a time on, with timestamps, and following. */
import type { ContainerLog } from './container-log.ts';
import { readFrom } from './read-file.ts';
import { TimeIndex } from './time-index.ts';

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

/** A line where lines matter, or else just some bytes. */
interface Piece {
  readonly bytes: Buffer;
  readonly time: number;
}

/**
 * The bytes piece by piece: a log of nothing but line ends has millions of them, and must not become as many objects at
 * once. `byLine`: each piece is a line with its newline, if it has one.
 */
function* piecesOf(bytes: Buffer, byLine: boolean, timeAt: (end: number) => number): Generator<Piece> {
  for (let start = 0, end = 0; start < bytes.length; start = end) {
    const at = byLine ? bytes.indexOf(newline, start) : start + chunkSize - 1;
    end = at < 0 ? bytes.length : Math.min(at + 1, bytes.length);
    yield { bytes: bytes.subarray(start, end), time: timeAt(end) };
  }
}

/** What is there when reading begins: the file that was moved aside, and the one that is written. */
function* stored(
  log: ContainerLog,
  [older, current]: readonly [Buffer, Buffer],
  skip: number,
  byLine: boolean,
): Generator<Piece> {
  const otherwise = log.time || Date.now();
  const parts = [
    { bytes: older, index: `${log.indexPath}.1`, from: Math.min(skip, older.length) },
    { bytes: current, index: log.indexPath, from: Math.max(0, skip - older.length) },
  ];
  for (const { bytes, index, from } of parts) {
    if (from >= bytes.length) continue;
    const times = byLine ? new TimeIndex(index) : undefined;
    const timeAt = (end: number): number => times?.timeAt(from + end, otherwise) ?? otherwise;
    yield* piecesOf(bytes.subarray(from), byLine, timeAt);
  }
}

/** Where the last `lines` lines begin in the two parts, one after the other. */
function tailStart(parts: readonly Buffer[], lines: number): number {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (lines <= 0) return length;
  let left = lines;
  let before = length;
  for (const part of parts.toReversed()) {
    before -= part.length;
    // The line end at the very end begins no line.
    let at = before + part.length === length ? part.length - 1 : part.length;
    while (at > 0) {
      at = part.lastIndexOf(newline, at - 1);
      if (at < 0) break;
      if (--left === 0) return before + at + 1;
    }
  }
  return 0;
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
    const parts = [readFrom(`${log.path}.1`, 0, maxRead), readFrom(log.path, 0, maxRead)] as const;
    let position = parts[1].length;
    const { tailLines, since = 0, timestamps = false } = options;
    const skip = tailLines === undefined ? 0 : tailStart(parts, tailLines);
    yield* output.write(later(stored(log, parts, skip, timestamps || since > 0), since));
    if (!changes) return;
    while (!output.full && !options.signal?.aborted) {
      const ended = log.ended;
      if (log.generation !== generation) {
        // Moved aside since: the rest of the old file first.
        const rest = readFrom(`${log.path}.1`, Math.max(0, position - log.keptFrom), maxRead);
        yield* output.write(piecesOf(rest, timestamps, () => log.time));
        generation = log.generation;
        position = 0;
      }
      const more = readFrom(log.path, position, 4 * chunkSize);
      position += more.length;
      if (more.length > 0) {
        yield* output.write(piecesOf(more, timestamps, () => log.time || Date.now()));
        continue;
      }
      if (ended) return;
      await changes.next();
    }
  } finally {
    changes?.close();
  }
}

function* later(pieces: Iterable<Piece>, since: number): Generator<Piece> {
  for (const piece of pieces) if (piece.time >= since) yield piece;
}

/** Formats pieces into chunks and counts the bytes. */
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

  *write(pieces: Iterable<Piece>): Generator<Buffer> {
    let parts: Buffer[] = [];
    let size = 0;
    const add = (bytes: Buffer): void => {
      parts.push(bytes);
      size += bytes.length;
    };
    for (const { bytes, time } of pieces) {
      if (this.#timestamps && this.#atLineStart) add(Buffer.from(`${nanoTime(time)} `));
      this.#atLineStart = bytes.at(-1) === newline;
      add(bytes);
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
