/**
 * The store's file: how it is made, opened and checked. Runs in the store's worker thread, so it may block.
 *
 * One rule decides the details: an empty or incomplete file is never taken for a new store. So a store is made under another
 * name and appears as `store.db` only when it is whole, and whatever else is found there is refused and left as it is.
 */
import { closeSync, existsSync, linkSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { threadId } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { messageOf, systemCode } from '../../base/errors.ts';
import { inspectLog } from './wal.ts';

export type FailureCode =
  | 'STORE_IN_USE'
  | 'STORE_UNREADABLE'
  | 'STORE_DAMAGED'
  | 'STORE_TOO_NEW'
  | 'STORE_FULL'
  | 'STORE_FAILED';

/** A failure of the file, with the code that users are told. */
export class FileFailure extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Layout of the file. A later layout gets a higher number and a migration in {@link migrate}. */
const formatVersion = 2;

// Primary result codes of SQLite (sqlite.org/rescode.html); the low byte of the extended code.
const sqliteBusy = 5;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined;
}

/** What an error of SQLite or of the file system means for the store at `path`. `doing` completes "cannot be …". */
export function failureOf(error: unknown, path: string, doing: 'opened' | 'read' | 'written'): FileFailure {
  if (error instanceof FileFailure) return error;
  switch (resultCode(error)) {
    case sqliteBusy:
      return new FileFailure('STORE_IN_USE', `Another Knapsack runs on ${dirname(path)}.`);
    case sqliteFull:
      return new FileFailure('STORE_FULL', `The disk of ${path} is full.`);
    case sqliteCorrupt:
      return damaged(path, messageOf(error));
    case sqliteNotADatabase:
      return damaged(path, 'it is not a database');
    default:
      if (systemCode(error) === 'ENOSPC') {
        return new FileFailure('STORE_FULL', `The disk of ${path} is full.`);
      }
      return new FileFailure(
        doing === 'written' ? 'STORE_FAILED' : 'STORE_UNREADABLE',
        `${path} cannot be ${doing}: ${messageOf(error)}.`,
      );
  }
}

function damaged(path: string, why: string): FileFailure {
  return new FileFailure('STORE_DAMAGED', `${path} is damaged: ${why}.`);
}

/**
 * Of two that open a file at the same moment each may find the other's first, shared lock and neither gets the
 * exclusive one. So whoever finds the file busy lets go of it and tries again after a random pause, for a while.
 */
const busyAttempts = 12;
const longestPauseMs = 60;

/** Opens the store's file, making it where there is none. Throws {@link FileFailure}. */
export function openStoreFile(path: string): DatabaseSync {
  for (let attempt = 1; ; attempt++) {
    try {
      return tryOpen(path);
    } catch (error) {
      const inUse = error instanceof FileFailure && error.code === 'STORE_IN_USE';
      if (!inUse || attempt === busyAttempts) throw error;
      // A thread of its own: nobody else waits for it.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * longestPauseMs);
    }
  }
}

