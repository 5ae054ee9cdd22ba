import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { configMap } from './support.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'knapsack-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a reopened store has every object and goes on counting, deletions included', async () => {
  const store = await Store.open(sqliteBackend(directory));
  const table = store.table('configmaps');
  await Promise.all(
    Array.from({ length: 50 }, (_, i) => store.put(table, `default/${i}`, configMap(String(i), `v${i}`))),
  );
  await store.remove(table, 'default/7', configMap('7'));
  const before = table
    .records()
    .map((record) => [record.key, record.resourceVersion, record.bytes.toString()]);
  await store.close();

  const again = await Store.open(sqliteBackend(directory));
  const reopened = again.table('configmaps');
  assert.equal(again.resourceVersion, 52, 'the deletion was the last write');
  assert.deepEqual(
    reopened.records().map((record) => [record.key, record.resourceVersion, record.bytes.toString()]),
    before,
  );
  assert.equal(reopened.since(51), undefined, 'what happened before the restart is not in the ring');
  assert.deepEqual(reopened.since(52), []);
  assert.deepEqual(again.table('secrets').since(52), [], 'the same holds for a resource without objects');
  assert.equal((await again.put(reopened, 'default/7', configMap('7'))).resourceVersion, 53);
  await again.close();
});

test('nobody else can read the files', async () => {
  const inner = join(directory, 'data');
  const store = await Store.open(sqliteBackend(inner));
  await store.put(store.table('secrets'), 'default/a', configMap('a'));
  assert.equal(statSync(inner).mode & 0o77, 0);
  for (const file of readdirSync(inner)) assert.equal(statSync(join(inner, file)).mode & 0o77, 0, file);
  await store.close();
});

test('a second store on the same directory is refused, in this process and from another', async (t) => {
  const store = await Store.open(sqliteBackend(directory));
  t.after(() => store.close().catch(() => undefined));
  await store.put(store.table('configmaps'), 'default/a', configMap('a'));
  await assert.rejects(Store.open(sqliteBackend(directory)), (error) => {
    assert.ok(error instanceof Error && 'code' in error && error.code === 'STORE_IN_USE');
    return error.message.includes(directory);
  });
  const output = execFileSync(process.execPath, [openerScript(), directory], { encoding: 'utf8' });
  assert.equal(output.trim(), 'STORE_IN_USE');
  await store.put(store.table('configmaps'), 'default/b', configMap('b'));
  await store.close();
  const other = execFileSync(process.execPath, [openerScript(), directory], { encoding: 'utf8' });
  assert.equal(other.trim(), 'opened at 3');
});

test('of two that open a new store at the same moment, exactly one gets it', async () => {
  for (let round = 0; round < 15; round++) {
    const contested = join(directory, `round-${round}`);
    const both = [sqliteBackend(contested), sqliteBackend(contested)];
    const outcomes = await Promise.allSettled(both.map((backend) => backend.load(() => {})));
    for (const backend of both) await backend.close();
    const lost = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    assert.deepEqual(
      lost.map((error: { code?: string }) => error.code),
      ['STORE_IN_USE'],
    );
  }
});

function openerScript(): string {
  return new URL('open-store.ts', import.meta.url).pathname;
}

test('a store of a later version is refused', async () => {
  const db = new DatabaseSync(join(directory, 'store.db'));
  db.exec('PRAGMA user_version = 99; CREATE TABLE x (y)');
  db.close();
  await assert.rejects(Store.open(sqliteBackend(directory)), { code: 'STORE_TOO_NEW' });
});

function canMount(target: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', target], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('on a full disk writes fail with 503, acknowledged ones survive, and freed space is used', async (t) => {
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  if (!canMount(disk)) {
    t.skip('needs the right to mount a small disk');
    return;
  }
  try {
    const ballast = join(disk, 'ballast');
    writeFileSync(ballast, Buffer.alloc(700_000));
    const store = await Store.open(sqliteBackend(disk));
    const table = store.table('configmaps');
    let acknowledged = 0;
    const fill = async (): Promise<unknown> => {
      for (;;) {
        try {
          await store.put(
            table,
            `default/${acknowledged}`,
            configMap(String(acknowledged), 'x'.repeat(20_000)),
          );
          acknowledged++;
        } catch (error) {
          return error;
        }
      }
    };
    const error = await fill();
    assert.ok(error instanceof Error && 'code' in error && error.code === 'STORE_FULL', String(error));
    assert.ok(acknowledged > 3);
    assert.equal(table.size, acknowledged);
    rmSync(ballast);
    await store.put(table, 'default/after', configMap('after'));
    await store.close();
    const again = await Store.open(sqliteBackend(disk));
    assert.equal(again.table('configmaps').size, acknowledged + 1);
    await again.close();
  } finally {
    execFileSync('umount', ['-l', disk]);
  }
});

test('no warning about experimental features reaches the terminal', async () => {
  const child = spawn(process.execPath, [openerScript(), directory], { stdio: ['ignore', 'ignore', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => child.once('close', resolve));
  assert.equal(Buffer.concat(chunks).toString(), '');
});
