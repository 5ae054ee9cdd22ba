/** Containers of the process driver that this process spawned, or that it found running. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { messageOf } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import { identifyProcess, isSameProcess, type ProcessIdentity } from '../../base/process.ts';
import { findTerminalPrograms, inTerminal, noTerminal, terminalPath } from '../streams/terminal.ts';
import type { Cgroup } from './cgroups.ts';
import type { Command } from '../../kube/server/pod-streams/source.ts';
import {
  StartError,
  type CommandOptions,
  type ContainerHandle,
  type ContainerSpec,
  type ContainerStats,
  type ExecOptions,
  type ExecResult,
  type ExitStatus,
} from './driver.ts';
import type { HostCommand } from './host-command.ts';
import { ProcessCommands, type Surroundings } from './process-commands.ts';
import { processGroupStats } from './process-stats.ts';
import type { RunDir } from './run-dir.ts';
import { quote } from './shell.ts';

/** How often the end of a process that is not our child is looked for, ms. */
const adoptedPollMs = 250;
/** How often what runs in a new terminal is looked for, ms. */
const innerPollMs = 5;

/** What is kept of a container across a restart of the agent. */
export interface SavedProcess extends Surroundings {
  readonly process: ProcessIdentity | undefined;
}

/** A container's command as it runs on this machine. */
export interface Launch {
  readonly spec: ContainerSpec;
  readonly command: HostCommand;
  /** Undefined: as the user of this process. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** Undefined: no limits to hold. */
  readonly group: Cgroup | undefined;
  /** PATH of the host. */
  readonly path: string;
}

/** Signals a process group. False when there is none (any more). */
export function signalGroup(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(-pid, name);
  } catch {
    return false;
  }
}

/** `leader`: the main process, which leads the container's process group. */
export async function statsOf(
  group: Cgroup | undefined,
  leader: ProcessIdentity | undefined,
): Promise<ContainerStats | undefined> {
  if (group) return group.stats();
  return leader && isSameProcess(leader) ? processGroupStats(leader.pid) : undefined;
}

export function stateOf(launch: Launch, process: ProcessIdentity | undefined): Json {
  const saved: SavedProcess = { process, ...surroundingsOf(launch) };
  return saved as unknown as Json;
}

function surroundingsOf({ command, spec, user }: Launch): Surroundings {
  return { command, rootfs: spec.rootfs, mounts: spec.mounts, user };
}

/** Commands beside a container's own. */
export function commandsOf(launch: Launch): ProcessCommands {
  return new ProcessCommands(surroundingsOf(launch), launch.path, launch.group);
}

export function hostOf(path: string) {
  return { execPath: process.execPath, path, platform: process.platform };
}

/** The end that a shell tells: 128 + its number for a signal. Undefined when nobody saw it. */
export function endOf(code: number | undefined, group: Cgroup | undefined): ExitStatus {
  const signal = code !== undefined && code > 128 && code < 160 ? code - 128 : undefined;
  return { exitCode: code, signal, oomKilled: group?.oomKilled() ?? false };
}

/** A container that this process spawns: it works everywhere, and copies this process's page tables first. */
export class ChildContainer implements ContainerHandle {
  readonly id: string;
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #launch: Launch;
  readonly #commands: ProcessCommands;
  #child: ChildProcess | undefined;
  #identity: ProcessIdentity | undefined;
  #hasEnded = false;

  constructor(launch: Launch) {
    this.id = launch.spec.id;
    this.#launch = launch;
    this.#commands = commandsOf(launch);
    const exited = Promise.withResolvers<ExitStatus>();
    const started = Promise.withResolvers<void>();
    this.exited = exited.promise;
    this.started = started.promise;
    try {
      const child = this.#spawn(launch);
      child.once('spawn', () => {
        if (launch.spec.tty) this.#lookForInner(() => started.resolve());
        else started.resolve();
      });
      child.once('error', (error) => started.reject(new StartError(messageOf(error), { cause: error })));
      child.once('exit', (code, signal) => {
        // What the main process leaves behind ends with it, as in a container.
        this.#killAll();
        this.#commands.end();
        this.#hasEnded = true;
        const number = signal === null ? undefined : osConstants.signals[signal];
        const oomKilled = launch.group?.oomKilled() ?? false;
        exited.resolve({ exitCode: code ?? 128 + (number ?? 0), signal: number, oomKilled });
      });
    } catch (error) {
      started.reject(new StartError(messageOf(error), { cause: error }));
    }
  }

