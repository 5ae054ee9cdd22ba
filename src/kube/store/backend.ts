/** Where the store's writes become durable. */

/** One write. `json` is null for a deletion, whose resourceVersion is kept all the same. */
export interface LogEntry {
  readonly table: string;
  readonly key: string;
  readonly resourceVersion: number;
  readonly json: string | null;
}

/** One stored object, as it comes back when the store opens. */
export interface LoadedEntry {
  readonly table: string;
  readonly key: string;
  readonly resourceVersion: number;
  /** The object's JSON, checked to be what was written. */
  readonly bytes: Buffer;
}

/** One writer, one batch at a time: the store never calls `commit` again before the last one has settled. */
export interface Backend {
  /**
   * Hands every stored object to `visit` and resolves with the highest resourceVersion ever committed (0 when new). Rejects
   * when anything cannot be read: no object is ever left out.
   */
  load(visit: (entry: LoadedEntry) => void): Promise<number>;
  /**
   * Makes the whole batch durable, or none of it. Rejects with a KnapsackError `STORE_FULL` when another try may
   * succeed later, and with `STORE_FAILED` when nothing more should be written before a restart.
   */
  commit(batch: readonly LogEntry[]): Promise<void> | undefined;
  close(): Promise<void>;
}

/** Keeps nothing: for tests and throw-away platforms. */
export function memoryBackend(): Backend {
  return {
    load: () => Promise.resolve(0),
    commit: () => undefined,
    close: () => Promise.resolve(),
  };
}
