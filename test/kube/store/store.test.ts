import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KnapsackError } from '../../../src/base/errors.ts';
import { memoryBackend } from '../../../src/kube/store/backend.ts';
import type { StoreEvent } from '../../../src/kube/store/record.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { configMap, HeldBackend } from './support.ts';

test('a write is acknowledged and published only when its batch is durable, and the next batch takes all that queued', async () => {
  const backend = new HeldBackend();
  const store = await Store.open(backend);
  const table = store.table('configmaps');
  const seen: number[] = [];
  table.subscribe((events) => seen.push(...events.map((event) => event.resourceVersion)));
  let acknowledged = 0;
  const write = (name: string): Promise<unknown> =>
    store.put(table, `default/${name}`, configMap(name)).then(() => acknowledged++);

  const writes = [write('a'), write('b')];
  await backend.waiting();
  writes.push(write('c'), write('d'), write('e'));
  assert.deepEqual([acknowledged, seen.length, store.resourceVersion], [0, 0, 1]);
  const read = store.durable(3);
  assert.ok(read, 'a read that meets version 3 has to wait');
  assert.equal(table.get('default/a')?.resourceVersion, 2, 'the next write must see it at once');

  backend.letThrough();
  assert.equal(await read, true);
  await backend.waiting();
  assert.deepEqual(seen, [2, 3]);
  assert.deepEqual(
    backend.batches.map((batch) => batch.length),
    [2, 3],
  );
  backend.letThrough();
  await Promise.all(writes);
  assert.deepEqual(seen, [2, 3, 4, 5, 6]);
  assert.equal(store.durable(6), undefined);
});

test('a full disk refuses the batch and all that was based on it, keeps what was there, and lets later writes try', async () => {
  const backend = new HeldBackend();
  const store = await Store.open(backend);
  const table = store.table('configmaps');
  const first = store.put(table, 'default/a', configMap('a', 'kept'));
  await backend.waiting();
  backend.letThrough();
  await first;

  const changed = store.put(table, 'default/a', configMap('a', 'lost'));
  const added = store.put(table, 'default/b', configMap('b'));
  await backend.waiting();
  const removed = store.remove(table, 'default/a', configMap('a'));
  const read = store.durable(4);
  backend.fail(new KnapsackError('STORE_FULL', 'no space'));
  for (const write of [changed, added, removed]) {
    await assert.rejects(write, (error) => error instanceof KnapsackError && error.code === 'STORE_FULL');
  }
  assert.equal(await read, false);
  assert.deepEqual(
    table.records().map((record) => [record.key, record.resourceVersion]),
    [['default/a', 2]],
  );
  assert.deepEqual(table.since(2), [], 'nothing of it was published');

  const later = store.put(table, 'default/c', configMap('c'));
  await backend.waiting();
  backend.letThrough();
  assert.ok((await later).resourceVersion > 5, 'versions of refused writes are not given out again');
});

test('a failed disk ends all writing but not reading', async () => {
  const backend = new HeldBackend();
  const store = await Store.open(backend);
  const table = store.table('configmaps');
  const write = store.put(table, 'default/a', configMap('a'));
  await backend.waiting();
  backend.fail(new Error('EIO'));
  await assert.rejects(write, /EIO/);
  await assert.rejects(
    store.put(table, 'default/b', configMap('b')),
    (error) => error instanceof KnapsackError && error.code === 'STORE_FAILED' && error.entry.status === 503,
  );
  assert.equal(backend.batches.length, 1);
  assert.deepEqual(table.records(), []);
});

test('closing finishes what was begun and refuses what comes after', async () => {
  const store = await Store.open(memoryBackend());
  const table = store.table('configmaps');
  const begun = store.put(table, 'default/a', configMap('a'));
  const closed = store.close();
  await assert.rejects(store.put(table, 'default/b', configMap('b')), { code: 'STORE_CLOSED' });
  assert.equal((await begun).resourceVersion, 2);
  await closed;
});

