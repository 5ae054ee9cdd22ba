/** What a data directory's Knapsack has on the machine outside of the directory: nothing, once it has stopped. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tagOf } from '../../src/node/drivers/choose.ts';
import { hasProgram } from './drivers.ts';

/**
 * Processes, mounts, network namespaces and links, firewall rules, control groups, memory volumes and sockets of a data directory, as
 * lines for people. Elsewhere than on Linux: processes and sockets. `tag` is needed when the directory is gone.
 */
export function leftoversOf(data: string, tag = tagIn(data)): string[] {
  return [
    ...processesOf(data),
    ...socketsIn(data),
    ...linesWith('mount', readIfThere('/proc/self/mounts'), [data, tag]),
    ...linesWith('network namespace', namesIn('/run/netns'), [tag]),
    ...linesWith('network link', links(), [tag]),
    ...linesWith('firewall', firewall(), [tag]),
    ...linesWith('memory volume', namesIn('/dev/shm'), [tag]),
    ...(tag === undefined
      ? []
      : globSync(`/sys/fs/cgroup/{,*/,*/*/}*${tag}*`).map((path) => `cgroup ${path}`)),
  ];
}

/** What marks this directory's networks and control groups on the machine; undefined before the first start. */
export function tagIn(data: string): string | undefined {
  const node = join(data, 'node');
  return existsSync(node) ? tagOf(node) : undefined;
}

/** Processes that name the directory in their command line, or live in it. */
function processesOf(data: string): string[] {
  if (!existsSync('/proc/self')) {
    return linesWith('process', execFileSync('ps', ['-axo', 'pid,args'], { encoding: 'utf8' }), [data]);
  }
  const found: string[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const places = [command, readlinkSync(`/proc/${pid}/cwd`), readlinkSync(`/proc/${pid}/root`)];
      if (places.some((place) => place.includes(data))) found.push(`process ${pid}: ${command}`);
    } catch {
      // It ended while we looked, or it is a zombie, whose places cannot be read.
    }
  }
  return found;
}

function socketsIn(data: string): string[] {
  if (!existsSync(data)) return [];
  return readdirSync(data, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(data, path), { throwIfNoEntry: false })?.isSocket())
    .map((path) => `socket ${path}`);
}

function linesWith(kind: string, text: string, marks: readonly (string | undefined)[]): string[] {
  return text
    .split('\n')
    .filter((line) => marks.some((mark) => mark !== undefined && line.includes(mark)))
    .map((line) => `${kind} ${line.trim()}`);
}

function links(): string {
  return hasProgram('ip') ? execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }) : '';
}

function firewall(): string {
  if (process.getuid?.() !== 0) return '';
  const listings: [string, string[]][] = [
    ['nft', ['list', 'tables']],
    ['iptables-save', []],
  ];
  return listings
    .filter(([program]) => hasProgram(program))
    .map(([program, args]) => spawnSync(program, args, { encoding: 'utf8' }).stdout)
    .join('\n');
}

function namesIn(folder: string): string {
  return existsSync(folder) ? readdirSync(folder).join('\n') : '';
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