function tryOpen(path: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    makeIfMissing(path);
    if (statSync(path).size === 0) throw damaged(path, 'it is empty');
    checkJournal(path);
    db = new DatabaseSync(path);
    // EXCLUSIVE before the first access: no shared-memory file, and the lock stays ours until close.
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    checkFormat(db, path);
    // A checkpoint leaves a journal of at most 4 MiB behind, however large it was.
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = 4194304;
      BEGIN IMMEDIATE;
      COMMIT;`);
    migrate(db);
    checkStructure(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw failureOf(error, path, 'opened');
  }
}

/** Makes a whole, empty store and then gives it its name, unless another was quicker. */
function makeIfMissing(path: string): void {
  if (existsSync(path)) return;
  if ((statSync(journalOf(path), { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw damaged(path, `the file is missing, but its journal ${journalOf(path)} is there`);
  }
  const draft = `${path}.${process.pid}-${threadId}`;
  rmSync(draft, { force: true });
  try {
    // SQLite gives its side files the mode of the main file.
    closeSync(openSync(draft, 'wx', 0o600));
    const db = new DatabaseSync(draft);
    try {
      db.exec(`
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA auto_vacuum = INCREMENTAL;
        PRAGMA synchronous = FULL;
        BEGIN;
        CREATE TABLE objects (
          "table" TEXT NOT NULL, "key" TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL, crc INTEGER,
          PRIMARY KEY ("table", "key")
        ) WITHOUT ROWID;
        CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO state VALUES ('version', 0);
        PRAGMA user_version = ${formatVersion};
        COMMIT;`);
    } finally {
      db.close();
    }
    // Unlike a rename a link does not replace what another process has just put there.
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
    rmSync(`${draft}-journal`, { force: true });
  }
}

function journalOf(path: string): string {
  return `${path}-wal`;
}

const secondLookMs = 50;

/** Throws STORE_DAMAGED when SQLite would drop writes from the journal that had been acknowledged. */
function checkJournal(path: string): void {
  const first = inspectLog(journalOf(path));
  if (first.behind < 2) return;
  // A journal that another process is writing looks torn to whoever reads it at that moment, but not the same way twice.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, secondLookMs);
  const second = inspectLog(journalOf(path));
  if (second.kept !== first.kept || second.behind !== first.behind) return;
  throw damaged(
    path,
    `its journal ${journalOf(path)} has an unreadable part with ${second.behind} transactions behind it`,
  );
}

/** Before anything is written, so that another program's database stays as it is. */
function checkFormat(db: DatabaseSync, path: string): void {
  const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (found > formatVersion) {
    throw new FileFailure(
      'STORE_TOO_NEW',
      `${path} has format ${found}; this version reads up to ${formatVersion}.`,
    );
  }
  const tables = db
    .prepare(`SELECT count(*) AS count FROM sqlite_schema WHERE name IN ('objects', 'state')`)
    .get();
  if (found < 1 || tables?.['count'] !== 2) throw damaged(path, 'it is a database, but not a store');
}

function checkStructure(db: DatabaseSync, path: string): void {
  const [problem] = db.prepare('PRAGMA quick_check(1)').all() as { quick_check?: string }[];
  if (problem?.quick_check !== 'ok') {
    throw damaged(path, (problem?.quick_check ?? 'it cannot be checked').replaceAll('\n', ' '));
  }
}

/**
 * From format 1, whose rows had no checksums and whose file never shrank. Nothing is written to a file of the present format:
 * a full disk must not keep Knapsack from starting.
 */
function migrate(db: DatabaseSync): void {
  const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (found === formatVersion) return;
  db.exec(`
    PRAGMA auto_vacuum = INCREMENTAL;
    VACUUM;
    BEGIN IMMEDIATE;
    ALTER TABLE objects ADD COLUMN crc INTEGER;
    PRAGMA user_version = ${formatVersion};
    COMMIT;`);
}

/** A row as it is stored. `crc` is null in rows that an earlier format left. */
export interface Row {
  readonly table: string;
  readonly key: string;
  readonly version: number;
  readonly json: string;
  readonly crc: number | null;
}

/** Checksum of an object's JSON, as its row carries it. */
export function rowChecksum(json: string): number {
  return crc32(json);
}

/** All rows in key order. Throws STORE_DAMAGED at the first that is not as it was written: none is ever left out. */
export function* readRows(db: DatabaseSync, path: string): Generator<Row> {
  const all = db.prepare('SELECT "table", "key", version, json, crc FROM objects');
  for (const found of all.iterate()) {
    const row = found as unknown as Row;
    const isWhole = row.crc === null ? isJson(row.json) : rowChecksum(row.json) === row.crc;
    if (!isWhole) throw damaged(path, `the object ${row.table} ${row.key} is not as it was written`);
    yield row;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