test('events older than the ring are gone, newer ones are all there, in order', async () => {
  const store = await Store.open(memoryBackend(), { ringSize: 8 });
  const table = store.table('configmaps');
  for (let i = 0; i < 40; i++) await store.put(table, 'default/a', configMap('a', String(i)));
  assert.ok(table.floor > 1 && table.floor < 41, `floor ${table.floor}`);
  assert.equal(table.since(table.floor - 1), undefined);
  const versions = table.since(table.floor)?.map((event) => event.resourceVersion) ?? [];
  assert.deepEqual(
    versions,
    Array.from({ length: 41 - table.floor }, (_, i) => table.floor + 1 + i),
  );
});

test('large events push each other out of the ring by their size', async () => {
  const store = await Store.open(memoryBackend(), { ringBytes: 1_000_000 });
  const table = store.table('configmaps');
  for (let i = 0; i < 40; i++) await store.put(table, 'default/a', configMap('a', 'x'.repeat(50_000)));
  const kept = table.since(table.floor)?.length ?? 0;
  assert.ok(kept >= 4 && kept <= 7, `${kept} events of about 200 kB each are kept`);
  assert.equal(table.since(table.floor - 1), undefined);
  for (let i = 0; i < 40; i++) await store.put(table, 'default/a', configMap('a', 'small'));
  assert.ok((table.since(table.floor)?.length ?? 0) >= 40, 'small ones have room again');
});

test('a snapshot waits for the moment that it shows, and shows nothing that was taken back', async () => {
  const backend = new HeldBackend();
  const store = await Store.open(backend);
  const table = store.table('configmaps');
  const first = store.put(table, 'default/a', configMap('a'));
  await backend.waiting();
  const taking = store.snapshot();
  const refused = store.put(table, 'default/b', configMap('b'));
  backend.letThrough();
  await first;
  const snapshot = await taking;
  assert.deepEqual(
    snapshot.tables.get('configmaps')?.map(({ key }) => key),
    ['default/a'],
  );
  await backend.waiting();
  const again = store.snapshot();
  backend.fail(new KnapsackError('STORE_FULL', 'no space'));
  await assert.rejects(refused, { code: 'STORE_FULL' });
  const { tables, resourceVersion } = await again;
  assert.deepEqual(
    tables.get('configmaps')?.map(({ key }) => key),
    ['default/a'],
  );
  assert.equal(resourceVersion, 2);
});

test('the stored object is frozen and its bytes are its JSON', async () => {
  const store = await Store.open(memoryBackend());
  const record = await store.put(store.table('configmaps'), 'default/a', configMap('a', 'é'));
  assert.deepEqual(JSON.parse(record.bytes.toString()), record.object);
  assert.throws(() => Object.assign(record.object.metadata, { name: 'b' }), TypeError);
});

test('property: a table lists what a sorted map would, whatever was written and removed in between', async () => {
  const step = fc.record({
    op: fc.constantFrom('put', 'remove', 'list'),
    namespace: fc.constantFrom('a', 'b', 'a-b'),
    name: fc.constantFrom('x', 'y', 'z', 'x-y'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = await Store.open(memoryBackend());
      const table = store.table('things');
      const model = new Map<string, number>();
      const events: StoreEvent[] = [];
      table.subscribe((published) => events.push(...published));
      for (const { op, namespace, name } of steps) {
        const key = `${namespace}/${name}`;
        if (op === 'list') {
          const wanted = [...model.keys()].filter((k) => k.startsWith(`${namespace}/`)).sort();
          assert.deepEqual(
            table.records(namespace).map((record) => record.key),
            wanted,
          );
        } else if (op === 'put') {
          model.set(key, (await store.put(table, key, configMap(name))).resourceVersion);
        } else if (model.delete(key)) {
          await store.remove(table, key, configMap(name));
        }
      }
      assert.deepEqual(
        table.records().map((record) => [record.key, record.resourceVersion]),
        [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
      );
      assert.deepEqual(
        events.map((event) => event.resourceVersion),
        events.map((_, i) => i + 2),
        'one version a write, no gap',
      );
      await store.close();
    }),
    { numRuns: 60 },
  );
});
