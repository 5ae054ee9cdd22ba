/** Worker thread of the SQLite backend: opens the file, loads it, commits batches, keeps it small. One request at a time. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../base/errors.ts';
import type { LogEntry } from './backend.ts';
import {
  failureOf,
  FileFailure,
  openStoreFile,
  readRows,
  rowChecksum,
  type FailureCode,
} from './sqlite-file.ts';

export type WorkerRequest =
  | { readonly type: 'load' }
  | { readonly type: 'commit'; readonly batch: readonly LogEntry[] }
  | { readonly type: 'close' };

/** Many rows in one message: what crosses to the other thread object by object costs more than reading it. */
export interface RowChunk {
  readonly tables: readonly string[];
  readonly keys: readonly string[];
  readonly versions: readonly number[];
  /** Where each row's JSON ends in `bytes`; it starts where the one before ends. */
  readonly ends: readonly number[];
  /** UTF-8. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type WorkerAnswer =
  | { readonly type: 'rows'; readonly chunk: RowChunk }
  | { readonly type: 'loaded'; readonly resourceVersion: number }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly code: FailureCode; readonly message: string };

export interface WorkerSettings {
  readonly path: string;
  /** How often a file that was written to is looked after, ms. */
  readonly upkeepMs: number;
}

const chunkBytes = 1024 * 1024;
/** Free pages are given back to the disk from this many on, so many at a time: about 4 MiB, a few milliseconds. */
const vacuumPages = 1024;

const { path, upkeepMs } = workerData as WorkerSettings;
const port = parentPort;
if (!port) throw new Error('sqlite-worker.ts runs only as a worker thread');

interface Opened {
  readonly db: DatabaseSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
  readonly setVersion: StatementSync;
}
let opened: Opened | undefined;
let upkeep: NodeJS.Timeout | undefined;

function open(): Opened {
  const db = openStoreFile(path);
  return {
    db,
    put: db.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)'),
    remove: db.prepare('DELETE FROM objects WHERE "table" = ? AND "key" = ?'),
    setVersion: db.prepare(`UPDATE state SET value = ? WHERE name = 'version'`),
  };
}

const encoder = new TextEncoder();

/** Collects rows and sends them on when they fill a chunk. */
class ChunkSender {
  #tables: string[] = [];
  #keys: string[] = [];
  #versions: number[] = [];
  #ends: number[] = [];
  #bytes = new Uint8Array(chunkBytes);
  #used = 0;

  add(table: string, key: string, version: number, json: string): void {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    if (this.#used + json.length * 3 > this.#bytes.length) this.flush();
    if (json.length * 3 > this.#bytes.length) this.#bytes = new Uint8Array(json.length * 3);
    this.#used += encoder.encodeInto(json, this.#bytes.subarray(this.#used)).written;
    this.#tables.push(table);
    this.#keys.push(key);
    this.#versions.push(version);
    this.#ends.push(this.#used);
  }

  flush(): void {
    if (this.#keys.length === 0) return;
    // Copied to its size: the receiver keeps it for as long as it keeps any of the rows.
    const bytes = this.#bytes.slice(0, this.#used);
    const chunk = {
      tables: this.#tables,
      keys: this.#keys,
      versions: this.#versions,
      ends: this.#ends,
      bytes,
    };
    port?.postMessage({ type: 'rows', chunk } satisfies WorkerAnswer, [bytes.buffer]);
    this.#tables = [];
    this.#keys = [];
    this.#versions = [];
    this.#ends = [];
    this.#used = 0;
  }
}

function load(): WorkerAnswer {
  opened ??= open();
  const { db } = opened;
  try {
    const sender = new ChunkSender();
    let newest = 0;
    for (const { table, key, version, json } of readRows(db, path)) {
      sender.add(table, key, version, json);
      if (version > newest) newest = version;
    }
    sender.flush();
    const state = db.prepare(`SELECT value FROM state WHERE name = 'version'`).get();
    const version = state?.['value'];
    if (typeof version !== 'number' || version < newest) {
      throw new FileFailure(
        'STORE_DAMAGED',
        `${path} is damaged: it stands at version ${String(version)} and holds an object of version ${newest}.`,
      );
    }
    return { type: 'loaded', resourceVersion: version };
  } catch (error) {
    throw failureOf(error, path, 'read');
  }
}

function commit(batch: readonly LogEntry[]): WorkerAnswer {
  if (!opened) throw new FileFailure('STORE_FAILED', `${path} is not open.`);
  const { db, put, remove, setVersion } = opened;
  try {
    db.exec('BEGIN IMMEDIATE');
    for (const { table, key, resourceVersion, json } of batch) {
      if (json === null) remove.run(table, key);
      else put.run(table, key, resourceVersion, json, rowChecksum(json));
    }
    setVersion.run(batch.at(-1)?.resourceVersion ?? 0);
    db.exec('COMMIT');
  } catch (error) {
    const failure = failureOf(error, path, 'written');
    try {
      if (db.isTransaction) db.exec('ROLLBACK');
    } catch (rollback) {
      throw new FileFailure('STORE_FAILED', `${path} cannot be written: ${messageOf(rollback)}.`);
    }
    // Only a full disk passes. Whatever else a write meets, another one must not be tried on top of it.
    throw failure.code === 'STORE_FULL' ? failure : new FileFailure('STORE_FAILED', failure.message);
  }
  upkeep ??= setTimeout(lookAfter, upkeepMs);
  return { type: 'done' };
}

/**
 * Gives freed pages back to the disk, a few at a time and only when they are many: some are best kept for the next writes.
 * Then empties the journal, so that a quiet store is one small file.
 */
function lookAfter(): void {
  upkeep = undefined;
  if (!opened) return;
  const { db } = opened;
  try {
    const free = pragma(db, 'freelist_count');
    const isMuch = free > vacuumPages && free > pragma(db, 'page_count') / 4;
    if (isMuch) {
      db.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
      // Between two messages, so that no write waits for more than one slice.
      upkeep = setTimeout(lookAfter, 0);
      return;
    }
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch (error) {
    // A full disk has no room for this either; it is tried again after the next write.
    const failure = failureOf(error, path, 'written');
    if (failure.code !== 'STORE_FULL') throw failure;
  }
}

function pragma(db: DatabaseSync, name: string): number {
  return Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0] ?? 0);
}

function answer(request: WorkerRequest): WorkerAnswer {
  try {
    if (request.type === 'load') return load();
    if (request.type === 'commit') return commit(request.batch);
    clearTimeout(upkeep);
    opened?.db.close();
    return { type: 'done' };
  } catch (error) {
    return error instanceof FileFailure
      ? { type: 'failed', code: error.code, message: error.message }
      : { type: 'failed', code: 'STORE_FAILED', message: messageOf(error) };
  }
}

port.on('message', (request: WorkerRequest) => {
  port.postMessage(answer(request));
  if (request.type === 'close') port.close();
});
