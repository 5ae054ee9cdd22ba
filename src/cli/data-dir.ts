/** The data directory: where everything of one Knapsack lives, and what a running one leaves there for others to find. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemCode } from '../base/errors.ts';
import { isSameProcess, type ProcessIdentity } from '../base/process.ts';
import type { OptionValues } from './command.ts';

export function dataDirectory(options: OptionValues, env: NodeJS.ProcessEnv): string {
  const given = options['data'];
  if (typeof given === 'string') return resolve(given);
  return env['KNAPSACK_DATA'] ? resolve(env['KNAPSACK_DATA']) : join(homedir(), '.knapsack');
}

/** What `up` prints and `status` reads. Addresses are URLs, paths absolute. */
export interface PlatformInfo {
  readonly version: string;
  readonly pid: number;
  readonly data: string;
  readonly kubeconfig: string;
  readonly api: string;
  readonly gateway: string;
  /** The gateway's listener for cluster-local names: brokers, private services. Loopback only. */
  readonly local: string;
  readonly registry: string;
  readonly driver: string;
  readonly log: string;
  /** RFC 3339. */
  readonly startedAt: string;
}

interface RunFile {
  readonly process: ProcessIdentity;
  readonly info: PlatformInfo;
}

const runFile = (data: string): string => join(data, 'run.json');

export function writeRunFile(data: string, process: ProcessIdentity, info: PlatformInfo): void {
  writeFileSync(runFile(data), JSON.stringify({ process, info } satisfies RunFile, null, 2), { mode: 0o600 });
}

export function removeRunFile(data: string): void {
  rmSync(runFile(data), { force: true });
}

/** The Knapsack that runs on this directory, or undefined. A file left by a killed one counts as none. */
export function readRunning(data: string): PlatformInfo | undefined {
  let text: string;
  try {
    text = readFileSync(runFile(data), 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const { process: identity, info } = JSON.parse(text) as RunFile;
  return isSameProcess(identity) ? info : undefined;
}
