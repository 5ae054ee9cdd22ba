/**
 * Run by the launcher in a process of its own before the first `up`: starts and stops a platform on a temporary
 * directory, so that every module, those of worker threads included, is in the compile cache afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../base/log.ts';
import { startPlatform } from '../main.ts';

await import('./main.ts');
const data = mkdtempSync(join(tmpdir(), 'knapsack-first-'));
const listen = { host: '127.0.0.1', port: 0 };
try {
  const platform = await startPlatform({
    data,
    driver: 'process',
    api: listen,
    gateway: listen,
    local: listen,
    registry: listen,
    log: silentLogger,
    progress: () => {},
  });
  await platform.close();
} finally {
  rmSync(data, { recursive: true, force: true });
}
