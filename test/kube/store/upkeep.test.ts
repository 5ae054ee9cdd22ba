import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { waitFor } from '../../support/wait.ts';
import { configMap } from './support.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'knapsack-upkeep-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const size = (name: string): number => statSync(join(directory, name)).size;

test('after a mass deletion the file shrinks while the store runs, and what is left is all there', async () => {
  const store = await Store.open(sqliteBackend(directory, { upkeepMs: 20 }));
  const table = store.table('configmaps');
  const names = Array.from({ length: 12_000 }, (_, i) => `c${i}`);
  await Promise.all(
    names.map((name) => store.put(table, `default/${name}`, configMap(name, 'x'.repeat(1500)))),
  );
  await waitFor('the journal to be emptied', () => size('store.db-wal') === 0);
  const full = size('store.db');
  assert.ok(full > 20_000_000, `${full} bytes`);
  await Promise.all(names.slice(100).map((name) => store.remove(table, `default/${name}`, configMap(name))));
  await waitFor('the file to shrink', () => size('store.db') < full / 4 && size('store.db-wal') === 0);
  await store.put(table, 'default/after', configMap('after'));
  await store.close();
  const again = await Store.open(sqliteBackend(directory));
  assert.equal(again.table('configmaps').size, 101);
  await again.close();
});

test('a journal that one large commit has made long is cut again', async () => {
  const store = await Store.open(sqliteBackend(directory, { upkeepMs: 60_000 }));
  const table = store.table('configmaps');
  const large = 'x'.repeat(400_000);
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => store.put(table, `default/c${i}`, configMap(`c${i}`, large))),
  );
  // The commit that checkpoints is followed by one that starts the journal anew.
  for (let i = 0; i < 20; i++) await store.put(table, 'default/c0', configMap('c0', large));
  assert.ok(size('store.db-wal') < 9_000_000, `${size('store.db-wal')} bytes`);
  await store.close();
});

test('an object that changes for days takes no more room than one that does not', async () => {
  const store = await Store.open(sqliteBackend(directory, { upkeepMs: 10 }), { ringSize: 100 });
  const table = store.table('configmaps');
  const churn = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const name = `c${round % 50}`;
      const put = store.put(table, `default/${name}`, configMap(name, 'y'.repeat((round * 131) % 4000)));
      if (round % 40 === 39) await put;
    }
  };
  await churn(2000);
  const before = size('store.db');
  await churn(8000);
  assert.ok(size('store.db') < before * 2 + 500_000, `${before} grew to ${size('store.db')}`);
  assert.ok((table.since(table.floor)?.length ?? 0) <= 125);
  await store.close();
});
