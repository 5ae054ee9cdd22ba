/** When which part of a log was there: lines `end-offset milliseconds`, with ascending offsets. */
import { readFileSync } from 'node:fs';

/** The offset after the part, and when it was seen, ms since the epoch. */
export type IndexEntry = readonly [offset: number, time: number];

/** Empty when there is no such file. */
export function parseIndex(path: string): IndexEntry[] {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line): IndexEntry[] => {
    // A line may be torn, where the disk was full.
    const [, offset, time] = /^(\d{1,15}) (\d{1,15})$/.exec(line) ?? [];
    return offset === undefined || time === undefined ? [] : [[Number(offset), Number(time)]];
  });
}

/** Every other entry, and the last: the bytes of the others get a time that is a little late. */
export function thinned(entries: readonly IndexEntry[]): IndexEntry[] {
  return entries.filter((_, i) => i % 2 === 1 || i === entries.length - 1);
}

/** For a file without its first `from` bytes. */
export function shifted(entries: readonly IndexEntry[], from: number): IndexEntry[] {
  return entries.flatMap(([offset, time]): IndexEntry[] => (offset > from ? [[offset - from, time]] : []));
}

export class TimeIndex {
  readonly #entries: readonly IndexEntry[];
  #at = 0;

  constructor(path: string) {
    this.#entries = parseIndex(path);
  }

  /** The time of the byte before `offset`. Offsets must be asked in ascending order. */
  timeAt(offset: number, otherwise: number): number {
    while ((this.#entries[this.#at]?.[0] ?? Infinity) < offset) this.#at++;
    return this.#entries[this.#at]?.[1] ?? otherwise;
  }
}
