/**
 * The process driver: containers are child processes of this machine, nothing more. It needs Node and the host and runs
 * on macOS too. It does not isolate: a pod sees the host's files, network, users and processes. Linux root gets memory,
 * CPU and process limits by control groups.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { constants as osConstants } from 'node:os';
import { messageOf } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import { identifyProcess, isSameProcess, type ProcessIdentity } from '../../base/process.ts';
import { Cgroups, type Cgroup } from './cgroups.ts';
import {
  StartError,
  type ContainerHandle,
  type ContainerSpec,
  type ContainerStats,
  type Driver,
  type ExecOptions,
  type ExecResult,
  type ExitStatus,
  type Sandbox,
  type SandboxSpec,
} from './driver.ts';
import { runToEnd } from './exec.ts';
import { makeHostCommand, type HostCommand } from './host-command.ts';
import { PortAllocator } from './ports.ts';

/** How often the end of a process that is not our child is looked for, ms. */
const adoptedPollMs = 250;
const loopback = '127.0.0.1';

interface SavedSandbox {
  readonly ports: readonly (readonly [number, number])[];
}

interface SavedProcess {
  readonly process: ProcessIdentity | undefined;
  readonly command: HostCommand;
  readonly rootfs: string;
}

export interface ProcessDriverOptions {
  /** Names this data directory: groups of several Knapsacks on one machine stay apart. */
  readonly tag: string;
  readonly reason: string;
  /** PATH for commands that the image does not bring. */
  readonly hostPath: string;
}

