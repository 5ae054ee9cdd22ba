/**
 * The log of one run of one container. The container appends to the file itself (standard output and error are the file:
 * a pipe would end the container with the agent). The agent looks at the size, notes in an index when which part was
 * there, and keeps the file below a limit.
 */
import {
  appendFileSync,
  copyFileSync,
  constants,
  renameSync,
  statSync,
  truncateSync,
  watch,
  rmSync,
} from 'node:fs';

/** A file beyond this is moved aside; one older file is kept (kubelet containerLogMaxSize is the same). */
const maxLogBytes = 10 * 2 ** 20;

export class ContainerLog {
  readonly path: string;
  /** Counts how often the file was moved aside. */
  generation = 0;
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
    appendFileSync(this.indexPath, `${found.size} ${Math.round(found.mtimeMs)}\n`);
    if (found.size > this.#limit) this.#rotate();
    for (const listener of this.#listeners) listener();
  }

  /**
   * Copy and truncate: the container holds the file open, so it cannot be renamed away. What is written between the last
   * copied byte and the truncation is lost; both are done in one go to keep that window to microseconds.
   */
  #rotate(): void {
    copyFileSync(this.path, `${this.path}.1`, constants.COPYFILE_FICLONE);
    truncateSync(this.path, 0);
    renameSync(this.indexPath, `${this.indexPath}.1`);
    this.generation++;
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
