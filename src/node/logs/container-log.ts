/**
 * The log of one run of one container. The container appends to the file itself (standard output and error are the file:
 * a pipe would end the container with the agent). The agent looks at the size, notes in an index when which part was
 * there, and keeps both files below a limit. The container can do anything to the file that it has open: write gigabytes
 * between two looks, or make it as long as it likes. So a look costs a bounded time, and never throws.
 */
import {
  closeSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readFrom } from './read-file.ts';
import { parseIndex, shifted, thinned, type IndexEntry } from './time-index.ts';

/** A file beyond this is moved aside; one older file is kept (kubelet containerLogMaxSize is the same). */
const maxLogBytes = 10 * 2 ** 20;
/** An index beyond this forgets every other time: so many looks make a day of a container that says little. */
const maxIndexBytes = 2 ** 20;

export class ContainerLog {
  readonly path: string;
  /** Counts how often the file was moved aside. */
  generation = 0;
  /** Where in the file that was moved aside last the kept part of it begins. */
  keptFrom = 0;
  /** Bytes seen at the last look. */
  size = 0;
  /** When they were written, ms since the epoch. */
  time = 0;
  /** No more will be written. */
  ended = false;
  readonly #limit: number;
  readonly #listeners = new Set<() => void>();

  constructor(path: string, limit = maxLogBytes) {
    this.path = path;
    this.#limit = limit;
  }

  /** Times of parts of the file: lines `end-offset milliseconds`. */
  get indexPath(): string {
    return `${this.path}.idx`;
  }

  /** Looks at the file. Cheap enough to be called several times a second. */
  look(): void {
    const found = statSync(this.path, { throwIfNoEntry: false });
    if (!found || found.size === this.size) return;
    this.size = found.size;
    this.time = found.mtimeMs;
    attempt(() => this.#note([found.size, Math.round(found.mtimeMs)]));
    if (found.size > this.#limit) attempt(() => this.#rotate(found.size));
    for (const listener of this.#listeners) listener();
  }

  #note([offset, time]: IndexEntry): void {
    writeFileSync(this.indexPath, `${offset} ${time}\n`, { flag: 'a' });
    if (statSync(this.indexPath).size > maxIndexBytes)
      this.#replaceIndex(this.indexPath, thinned(this.#index()));
  }

  #index(): IndexEntry[] {
    return parseIndex(this.indexPath);
  }

  #replaceIndex(path: string, entries: readonly IndexEntry[]): void {
    writeFileSync(`${path}.tmp`, entries.map(([offset, time]) => `${offset} ${time}\n`).join(''));
    renameSync(`${path}.tmp`, path);
  }

  /**
   * Copy and truncate: the container holds the file open, so it cannot be renamed away. What is written between the last
   * copied byte and the truncation is lost; both are done in one go to keep that window to microseconds. Of a flood only
   * the end is kept.
   */
  #rotate(size: number): void {
    const from = Math.max(0, size - 2 * this.#limit);
    const [aside, indexAside] = [`${this.path}.1`, `${this.indexPath}.1`];
    try {
      const copy = openSync(aside, 'w', 0o640);
      try {
        writeSync(copy, readFrom(this.path, from, 2 * this.#limit));
      } finally {
        closeSync(copy);
      }
      this.#replaceIndex(indexAside, shifted(this.#index(), from));
    } catch {
      // A full disk: to stay below the limit matters more than what was said.
      for (const path of [aside, indexAside]) rmSync(path, { force: true });
    }
    truncateSync(this.path, 0);
    rmSync(this.indexPath, { force: true });
    this.generation++;
    this.keptFrom = from;
    this.size = 0;
  }

  end(): void {
    this.look();
    this.ended = true;
    for (const listener of this.#listeners) listener();
  }

  remove(): void {
    for (const path of [this.path, this.indexPath]) {
      rmSync(path, { force: true });
      rmSync(`${path}.1`, { force: true });
    }
  }

  /** Calls back when something was written, moved aside, or the end was reached. Returns the unsubscription. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    // Without a watcher the agent's regular look is what notices.
    let close = (): void => undefined;
    try {
      const watcher = watch(this.path, { persistent: false }, () => this.look());
      watcher.on('error', () => watcher.close());
      close = () => watcher.close();
    } catch {
      // The system has no more watches, or the file is gone.
    }
    return () => {
      this.#listeners.delete(listener);
      close();
    };
  }
}

/** The disk may be full, or the pod's directory on its way out: what fails here costs times of lines, or old lines. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // See above.
  }
}