export class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly reason: string;
  readonly runtimeVersion = `process://${process.versions.node}`;
  readonly hostAddress = loopback;
  readonly #ports = new PortAllocator();
  readonly #cgroups: Cgroups | undefined;
  readonly #hostPath: string;

  constructor(options: ProcessDriverOptions) {
    this.#cgroups = process.geteuid?.() === 0 ? Cgroups.open(options.tag) : undefined;
    const limits = this.#cgroups
      ? 'memory and CPU limits hold'
      : 'memory and CPU limits are not enforced (they need root on Linux)';
    this.reason = `${options.reason}; pods are plain processes: files, network, users and processes of this machine are not isolated, ${limits}`;
    this.#hostPath = options.hostPath;
  }

  async createSandbox(spec: SandboxSpec): Promise<Sandbox> {
    if (spec.hostNetwork) return sandboxOf(spec, []);
    const ports = await Promise.all(
      [...new Set(spec.ports)].map(async (port) => [port, await this.#ports.allocate()] as const),
    );
    return sandboxOf(spec, ports);
  }

  adoptSandbox(spec: SandboxSpec, state: Json): Promise<Sandbox | undefined> {
    const { ports } = state as unknown as SavedSandbox;
    for (const [, port] of ports) this.#ports.reserve(port);
    return Promise.resolve(sandboxOf(spec, ports));
  }

  removeSandbox(sandbox: Sandbox): Promise<void> {
    for (const port of sandbox.portMap?.values() ?? []) this.#ports.release(port);
    return Promise.resolve();
  }

  start(sandbox: Sandbox, spec: ContainerSpec): ContainerHandle {
    // Joining control groups costs a start some 15 ms on version 1, so only a container that is limited pays for it.
    const { memoryBytes, cpuMillis } = spec.limits;
    const isLimited = memoryBytes !== undefined || cpuMillis !== undefined;
    const group = isLimited ? this.#cgroups?.group(spec.id) : undefined;
    return new ChildContainer(spec, sandbox.portMap ?? new Map(), group, this.#hostPath);
  }

  adopt(id: string, state: Json): ContainerHandle {
    return new AdoptedContainer(id, state as unknown as SavedProcess, this.#cgroups?.group(id));
  }

  async sweep(livePodUids: ReadonlySet<string>): Promise<void> {
    for (const name of this.#cgroups?.list() ?? []) {
      if (!livePodUids.has(name.split('_')[0] ?? '')) await this.#cgroups?.group(name).destroy();
    }
  }

  close(everything: boolean): Promise<void> {
    if (everything) this.#cgroups?.close();
    return Promise.resolve();
  }
}

function sandboxOf(spec: SandboxSpec, ports: SavedSandbox['ports']): Sandbox {
  const state = { ports } as unknown as Json;
  return { spec, ip: loopback, portMap: ports.length > 0 ? new Map(ports) : undefined, state };
}

/** Signals a process group; gone is fine. */
function signalGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch {
    // The group has ended.
  }
}

function statsOf(group: Cgroup | undefined): Promise<ContainerStats | undefined> {
  return Promise.resolve(group?.stats());
}

async function execIn(
  saved: SavedProcess,
  ports: ReadonlyMap<number, number>,
  path: string,
  command: readonly string[],
  options: ExecOptions,
): Promise<ExecResult> {
  // The environment is the host's already; only the program has to be found, in the image or on the host.
  const spec = {
    rootfs: saved.rootfs,
    command,
    env: new Map(Object.entries(saved.command.env)),
    cwd: '/',
    mounts: [],
    terminationMessage: { source: '', destination: '/dev/termination-log' },
  };
  const { file, args } = makeHostCommand(spec, ports, hostOf(path));
  return runToEnd(file, args, { ...options, cwd: saved.command.cwd, env: saved.command.env });
}

function hostOf(path: string) {
  return { execPath: process.execPath, path, platform: process.platform };
}

class ChildContainer implements ContainerHandle {
  readonly id: string;
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #group: Cgroup | undefined;
  readonly #rootfs: string;
  readonly #path: string;
  #child: ChildProcess | undefined;
  #command: HostCommand | undefined;
  #identity: ProcessIdentity | undefined;

  constructor(
    spec: ContainerSpec,
    ports: ReadonlyMap<number, number>,
    group: Cgroup | undefined,
    path: string,
  ) {
    this.id = spec.id;
    this.#group = group;
    this.#rootfs = spec.rootfs;
    this.#path = path;
    const exited = Promise.withResolvers<ExitStatus>();
    const started = Promise.withResolvers<void>();
    this.exited = exited.promise;
    this.started = started.promise;
    try {
      const child = this.#spawn(spec, ports);
      child.once('spawn', () => started.resolve());
      child.once('error', (error) => started.reject(new StartError(messageOf(error), { cause: error })));
      child.once('exit', (code, signal) => {
        // What the main process leaves behind ends with it, as in a container.
        this.#killAll();
        const number = signal === null ? undefined : osConstants.signals[signal];
        const oomKilled = this.#group?.oomKilled() ?? false;
        exited.resolve({ exitCode: code ?? 128 + (number ?? 0), signal: number, oomKilled });
      });
    } catch (error) {
      started.reject(
        error instanceof StartError ? error : new StartError(messageOf(error), { cause: error }),
      );
    }
  }

  #spawn(spec: ContainerSpec, ports: ReadonlyMap<number, number>): ChildProcess {
    const command = makeHostCommand(spec, ports, hostOf(this.#path));
    this.#command = command;
    const log = openSync(spec.logPath, 'a', 0o640);
    try {
      this.#group?.create(spec.limits);
      const user = this.#user(spec, command);
      const child = spawn(command.file, command.args, {
        cwd: command.cwd,
        env: command.env,
        stdio: ['ignore', log, log],
        // Its own group, so that what it starts ends with it, and no signal of the terminal reaches it.
        detached: true,
        ...user,
      });
      this.#child = child;
      if (child.pid !== undefined) {
        this.#group?.add(child.pid);
        this.#identity = identifyProcess(child.pid);
      }
      return child;
    } finally {
      closeSync(log);
    }
  }

  /**
   * Only root can become somebody else; and a user who cannot even reach the files (a data directory below /root, say)
   * could not run them, so such a pod runs as root, as this driver does without an image user.
   */
  #user(spec: ContainerSpec, command: HostCommand): { uid: number; gid: number } | undefined {
    if (process.geteuid?.() !== 0 || !spec.user) return undefined;
    const reachable = isOpenToOthers(spec.rootfs) && isOpenToOthers(dirname(command.file));
    return reachable ? { uid: spec.user.uid, gid: spec.user.gid } : undefined;
  }

  get state(): Json {
    const saved: SavedProcess = {
      process: this.#identity,
      command: this.#command ?? { file: '', args: [], env: {}, cwd: '/' },
      rootfs: this.#rootfs,
    };
    return saved as unknown as Json;
  }

  #killAll(): void {
    if (this.#child?.pid !== undefined) signalGroup(this.#child.pid, 'SIGKILL');
    this.#group?.kill();
  }

  signal(name: NodeJS.Signals): void {
    const { exitCode, signalCode, pid } = this.#child ?? {};
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    if (name === 'SIGKILL') this.#killAll();
    else signalGroup(pid, name);
  }

  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return execIn(this.state as unknown as SavedProcess, new Map(), this.#path, command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return statsOf(this.#group);
  }

  async remove(): Promise<void> {
    await this.#group?.destroy();
  }
}

/** A process that an earlier agent started: not our child, so its end is looked for and its exit code is unknown. */
class AdoptedContainer implements ContainerHandle {
  readonly id: string;
  readonly started = Promise.resolve();
  readonly exited: Promise<ExitStatus>;
  readonly state: Json;
  readonly #saved: SavedProcess;
  readonly #group: Cgroup | undefined;

  constructor(id: string, saved: SavedProcess, group: Cgroup | undefined) {
    this.id = id;
    this.#saved = saved;
    this.state = saved as unknown as Json;
    this.#group = group;
    this.exited = new Promise((resolve) => {
      const look = (): void => {
        if (this.#alive()) {
          setTimeout(look, adoptedPollMs).unref();
          return;
        }
        this.#group?.kill();
        resolve({ exitCode: undefined, signal: undefined, oomKilled: this.#group?.oomKilled() ?? false });
      };
      look();
    });
  }

  #alive(): boolean {
    return this.#saved.process !== undefined && isSameProcess(this.#saved.process);
  }

  signal(name: NodeJS.Signals): void {
    if (!this.#saved.process || !this.#alive()) return;
    signalGroup(this.#saved.process.pid, name);
    if (name === 'SIGKILL') this.#group?.kill();
  }

  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return execIn(this.#saved, new Map(), process.env['PATH'] ?? '', command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return statsOf(this.#group);
  }

  async remove(): Promise<void> {
    this.signal('SIGKILL');
    await this.#group?.destroy();
  }
}

/** True when every folder on the way to and including `directory` may be passed by any user. */
function isOpenToOthers(directory: string): boolean {
  const mode = statSync(directory, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o001) === 0) return false;
  const parent = dirname(directory);
  return parent === directory || isOpenToOthers(parent);
}
