/**
 * Writes the tables of docs/kubernetes.md from what a platform, started for this in a temporary directory, says that it
 * serves. Run: `node scripts/docs-kubernetes.ts`. An end-to-end test compares the two.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../src/base/log.ts';
import { startPlatform } from '../src/main.ts';
import { readDiscovery } from './lib/discovery.ts';
import { resourceTables, withTables } from './lib/resource-tables.ts';

const data = await mkdtemp(join(tmpdir(), 'knapsack-docs-'));
const loopback = { host: '127.0.0.1', port: 0 };
const platform = await startPlatform({
  data,
  driver: 'process',
  api: loopback,
  gateway: loopback,
  local: loopback,
  registry: loopback,
  log: silentLogger,
  progress: () => undefined,
});
try {
  const page = new URL('../docs/kubernetes.md', import.meta.url);
  const tables = resourceTables(...(await readDiscovery(platform.kubeconfig)));
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), tables));
} finally {
  await platform.close();
  await rm(data, { recursive: true, force: true });
}
