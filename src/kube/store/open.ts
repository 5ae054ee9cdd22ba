/** Opening the durable store of a directory ahead of need. */
import { existsSync, mkdirSync } from 'node:fs';
import { sqliteBackend } from './sqlite.ts';
import { Store } from './store.ts';

/** A store whose thread opens it. */
export interface OpeningStore {
  /** There was no directory for it yet. */
  readonly isNew: boolean;
  /** Rejects with what `Store.open` throws. */
  readonly opened: Promise<Store>;
}

/** Begins to open the store in `directory`, so that the caller can load its code meanwhile. Throws when it cannot be made. */
export function openStore(directory: string): OpeningStore {
  const isNew = !existsSync(directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const opened = Store.open(sqliteBackend(directory));
  // Whoever waits for it is told; until then nobody may be waiting.
  opened.catch(() => undefined);
  return { isNew, opened };
}
