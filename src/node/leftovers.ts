/** Clearing the machine of what a killed agent left, for when nothing will adopt it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KnapsackError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { endForeign } from './adoption.ts';
import { chooseDriver, memoryTagOf } from './drivers/choose.ts';
import { MemoryDir } from './memory-dir.ts';
import { loadPods } from './saved-pod.ts';

/**
 * Ends and removes everything that pods of this data directory still have on the machine: processes, networks, control
 * groups, mounts, memory volumes. The files below `<dataDir>/node` stay.
 */
export async function removeLeftovers(options: {
  readonly dataDir: string;
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}): Promise<void> {
  const { hostEnv, log } = options;
  const dataDir = join(options.dataDir, 'node');
  if (!existsSync(dataDir)) return;
  // Only the record knows a plain process without limits; containers the sweeps below find by themselves.
  for (const pod of loadPods(join(dataDir, 'pods')).values()) {
    for (const { handle } of pod?.containers ?? []) if (handle !== undefined) await endForeign(handle);
  }
  for (const name of ['process', 'oci'] as const) {
    try {
      const driver = await chooseDriver(name, { dataDir, hostEnv, log, removesOnly: true });
      await driver.sweep(new Set());
      await driver.close(true);
    } catch (error) {
      // A driver that cannot run here has left nothing here.
      if (!(error instanceof KnapsackError) || error.code !== 'NODE_NO_DRIVER') throw error;
    }
  }
  new MemoryDir(memoryTagOf(dataDir)).sweep(new Set());
}
