/** Worker thread of the SQLite backend: opens the file, loads it, commits batches. One request at a time. */
import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCode } from '../../base/errors.ts';
import type { LogEntry } from './backend.ts';

export type WorkerRequest =
  | { readonly type: 'load' }
  | { readonly type: 'commit'; readonly batch: readonly LogEntry[] }
  | { readonly type: 'close' };

export type WorkerAnswer =
  | { readonly type: 'rows'; readonly rows: readonly (LogEntry & { json: string })[] }
  | { readonly type: 'loaded'; readonly resourceVersion: number }
  | { readonly type: 'done' }
  | {
      readonly type: 'failed';
      readonly code: 'STORE_IN_USE' | 'STORE_UNREADABLE' | 'STORE_TOO_NEW' | 'STORE_FULL' | 'STORE_FAILED';
      readonly message: string;
    };

/** Layout of the file. A later layout gets a higher number and a migration here. */
const formatVersion = 1;
const rowsPerMessage = 1000;

// Primary result codes of SQLite (sqlite.org/rescode.html); the low byte of the extended code.
const sqliteBusy = 5;
const sqliteFull = 13;

const { path } = workerData as { path: string };
const port = parentPort;
if (!port) throw new Error('sqlite-worker.ts runs only as a worker thread');

interface Opened {
  readonly db: DatabaseSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
  readonly setVersion: StatementSync;
}
let opened: Opened | undefined;

/** Thrown here to name the code of the answer. */
class Failure extends Error {
  readonly code: Extract<WorkerAnswer, { type: 'failed' }>['code'];
  constructor(code: Failure['code'], message: string) {
    super(message);
    this.code = code;
  }
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined;
}

/**
 * Makes the file for its mode: SQLite gives its side files the mode of the main file. An existing file is not touched:
 * closing any descriptor of it would drop the locks that this process holds on it (POSIX advisory locks).
 */
function create(): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/**
 * Of two that open a file at the same moment each may find the other's first, shared lock and neither gets the
 * exclusive one. So whoever finds the file busy lets go of it and tries again after a random pause, for a while.
 */
const busyAttempts = 12;
const longestPauseMs = 60;

function open(): Opened {
  for (let attempt = 1; ; attempt++) {
    try {
      return tryOpen();
    } catch (error) {
      const inUse = error instanceof Failure && error.code === 'STORE_IN_USE';
      if (!inUse || attempt === busyAttempts) throw error;
      // A thread of its own: nobody else waits for it.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * longestPauseMs);
    }
  }
}

function tryOpen(): Opened {
  let db: DatabaseSync | undefined;
  try {
    create();
    db = new DatabaseSync(path);
    // EXCLUSIVE before the first access: no shared-memory file, and the lock stays ours until close.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec('BEGIN IMMEDIATE');
    const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (found > formatVersion) {
      throw new Failure(
        'STORE_TOO_NEW',
        `${path} has format ${found}; this version reads up to ${formatVersion}.`,
      );
    }
    // Nothing is written to a file that has its tables: a full disk must not keep Knapsack from starting.
    if (found < formatVersion) createTables(db);
    db.exec('COMMIT');
    return {
      db,
      put: db.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)'),
      remove: db.prepare('DELETE FROM objects WHERE "table" = ? AND "key" = ?'),
      setVersion: db.prepare(`UPDATE state SET value = ? WHERE name = 'version'`),
    };
  } catch (error) {
    db?.close();
    if (error instanceof Failure) throw error;
    const code = resultCode(error);
    if (code === sqliteBusy) {
      throw new Failure('STORE_IN_USE', `Another Knapsack runs on ${dirname(path)}.`);
    }
    if (code === sqliteFull) throw new Failure('STORE_FULL', `The disk of ${path} is full.`);
    throw new Failure('STORE_UNREADABLE', `${path} cannot be opened: ${messageOf(error)}.`);
  }
}

function createTables(db: DatabaseSync): void {
  db.exec(`
    CREATE TABLE objects (
      "table" TEXT NOT NULL, "key" TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL,
      PRIMARY KEY ("table", "key")
    ) WITHOUT ROWID;
    CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO state VALUES ('version', 0);
    PRAGMA user_version = ${formatVersion};`);
}

function load(send: (answer: WorkerAnswer) => void): WorkerAnswer {
  opened ??= open();
  const { db } = opened;
  try {
    let rows: (LogEntry & { json: string })[] = [];
    const all = db.prepare('SELECT "table", "key", version AS resourceVersion, json FROM objects');
    for (const row of all.iterate()) {
      rows.push(row as unknown as LogEntry & { json: string });
      if (rows.length < rowsPerMessage) continue;
      send({ type: 'rows', rows });
      rows = [];
    }
    if (rows.length > 0) send({ type: 'rows', rows });
    const state = db.prepare(`SELECT value FROM state WHERE name = 'version'`).get() as { value: number };
    return { type: 'loaded', resourceVersion: state.value };
  } catch (error) {
    throw new Failure('STORE_UNREADABLE', `${path} cannot be read: ${messageOf(error)}.`);
  }
}

function commit(batch: readonly LogEntry[]): WorkerAnswer {
  if (!opened) throw new Failure('STORE_FAILED', `${path} is not open.`);
  const { db, put, remove, setVersion } = opened;
  try {
    db.exec('BEGIN IMMEDIATE');
    for (const { table, key, resourceVersion, json } of batch) {
      if (json === null) remove.run(table, key);
      else put.run(table, key, resourceVersion, json);
    }
    setVersion.run(batch.at(-1)?.resourceVersion ?? 0);
    db.exec('COMMIT');
    return { type: 'done' };
  } catch (error) {
    const full = resultCode(error) === sqliteFull;
    try {
      if (db.isTransaction) db.exec('ROLLBACK');
    } catch (rollback) {
      throw new Failure('STORE_FAILED', `${path} cannot be written: ${messageOf(rollback)}.`);
    }
    throw new Failure(
      full ? 'STORE_FULL' : 'STORE_FAILED',
      full ? `The disk of ${path} is full.` : `${path} cannot be written: ${messageOf(error)}.`,
    );
  }
}

function answer(request: WorkerRequest): WorkerAnswer {
  try {
    if (request.type === 'load') return load((part) => port?.postMessage(part));
    if (request.type === 'commit') return commit(request.batch);
    opened?.db.close();
    return { type: 'done' };
  } catch (error) {
    return error instanceof Failure
      ? { type: 'failed', code: error.code, message: error.message }
      : { type: 'failed', code: 'STORE_FAILED', message: messageOf(error) };
  }
}

port.on('message', (request: WorkerRequest) => {
  port.postMessage(answer(request));
  if (request.type === 'close') port.close();
});