  #spawn({ spec, command, user, group, path }: Launch): ChildProcess {
    const line = spec.tty ? terminalLine(command, path) : [command.file, ...command.args];
    const [file = '', ...args] = line;
    const log = openSync(spec.logPath, 'a', 0o640);
    const stdin = spec.stdin === undefined ? undefined : openSync(spec.stdin, 'r');
    const inner = spec.tty ? openSync(innerPidFile(spec), 'w', 0o640) : undefined;
    try {
      group?.create(spec.limits);
      const child = spawn(file, args, {
        cwd: command.cwd,
        env: spec.tty ? { TERM: 'xterm', ...command.env, SHELL: '/bin/sh' } : command.env,
        stdio: [stdin ?? 'ignore', log, log, ...(inner === undefined ? [] : [inner])],
        // Its own group, so that what it starts ends with it, and no signal of the terminal reaches it.
        detached: true,
        ...user,
      });
      this.#child = child;
      if (child.pid !== undefined) {
        group?.add(child.pid);
        this.#identity = identifyProcess(child.pid);
      }
      return child;
    } finally {
      for (const file of [log, stdin, inner]) if (file !== undefined) closeSync(file);
    }
  }

  /** In a terminal, the container is what runs in it, not the one that relays. */
  #lookForInner(found: () => void): void {
    const pid = readNumber(innerPidFile(this.#launch.spec));
    if (pid === undefined && !this.#hasEnded) {
      setTimeout(() => this.#lookForInner(found), innerPollMs);
      return;
    }
    if (pid !== undefined) this.#identity = identifyProcess(pid) ?? this.#identity;
    found();
  }

  get pid(): number | undefined {
    return this.#identity?.pid;
  }

  terminal(): string | undefined {
    return this.pid === undefined ? undefined : terminalPath(this.pid);
  }

  get state(): Json {
    return stateOf(this.#launch, this.#identity);
  }

  #killAll(): void {
    for (const pid of [this.#identity?.pid, this.#child?.pid]) {
      if (pid !== undefined) signalGroup(pid, 'SIGKILL');
    }
    this.#launch.group?.kill();
  }

  signal(name: NodeJS.Signals): void {
    const { exitCode, signalCode, pid } = this.#child ?? {};
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    if (name === 'SIGKILL') this.#killAll();
    else signalGroup(this.#identity?.pid ?? pid, name);
  }

  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return this.#commands.exec(command, options);
  }

  open(command: readonly string[], options: CommandOptions): Promise<Command> {
    return this.#commands.open(command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return statsOf(this.#launch.group, this.#identity);
  }

  async remove(): Promise<void> {
    await this.#launch.group?.destroy();
  }
}

/** Where the process in a container's terminal is told. */
function innerPidFile({ logPath }: ContainerSpec): string {
  return `${logPath}.pid`;
}

function terminalLine({ file, args }: HostCommand, path: string): string[] {
  const programs = findTerminalPrograms(path);
  if (!programs) throw new StartError(noTerminal);
  const command = `echo $$ >&3; exec 3>&-; exec ${[file, ...args].map(quote).join(' ')}`;
  return inTerminal(programs, command, { nameTo: '/dev/null', raw: false, size: undefined });
}

function readNumber(file: string): number | undefined {
  const text = readFileSync(file, 'latin1').trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** A process that an earlier agent started: not our child, so its end is looked for. */
export class AdoptedContainer implements ContainerHandle {
  readonly id: string;
  readonly started = Promise.resolve();
  readonly exited: Promise<ExitStatus>;
  readonly state: Json;
  readonly #saved: SavedProcess;
  readonly #commands: ProcessCommands;
  readonly #group: Cgroup | undefined;
  readonly #word: RunDir | undefined;

  /** `word`: what a shell may have left about the container, when one was there. */
  constructor(id: string, state: SavedProcess, group: Cgroup | undefined, word?: RunDir) {
    this.id = id;
    // A container whose record lacks its process may have come up after the record was written.
    const pid = state.process ? undefined : word?.number(id, 'pid');
    const saved = pid === undefined ? state : { ...state, process: identifyProcess(pid) };
    this.#saved = saved;
    this.#word = word;
    this.state = saved as unknown as Json;
    this.#group = group;
    this.#commands = new ProcessCommands(saved, process.env['PATH'] ?? '', group);
    this.exited = new Promise((resolve) => {
      let missing = 0;
      const look = (): void => {
        const code = word?.number(id, 'exit');
        if (!this.#alive()) missing++;
        // The shell writes a moment after the end; a process that this one's predecessor spawned leaves no word.
        const wait = word?.number(id, 'pid') === undefined ? 1 : 2;
        if (code === undefined && missing < wait) {
          setTimeout(look, adoptedPollMs).unref();
          return;
        }
        this.#group?.kill();
        this.#commands.end();
        resolve(endOf(code, this.#group));
      };
      look();
    });
  }

  get pid(): number | undefined {
    return this.#saved.process?.pid;
  }

  terminal(): string | undefined {
    return this.pid === undefined ? undefined : terminalPath(this.pid);
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
    return this.#commands.exec(command, options);
  }

  open(command: readonly string[], options: CommandOptions): Promise<Command> {
    return this.#commands.open(command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return statsOf(this.#group, this.#saved.process);
  }

  async remove(): Promise<void> {
    this.signal('SIGKILL');
    await this.#group?.destroy();
    this.#word?.forget(this.id);
  }
}
