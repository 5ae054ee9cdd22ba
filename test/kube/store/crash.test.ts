import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KubeObject } from '../../../src/api/object.ts';
import { sqliteBackend } from '../../../src/kube/store/sqlite.ts';
import { Store } from '../../../src/kube/store/store.ts';

const rounds = 7;

interface Line {
  readonly version: number;
  readonly key: string;
  /** `-` for a removal. */
  readonly value: string;
}

interface Round {
  readonly opened: number;
  readonly events: readonly Line[];
  readonly acknowledged: readonly Line[];
}

/** Runs the writer, kills it with SIGKILL once it has acknowledged enough, and gives the lines that it had completed. */
async function killUnderLoad(directory: string, round: number): Promise<Round> {
  const script = new URL('crash-writer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, directory, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  // A different amount each round: the kill falls at another point of a commit or checkpoint.
  const enough = 40_000 + round * 90_011;
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > enough) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.once('close', (_code, by) => resolve(by)));
  assert.equal(signal, 'SIGKILL', 'the writer ended by itself');
  const text = Buffer.concat(chunks).toString();
  const lines = text.slice(0, text.lastIndexOf('\n')).split('\n');
  const read = (word: string): Line[] =>
    lines
      .filter((line) => line.startsWith(`${word} `))
      .map((line) => {
        const [, version = '', key = '', value = ''] = line.split(' ');
        return { version: Number(version), key, value };
      });
  return { opened: read('open')[0]?.version ?? 0, events: read('event'), acknowledged: read('ack') };
}

test('killed again and again under load, the store keeps every acknowledged write and one order of events', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'knapsack-crash-'));
  try {
    /** What was last acknowledged for a key. */
    const last = new Map<string, Line>();
    let newest = 0;
    let writes = 0;
    for (let round = 0; round < rounds; round++) {
      const { opened, events, acknowledged } = await killUnderLoad(directory, round);
      assert.ok(opened >= newest, `round ${round} opened at ${opened}, but ${newest} had been seen`);
      for (const [i, event] of events.entries()) {
        assert.equal(event.version, opened + 1 + i, 'every version once, in order');
      }
      const published = new Map(events.map((event) => [event.version, event]));
      for (const write of acknowledged) {
        assert.deepEqual(
          published.get(write.version),
          write,
          'a watcher sees a write before its writer hears of it',
        );
        const before = last.get(write.key);
        if (!before || before.version < write.version) last.set(write.key, write);
      }
      writes += acknowledged.length;
      newest = Math.max(newest, events.at(-1)?.version ?? 0);

      const store = await Store.open(sqliteBackend(directory));
      const table = store.table('configmaps');
      assert.ok(store.resourceVersion >= newest, 'the version went back');
      newest = store.resourceVersion;
      for (const { key, version, value } of last.values()) {
        const record = table.get(key);
        // Only one write per key is under way at a time: what is newer than acknowledged is that one.
        if (value === '-' && !record) continue;
        if (!record) {
          const removed = events.find((event) => event.key === key && event.version > version);
          assert.ok(!removed || removed.value === '-', `${key} was acknowledged at ${version} and is gone`);
          continue;
        }
        assert.ok(record.resourceVersion >= version, `${key} is older than acknowledged`);
        if (record.resourceVersion !== version) continue;
        const object = record.object as KubeObject & { data?: { value?: string } };
        assert.equal(object.data?.value, value);
      }
      assert.deepEqual(table.since(newest), []);
      assert.equal(table.since(newest - 1), undefined, 'a watch from before the crash must list again');
      await store.close();
    }
    assert.ok(writes > rounds * 50, `only ${writes} writes were acknowledged`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
