/** Which driver runs the pods of this machine. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import type { Logger } from '../../base/log.ts';
import type { Driver } from './driver.ts';
import { ProcessDriver } from './process.ts';

export type DriverChoice = 'auto' | 'oci' | 'process';

export interface DriverOptions {
  readonly dataDir: string;
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}

/** Eight hexadecimal digits that tell this data directory's groups, bridge and networks from another's. */
export function tagOf(dataDir: string): string {
  return createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 8);
}

/** Throws NODE_NO_DRIVER when the driver that is asked for cannot work here. */
export function chooseDriver(_choice: DriverChoice, options: DriverOptions): Promise<Driver> {
  const tag = tagOf(options.dataDir);
  const hostPath = options.hostEnv['PATH'] ?? '';
  return Promise.resolve(new ProcessDriver({ tag, reason: 'asked for', hostPath }));
}
