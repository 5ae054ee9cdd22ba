import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { KnapsackError } from '../../../src/base/errors.ts';
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { judgeLog } from '../../../src/kube/store/wal.ts';
import { configMap } from './support.ts';

const objects = 3000;
let work: string;
/** A good store, closed: copied by each test. */
let good: string;
let next = 0;

before(async () => {
  work = mkdtempSync(join(tmpdir(), 'knapsack-damage-'));
  good = join(work, 'good');
  const store = await Store.open(sqliteBackend(good));
  const table = store.table('configmaps');
  await Promise.all(
    Array.from({ length: objects }, (_, i) =>
      store.put(table, `default/c${i}`, configMap(`c${i}`, `value of ${i} ${'x'.repeat(i % 600)}`)),
    ),
  );
  await store.close();
});
after(() => rmSync(work, { recursive: true, force: true }));

interface Copy {
  readonly directory: string;
  readonly file: string;
}

function copyOf(source: string): Copy {
  const directory = mkdtempSync(join(work, `copy-${next++}-`));
  for (const name of ['store.db', 'store.db-wal']) {
    if (existsSync(join(source, name))) copyFileSync(join(source, name), join(directory, name));
  }
  return { directory, file: join(directory, 'store.db') };
}

/** Asserts that the store does not open, that the message names the file, and that the file is as it was. */
async function refused({ directory, file }: Copy, message: RegExp): Promise<void> {
  const bytes = readFileSync(file);
  await assert.rejects(Store.open(sqliteBackend(directory)), (error) => {
    assert.ok(error instanceof KnapsackError, String(error));
    assert.equal(error.code, 'STORE_DAMAGED', error.message);
    assert.ok(error.message.startsWith(`${file} `), error.message);
    assert.match(error.message, message);
    assert.match(error.entry.remedy, /knapsack restore/);
    return true;
  });
  assert.ok(bytes.equals(readFileSync(file)), 'the damaged file was written to');
}

function change(file: string, sql: string): void {
  const db = new DatabaseSync(file);
  db.exec(sql);
  db.close();
}

test('an empty file is not taken for a new store', async () => {
  const copy = copyOf(good);
  truncateSync(copy.file, 0);
  await refused(copy, /it is empty/);
});

test('something else under its name is not a store', async () => {
  const copy = copyOf(good);
  writeFileSync(copy.file, 'this is not a database, whatever its name says '.repeat(100));
  await refused(copy, /not a database/);
  writeFileSync(copy.file, 'short');
  await refused(copy, /not a database/);
  rmSync(copy.file);
  change(copy.file, 'CREATE TABLE accounts (name TEXT)');
  await refused(copy, /not a store/);
});

test('a file that was cut off, at a page or within one', async () => {
  for (const bytes of [4096 * 7, 4096 * 100 + 17, 1000]) {
    const copy = copyOf(good);
    truncateSync(copy.file, bytes);
    await refused(copy, /damaged/);
  }
});

test('any page overwritten is noticed', async () => {
  const pages = statSync(join(good, 'store.db')).size / 4096;
  for (let page = 0; page < pages; page += Math.max(1, Math.floor(pages / 12))) {
    const copy = copyOf(good);
    const bytes = readFileSync(copy.file);
    bytes.fill(0xa5, page * 4096, (page + 1) * 4096);
    writeFileSync(copy.file, bytes);
    await refused(copy, /damaged/);
  }
});

test('one changed bit in a value is noticed, though the JSON is as good as before', async () => {
  const copy = copyOf(good);
  const bytes = readFileSync(copy.file);
  // A page that was split may still hold what it had before, so every copy is changed.
  for (let at = bytes.indexOf('value of 17 '); at >= 0; at = bytes.indexOf('value of 17 ', at)) {
    bytes[at] = (bytes[at] ?? 0) ^ 1;
  }
  writeFileSync(copy.file, bytes);
  await refused(copy, /the object configmaps default\/c17 is not as it was written/);
});

