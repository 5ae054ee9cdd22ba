/**
 * Creates per second, durable (SQLite, fsync) against memory, at several concurrencies, in the same run and through the
 * whole API service. Prints the durable store's share of the memory store's speed. Run: `node bench/store.ts`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { configMaps } from '../src/api/kubernetes/core.ts';
import { ApiService } from '../src/kube/server/service/service.ts';
import { memoryBackend, type Backend } from '../src/kube/store/backend.ts';
import { sqliteBackend } from '../src/kube/store/sqlite.ts';
import { Store } from '../src/kube/store/store.ts';

const roundMs = 700;
const rounds = 4;
const payload = 'x'.repeat(600);

interface Subject {
  readonly name: string;
  readonly service: ApiService;
  readonly store: Store;
}

let serial = 0;

async function subject(name: string, backend: Backend): Promise<Subject> {
  const store = await Store.open(backend);
  return { name, store, service: new ApiService({ store, resources: [configMaps], clock: systemClock }) };
}

/** Creates per second of `concurrency` writers that each wait for their acknowledgement. */
async function measure({ service }: Subject, concurrency: number): Promise<number> {
  const end = performance.now() + roundMs;
  const start = performance.now();
  let created = 0;
  const writer = async (): Promise<void> => {
    while (performance.now() < end) {
      const metadata = { name: `c${serial++}`, namespace: 'default' };
      await service.create(
        configMaps,
        'default',
        { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { payload } },
        { user: 'bench' },
      );
      created++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, writer));
  return (created * 1000) / (performance.now() - start);
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;

const directory = mkdtempSync(join(tmpdir(), 'knapsack-bench-'));
try {
  const memory = await subject('memory', memoryBackend());
  const durable = await subject('durable', sqliteBackend(directory));
  for (const each of [memory, durable]) await measure(each, 16);
  console.log('creates/s, median of', rounds, 'rounds');
  console.log('concurrency      memory     durable   durable/memory');
  for (const concurrency of [1, 16, 64]) {
    const found: { memory: number[]; durable: number[] } = { memory: [], durable: [] };
    // Alternating, so that a busy moment of the machine meets both.
    for (let round = 0; round < rounds; round++) {
      found.memory.push(await measure(memory, concurrency));
      found.durable.push(await measure(durable, concurrency));
    }
    const [inMemory, onDisk] = [median(found.memory), median(found.durable)];
    const cells = [
      String(concurrency).padStart(11),
      inMemory.toFixed(0).padStart(11),
      onDisk.toFixed(0).padStart(11),
    ];
    console.log(`${cells.join(' ')}   ${(onDisk / inMemory).toFixed(2).padStart(14)}`);
  }
  await Promise.all([memory.store.close(), durable.store.close()]);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
