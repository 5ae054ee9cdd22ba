/** Figures of a process group where there are no control groups: an ordinary user's processes. */
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { ContainerStats } from './driver.ts';

/** Linux counts process times in hundredths of a second, whatever the kernel's own tick. */
const tickMs = 10;

/** Sums over all processes whose group is `group`; undefined when there are none or the machine does not tell. */
export async function processGroupStats(group: number): Promise<ContainerStats | undefined> {
  try {
    return await (process.platform === 'linux' ? fromProc(group) : fromPs(group));
  } catch {
    return undefined;
  }
}

/** proc(5): fields 5 (pgrp) and 14 to 17 (utime, stime, cutime, cstime) of `stat`, and VmRSS, which is not in pages. */
async function fromProc(group: number): Promise<ContainerStats | undefined> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  let found = false;
  let ticks = 0;
  let kilobytes = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[2]) !== group) continue;
    found = true;
    for (const field of fields.slice(11, 15)) ticks += Number(field);
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return found ? { cpuMs: ticks * tickMs, memoryBytes: kilobytes * 1024 } : undefined;
}

const run = promisify(execFile);

async function fromPs(group: number): Promise<ContainerStats | undefined> {
  const { stdout } = await run('ps', ['-A', '-o', 'pgid=', '-o', 'rss=', '-o', 'time=']);
  return parsePs(stdout, group);
}

/** Lines of `pgid rss time`; rss in KiB, time as `[[days-]hours:]minutes:seconds[.fraction]`. */
export function parsePs(text: string, group: number): ContainerStats | undefined {
  const lines = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([pgid]) => Number(pgid) === group && pgid !== '');
  if (lines.length === 0) return undefined;
  let cpuMs = 0;
  let memoryBytes = 0;
  for (const [, rss = '0', time = '0'] of lines) {
    memoryBytes += Number(rss) * 1024;
    const [days, clock] = time.includes('-') ? time.split('-') : ['0', time];
    const seconds = (clock ?? '0').split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
    cpuMs += (Number(days) * 86_400 + seconds) * 1000;
  }
  return { cpuMs, memoryBytes };
}