test('a row that is not JSON is never skipped, checksum or not', async () => {
  const copy = copyOf(good);
  change(copy.file, `UPDATE objects SET json = '{"half":', crc = NULL WHERE "key" = 'default/c5'`);
  await refused(copy, /configmaps default\/c5/);
});

test('a version behind that of an object would go back in time', async () => {
  const copy = copyOf(good);
  change(copy.file, `UPDATE state SET value = 10`);
  await refused(copy, /stands at version 10/);
});

test('a journal without its file', async () => {
  const { directory, file } = copyOf(good);
  rmSync(file);
  writeFileSync(`${file}-wal`, Buffer.alloc(5000, 1));
  await assert.rejects(Store.open(sqliteBackend(directory)), { code: 'STORE_DAMAGED', message: /journal/ });
  assert.equal(existsSync(file), false);
});

test('a store of format 1 opens with all it has, and gets checksums and room to shrink', async () => {
  const directory = mkdtempSync(join(work, 'first-'));
  const file = join(directory, 'store.db');
  change(
    file,
    `PRAGMA journal_mode = WAL;
    CREATE TABLE objects (
      "table" TEXT NOT NULL, "key" TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL,
      PRIMARY KEY ("table", "key")
    ) WITHOUT ROWID;
    CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO state VALUES ('version', 7);
    INSERT INTO objects VALUES ('configmaps', 'default/a', 7, '{"metadata":{"name":"a"}}');
    PRAGMA user_version = 1;`,
  );
  const store = await Store.open(sqliteBackend(directory));
  assert.equal(store.table('configmaps').get('default/a')?.object.metadata.name, 'a');
  await store.put(store.table('configmaps'), 'default/b', configMap('b'));
  await store.close();
  const db = new DatabaseSync(file);
  assert.deepEqual({ ...db.prepare('PRAGMA auto_vacuum').get() }, { auto_vacuum: 2 });
  assert.equal(db.prepare('SELECT count(crc) AS sums FROM objects').get()?.['sums'], 1);
  db.close();
  const again = await Store.open(sqliteBackend(directory));
  assert.equal(again.table('configmaps').size, 2);
  await again.close();
});

/** A store with a journal of many transactions, as a kill leaves it, and the keys that were acknowledged. */
async function killed(): Promise<{ directory: string; acknowledged: number }> {
  const directory = mkdtempSync(join(work, 'killed-'));
  const script = new URL('crash-writer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.length > 150_000) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  return { directory, acknowledged: output.split('\n').filter((line) => line.startsWith('ack ')).length };
}

test('of a journal, a torn end is dropped and a hole in the middle is refused', async () => {
  const { directory, acknowledged } = await killed();
  const log = readFileSync(join(directory, 'store.db-wal'));
  const whole = judgeLog(log);
  assert.ok(acknowledged > 20 && whole.kept > 10, `${acknowledged} writes in ${whole.kept} transactions`);
  assert.ok(whole.behind <= 1);

  const frame = 24 + log.readUInt32BE(8);
  /** Ends of the transactions. */
  const commits: number[] = [];
  for (let at = 32; at + frame <= log.length && commits.length < whole.kept; at += frame) {
    if (log.readUInt32BE(at + 4) !== 0) commits.push(at);
  }
  const last = commits.at(-1) ?? 0;

  const torn = copyOf(directory);
  const half = Buffer.from(log);
  half.fill(0, last + 500);
  writeFileSync(`${torn.file}-wal`, half);
  assert.deepEqual(judgeLog(half), { kept: whole.kept - 1, behind: 1 });
  const store = await Store.open(sqliteBackend(torn.directory));
  assert.ok(store.table('configmaps').size > 0);
  await store.close();

  for (const at of [commits[3] ?? 0, commits.at(-5) ?? 0]) {
    const copy = copyOf(directory);
    const hole = Buffer.from(log);
    hole.fill(0xff, at + 100, at + 110);
    writeFileSync(`${copy.file}-wal`, hole);
    await refused(copy, /its journal \S+ has an unreadable part with \d+ transactions behind it/);
    assert.ok(hole.equals(readFileSync(`${copy.file}-wal`)), 'the journal was thrown away');
  }
});
