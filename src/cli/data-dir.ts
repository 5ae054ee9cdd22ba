/** The data directory: where everything of one Knapsack lives, and what a running one leaves there for others to find. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { KnapsackError, messageOf, systemCode } from '../base/errors.ts';
import { isSameProcess, type ProcessIdentity } from '../base/process.ts';
import type { OptionValues } from './command.ts';

/** Throws CLI_USAGE for an empty `--data`, as an unset variable of a script gives it: it must not mean `.`. */
export function dataDirectory(options: OptionValues, env: NodeJS.ProcessEnv): string {
  const given = options['data'];
  if (given === '') throw new KnapsackError('CLI_USAGE', '--data is empty, must name a directory');
  if (typeof given === 'string') return resolve(given);
  return env['KNAPSACK_DATA'] ? resolve(env['KNAPSACK_DATA']) : join(homedir(), '.knapsack');
}

/**
 * Makes the directory when it is missing. Passable, so that pods under other users reach their files; what is secret
 * inside is closed by itself. Throws CLI_DATA_UNUSABLE.
 */
export function makeDataDirectory(data: string): void {
  try {
    mkdirSync(data, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw unusable(data, error);
  }
}

/** What is said when the system refuses the directory: a file in its place, no permission, a read-only disk. */
export function unusable(data: string, error: unknown): KnapsackError {
  return new KnapsackError('CLI_DATA_UNUSABLE', `${data} cannot be used: ${messageOf(error)}`, {
    cause: error,
  });
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

/** A Knapsack that holds a data directory; `info` as soon as it is ready. */
export interface Running {
  readonly pid: number;
  readonly info: PlatformInfo | undefined;
}

interface RunFile {
  readonly process: ProcessIdentity;
  readonly info?: PlatformInfo;
}

const runFile = (data: string): string => join(data, 'run.json');

/** Says who runs here; replaces the file as a whole, so that nobody reads half of it. */
export function writeRunFile(data: string, content: RunFile): void {
  const next = `${runFile(data)}.${content.process.pid}`;
  writeFileSync(next, JSON.stringify(content, null, 2), { mode: 0o600 });
  renameSync(next, runFile(data));
}

/** Removes the file of this process; another's is left alone. */
export function removeRunFile(data: string, identity: ProcessIdentity): void {
  if (readRunning(data)?.pid === identity.pid) rmSync(runFile(data), { force: true });
}

/**
 * The Knapsack that runs on this directory, or undefined. What a killed one left counts as none. Throws
 * CLI_DATA_UNUSABLE when the system does not let us look.
 */
export function readRunning(data: string): Running | undefined {
  let text: string;
  try {
    text = readFileSync(runFile(data), 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw unusable(data, error);
  }
  const { process: identity, info } = parseRunFile(text) ?? {};
  return identity && isSameProcess(identity) ? { pid: identity.pid, info } : undefined;
}

/** Undefined for a file that a power cut left torn. */
function parseRunFile(text: string): RunFile | undefined {
  try {
    return JSON.parse(text) as RunFile;
  } catch {
    return undefined;
  }
}

/** Everything that Knapsack makes at the top of a data directory, and what of it nobody else would make. */
const made = [
  'store',
  'pki',
  'images',
  'events',
  'volumes',
  'node',
  'kubeconfig',
  'audit.log',
  'knapsack.log',
  'up.log',
  'run.json',
];
const proofs = ['store/store.db', 'images/oci-layout', 'knapsack.log'];

/**
 * Guards against `--data /home/me`: only a directory with nothing but Knapsack's files in it is deleted. Undefined when it is
 * ours, else what it holds.
 */
export function whyNotOurs(data: string): string | undefined {
  let names;
  try {
    names = readdirSync(data);
  } catch (error) {
    throw unusable(data, error);
  }
  const foreign = names.find(
    (name) => !made.includes(name) && !/^(run\.json\.|audit\.log\.|\.restore-)/.test(name),
  );
  if (foreign !== undefined) return `holds ${foreign}, which Knapsack did not make`;
  const ours = names.length === 0 || proofs.some((path) => existsSync(join(data, path)));
  return ours ? undefined : 'holds no Knapsack data';
}
