/** Which driver runs the pods of this machine. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Cgroups } from './cgroups.ts';
import type { Driver } from './driver.ts';
import { findFirewallPrograms, findRuntime, missingForContainers } from './oci/detect.ts';
import { OciDriver } from './oci/driver.ts';
import { ProcessDriver } from './process.ts';

export type DriverChoice = 'auto' | 'oci' | 'process';

export interface DriverOptions {
  readonly dataDir: string;
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  /** The driver is only to sweep and close: it makes nothing on this machine. */
  readonly removesOnly?: boolean;
}

/** Eight hexadecimal digits that tell this data directory's groups, bridge and networks from another's. */
export function tagOf(dataDir: string): string {
  return createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 8);
}

/** Names this data directory among what else is on memory file systems. */
export function memoryTagOf(dataDir: string): string {
  return `knapsack-${tagOf(dataDir)}`;
}

/** Throws NODE_NO_DRIVER when the driver that is asked for cannot work here. */
export async function chooseDriver(choice: DriverChoice, options: DriverOptions): Promise<Driver> {
  const tag = tagOf(options.dataDir);
  const hostPath = options.hostEnv['PATH'] ?? '';
  const { removesOnly = false } = options;
  const forProcesses = { tag, hostPath, dir: join(options.dataDir, 'process'), removesOnly };
  if (choice === 'process') {
    await removeContainers(tag, hostPath, options);
    return new ProcessDriver({ ...forProcesses, reason: 'asked for' });
  }
  const oci = await tryOci(choice, tag, hostPath, options);
  if (typeof oci !== 'string') return oci;
  if (choice === 'oci') {
    throw new KnapsackError('NODE_NO_DRIVER', `the oci driver cannot run on this machine: it needs ${oci}`);
  }
  return new ProcessDriver({ ...forProcesses, reason: `containers cannot run here: ${oci} missing` });
}

/** The driver, opened unless it only removes, or what it lacks. */
async function tryOci(
  choice: DriverChoice,
  tag: string,
  path: string,
  { dataDir, log, removesOnly = false }: DriverOptions,
): Promise<OciDriver | string> {
  const missing = missingForContainers(path);
  if (missing.length > 0) return missing.join(', ');
  const dir = join(dataDir, 'oci');
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const program = await findRuntime(path, dir);
  if ('missing' in program) return program.missing;
  const cgroups = Cgroups.open(tag);
  if (!cgroups) return 'control groups that can be written';
  const why = choice === 'oci' ? 'asked for' : 'root on Linux with a working runtime';
  const driver = new OciDriver({
    program,
    cgroups,
    tag,
    dir,
    reason: `${why}; pods run in ${program.name} ${program.version} containers, each with its own processes, files, network and limits`,
    firewall: findFirewallPrograms(path),
    log,
  });
  if (removesOnly) return driver;
  try {
    await driver.open();
    return driver;
  } catch (error) {
    await driver.close(true);
    return `a pod network (${messageOf(error)})`;
  }
}

/** Containers, networks, firewall rules and the bridge that the oci driver left here when Knapsack was killed. */
async function removeContainers(tag: string, path: string, options: DriverOptions): Promise<void> {
  if (!existsSync(join(options.dataDir, 'oci'))) return;
  const left = await tryOci('auto', tag, path, { ...options, removesOnly: true });
  if (typeof left === 'string') return;
  await left.sweep(new Set());
  await left.close(true);
}
