/**
 * The directory where shells leave word of containers: `<id>.pid` when one runs, `<id>.exit` when it has
 * ended.
 */
import { mkdirSync, readFileSync, rmSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';

/** Should the system drop a notification, this finds it, ms. */
const fallbackMs = 1000;

export class RunDir {
  readonly path: string;
  readonly #listeners = new Map<string, () => void>();
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  file(id: string, kind: 'pid' | 'exit' | 'log' | 'sh'): string {
    return join(this.path, `${id}.${kind}`);
  }

  /** The number in a file, or undefined while it is not (completely) there. */
  number(id: string, kind: 'pid' | 'exit'): number | undefined {
    try {
      const text = readFileSync(this.file(id, kind), 'latin1').trim();
      return /^\d+$/.test(text) ? Number(text) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Calls back, perhaps needlessly, when something about the container may have changed. */
  onChange(id: string, listener: () => void): () => void {
    this.#listeners.set(id, listener);
    this.#start();
    return () => {
      this.#listeners.delete(id);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  forget(id: string): void {
    for (const kind of ['pid', 'exit', 'log', 'sh'] as const) rmSync(this.file(id, kind), { force: true });
  }

  close(): void {
    this.#listeners.clear();
    this.#stop();
  }

  #start(): void {
    this.#timer ??= setInterval(() => {
      for (const listener of this.#listeners.values()) listener();
    }, fallbackMs).unref();
    if (this.#watcher) return;
    try {
      this.#watcher = watch(this.path, { persistent: false }, (_event, name) => {
        const id = name?.replace(/\.(?:pid|exit)$/, '');
        if (id !== undefined) this.#listeners.get(id)?.();
      });
      this.#watcher.on('error', () => this.#stopWatching());
    } catch {
      // No watches left in the system: the timer does it.
    }
  }

  #stopWatching(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#stopWatching();
  }
}
