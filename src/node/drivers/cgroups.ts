/** Control groups, version 1 (or hybrid) and 2, by direct writes: a group costs a few system calls, no helper process. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../base/errors.ts';

const mountPoint = '/sys/fs/cgroup';
const cpuPeriodUs = 100_000;
/** No container needs more processes; a fork bomb stays in its pod. */
const maxProcesses = 8192;
/** How often a group is tried to be removed while its last process disappears, and the wait between, ms. */
const destroyTries = 100;
const destroyWaitMs = 10;

export interface CgroupLimits {
  readonly memoryBytes: number | undefined;
  /** Thousandths of a CPU. */
  readonly cpuMillis: number | undefined;
  /** Thousandths of a CPU asked for: the weight under contention. */
  readonly cpuRequestMillis: number;
}

/** The groups of one Knapsack (of one data directory): `<controller>/knapsack-<tag>/<container>`. */
export class Cgroups {
  readonly version: 1 | 2;
  readonly #controllers: readonly string[];
  readonly #parent: string;

  private constructor(version: 1 | 2, controllers: readonly string[], parent: string) {
    this.version = version;
    this.#controllers = controllers;
    this.#parent = parent;
  }

  /** Undefined where this process may not make groups. */
  static open(tag: string): Cgroups | undefined {
    const parent = `knapsack-${tag}`;
    const isV2 = existsSync(join(mountPoint, 'cgroup.controllers'));
    const controllers = ['memory', 'cpu', 'pids', 'freezer'].filter((name) =>
      existsSync(join(mountPoint, name)),
    );
    if (process.platform !== 'linux' || (!isV2 && !controllers.includes('memory'))) return undefined;
    try {
      const groups = new Cgroups(isV2 ? 2 : 1, controllers, parent);
      for (const dir of groups.#dirs('')) mkdirSync(dir, { recursive: true });
      if (isV2) {
        for (const dir of [mountPoint, join(mountPoint, parent)]) {
          writeFileSync(join(dir, 'cgroup.subtree_control'), '+memory +cpu +pids');
        }
      }
      return groups;
    } catch {
      return undefined;
    }
  }

  #dirs(name: string): string[] {
    if (this.version === 2) return [join(mountPoint, this.#parent, name)];
    return this.#controllers.map((controller) => join(mountPoint, controller, this.#parent, name));
  }

  /** Also hierarchies that only a runtime uses: runc makes its groups in every one. */
  #everywhere(name: string): string[] {
    if (this.version === 2) return this.#dirs(name);
    return readdirSync(mountPoint).map((controller) => join(mountPoint, controller, this.#parent, name));
  }

  /** The group of a container, which may exist or not. */
  group(name: string): Cgroup {
    return new Cgroup(this.version, this.#dirs(name), this.#everywhere(name), `/${this.#parent}/${name}`);
  }

  /** Names of all groups that exist. */
  list(): string[] {
    const names = new Set<string>();
    for (const dir of this.#everywhere('')) {
      if (!existsSync(dir)) continue;
      for (const entry of readdirSync(dir, { withFileTypes: true }))
        if (entry.isDirectory()) names.add(entry.name);
    }
    return [...names];
  }

  /** Removes the parent; its groups must be gone. */
  close(): void {
    for (const dir of this.#everywhere('')) removeGroup(dir);
  }
}

export class Cgroup {
  /** The path inside each hierarchy, as the OCI `cgroupsPath`. */
  readonly path: string;
  readonly #version: 1 | 2;
  readonly #dirs: readonly string[];
  readonly #everywhere: readonly string[];

  constructor(version: 1 | 2, dirs: readonly string[], everywhere: readonly string[], path: string) {
    this.#version = version;
    this.#dirs = dirs;
    this.#everywhere = everywhere;
    this.path = path;
  }

  /** Makes the group with its limits. */
  create(limits: CgroupLimits): void {
    for (const dir of this.#dirs) mkdirSync(dir, { recursive: true });
    const { memoryBytes, cpuMillis, cpuRequestMillis } = limits;
    const shares = Math.min(262_144, Math.max(2, Math.floor((cpuRequestMillis * 1024) / 1000)));
    this.#set('pids', 'pids.max', String(maxProcesses));
    if (memoryBytes) {
      this.#set(
        'memory',
        this.#version === 2 ? 'memory.max' : 'memory.limit_in_bytes',
        String(Math.floor(memoryBytes)),
      );
    }
    if (this.#version === 2) {
      // The mapping of shares to weight that runc and crun use.
      this.#set('cpu', 'cpu.weight', String(1 + Math.floor(((shares - 2) * 9999) / 262_142)));
      if (cpuMillis) this.#set('cpu', 'cpu.max', `${quota(cpuMillis)} ${cpuPeriodUs}`);
    } else {
      this.#set('cpu', 'cpu.shares', String(shares));
      if (cpuMillis) {
        this.#set('cpu', 'cpu.cfs_period_us', String(cpuPeriodUs));
        this.#set('cpu', 'cpu.cfs_quota_us', String(quota(cpuMillis)));
      }
    }
  }

  /** Files to which a process is written to join the group. */
  get joinFiles(): string[] {
    return this.#dirs.map((dir) => join(dir, 'cgroup.procs'));
  }

  /** Directory and its place in a container's /sys/fs/cgroup, for read-only mounts. */
  get views(): { source: string; destination: string }[] {
    if (this.#version === 2) return this.#dirs.map((source) => ({ source, destination: mountPoint }));
    return this.#dirs.map((source) => ({
      source,
      destination: join(mountPoint, source.split('/')[4] ?? ''),
    }));
  }

  add(pid: number): void {
    for (const file of this.joinFiles) writeFileSync(file, String(pid));
  }

  /** Processes in the group and in groups that a runtime made below it. */
  pids(): number[] {
    const pids = new Set<number>();
    for (const dir of this.#dirs) collectPids(dir, pids);
    return [...pids];
  }

  /** Kills everything in the group, also what a process forks meanwhile. */
  kill(): void {
    for (let round = 0; round < 20; round++) {
      const pids = this.pids();
      if (pids.length === 0) return;
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has ended meanwhile.
        }
      }
    }
  }

  /** True when the kernel killed something in the group for memory. */
  oomKilled(): boolean {
    const text =
      this.#version === 2
        ? this.#read('memory', 'memory.events')
        : this.#read('memory', 'memory.oom_control');
    return Number(/^oom_kill (\d+)$/m.exec(text ?? '')?.[1] ?? 0) > 0;
  }

  /** True when an allocation was refused by the group's own limit (also for a group below it, which is gone). */
  hitMemoryLimit(): boolean {
    if (this.#version === 2) return this.oomKilled();
    return Number(this.#read('memory', 'memory.failcnt') ?? 0) > 0;
  }

  stats(): { memoryBytes: number; cpuMs: number } | undefined {
    if (this.#version === 2) {
      const memory = this.#read('memory', 'memory.current');
      const inactive = /^inactive_file (\d+)$/m.exec(this.#read('memory', 'memory.stat') ?? '')?.[1];
      const usage = /^usage_usec (\d+)$/m.exec(this.#read('cpu', 'cpu.stat') ?? '')?.[1];
      if (memory === undefined) return undefined;
      return {
        memoryBytes: Math.max(0, Number(memory) - Number(inactive ?? 0)),
        cpuMs: Number(usage ?? 0) / 1000,
      };
    }
    const memory = this.#read('memory', 'memory.usage_in_bytes');
    const inactive = /^total_inactive_file (\d+)$/m.exec(this.#read('memory', 'memory.stat') ?? '')?.[1];
    if (memory === undefined) return undefined;
    let ticks = 0;
    for (const pid of this.pids()) ticks += cpuTicks(pid);
    return { memoryBytes: Math.max(0, Number(memory) - Number(inactive ?? 0)), cpuMs: ticks * 10 };
  }

  /** Kills and removes; waits a moment for processes that are just going. */
  async destroy(): Promise<void> {
    for (let i = 0; i < destroyTries; i++) {
      this.kill();
      if (this.remove()) return;
      await new Promise((resolve) => setTimeout(resolve, destroyWaitMs));
    }
  }

  /** Removes the group, with groups that a runtime made below it. False while a process in it has not quite gone. */
  remove(): boolean {
    return this.#everywhere.map((dir) => removeGroup(dir)).every(Boolean);
  }

  #file(controller: string, name: string): string | undefined {
    const dir =
      this.#version === 2
        ? this.#dirs[0]
        : this.#dirs.find((d) => d.startsWith(`${mountPoint}/${controller}/`));
    return dir === undefined ? undefined : join(dir, name);
  }

  #set(controller: string, name: string, value: string): void {
    const file = this.#file(controller, name);
    if (file !== undefined) writeFileSync(file, value);
  }

  #read(controller: string, name: string): string | undefined {
    const file = this.#file(controller, name);
    return file === undefined ? undefined : read(file);
  }
}

function quota(millis: number): number {
  return Math.max(1000, Math.round((millis * cpuPeriodUs) / 1000));
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function collectPids(dir: string, pids: Set<number>): void {
  for (const line of read(join(dir, 'cgroup.procs'))?.split('\n') ?? [])
    if (line !== '') pids.add(Number(line));
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) collectPids(join(dir, entry.name), pids);
  }
}

/**
 * User and system time of a process and of its children that have ended, in clock ticks of 10 ms (proc(5): utime, stime,
 * cutime, cstime).
 */
function cpuTicks(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return 0;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
}

function removeGroup(dir: string): boolean {
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) removeGroup(join(dir, entry.name));
    }
    rmdirSync(dir);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EBUSY') return false;
    if (systemCode(error) === 'ENOENT') return true;
    throw error;
  }
}
