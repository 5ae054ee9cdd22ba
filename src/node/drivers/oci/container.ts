/** A container that a shell runs with crun or runc, followed through the files that the shell leaves. */
import { readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Json } from '../../../base/json.ts';
import { identifyProcess, isSameProcess, type ProcessIdentity } from '../../../base/process.ts';
import type { Cgroup } from '../cgroups.ts';
import { containerTerminalPath } from '../../streams/terminal.ts';
import type { Command } from '../../../kube/server/pod-streams/source.ts';
import {
  StartError,
  type CommandOptions,
  type ContainerHandle,
  type ContainerStats,
  type ExecOptions,
  type ExecResult,
  type ExitStatus,
} from '../driver.ts';
import type { OciRuntime } from './runtime.ts';
import type { RunDir } from '../run-dir.ts';

/** What is kept of a container across a restart of the agent. */
interface SavedContainer {
  /** Absent when the agent died before the container ran. */
  readonly process?: ProcessIdentity;
  /** The container's own directory: bundle, root and layer. */
  readonly dir: string;
}

/** When to look whether a signal fell on deaf ears, ms after it was sent. */
const defaultActionChecksMs = [20, 200, 1000];

export class OciContainer implements ContainerHandle {
  readonly id: string;
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #runtime: OciRuntime;
  readonly #runDir: RunDir;
  readonly #group: Cgroup;
  readonly #dir: string;
  readonly #start = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<ExitStatus>();
  readonly #unsubscribe: () => void;
  #process: ProcessIdentity | undefined;
  #hasStarted = false;
  #hasEnded = false;
  #killed = false;
  /** Number of the signal whose default action SIGKILL stood in for. */
  #defaultAction: number | undefined;
  /** Looks in a row at which the process was gone without word of its end. */
  #missing = 0;

  constructor(
    parts: { id: string; dir: string; runtime: OciRuntime; runDir: RunDir; group: Cgroup },
    adopted?: Json,
  ) {
    this.id = parts.id;
    this.#dir = parts.dir;
    this.#runtime = parts.runtime;
    this.#runDir = parts.runDir;
    this.#group = parts.group;
    this.started = this.#start.promise;
    this.exited = this.#exit.promise;
    this.#unsubscribe = this.#runDir.onChange(this.id, () => this.#look());
    if (adopted === undefined) return;
    this.#process = (adopted as unknown as SavedContainer).process;
    this.#begin();
    // A container whose record lacks its process may have come up after the record was written.
    if (!this.#process) this.#readPid();
    this.#look();
    this.#lookForLost();
  }

  get state(): Json {
    const saved: SavedContainer = { dir: this.#dir, ...(this.#process ? { process: this.#process } : {}) };
    return saved as unknown as Json;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  terminal(): string | undefined {
    return this.#process && containerTerminalPath(this.#process.pid);
  }

  #begin(): void {
    this.#hasStarted = true;
    this.#start.resolve();
  }

  #readPid(): void {
    const pid = this.#runDir.number(this.id, 'pid');
    if (pid !== undefined) this.#process = identifyProcess(pid);
  }

  #look(): void {
    if (this.#hasEnded) return;
    const code = this.#runDir.number(this.id, 'exit');
    if (code !== undefined) return this.#ended(code);
    if (!this.#hasStarted) {
      this.#readPid();
      if (!this.#process) return;
      this.#begin();
      if (this.#killed) this.signal('SIGKILL');
    }
    this.#lookForLost();
  }

  /** The shell that would tell the end may itself have been killed. */
  #lookForLost(): void {
    if (this.#hasEnded) return;
    const lost = this.#process === undefined || !isSameProcess(this.#process);
    this.#missing = lost ? this.#missing + 1 : 0;
    if (this.#missing > 3) this.#ended(undefined);
  }

  #ended(seen: number | undefined): void {
    this.#hasEnded = true;
    this.#unsubscribe();
    const failure = this.#runtime.startFailure(this.#runDir.file(this.id, 'log'));
    if (failure !== undefined && !this.#hasStarted) {
      this.#start.reject(new StartError(failure));
      return;
    }
    if (!this.#hasStarted) this.#begin();
    const code =
      seen === 128 + constants.signals.SIGKILL && this.#defaultAction ? 128 + this.#defaultAction : seen;
    const signal = code !== undefined && code > 128 && code < 160 ? code - 128 : undefined;
    const oomKilled =
      this.#group.oomKilled() || (code === 137 && !this.#killed && this.#group.hitMemoryLimit());
    this.#exit.resolve({
      exitCode: code,
      signal,
      oomKilled,
      ...(failure === undefined ? {} : { startFailure: failure }),
    });
  }

  signal(name: NodeJS.Signals): void {
    if (name === 'SIGKILL') {
      // A second one is for what the first did not reach.
      if (this.#killed) this.#group.kill();
      this.#killed = true;
    }
    if (this.#hasEnded || !this.#process || !isSameProcess(this.#process)) return;
    try {
      process.kill(this.#process.pid, name);
    } catch {
      return; // It has ended meanwhile.
    }
    if (name !== 'SIGKILL') this.#standInForDefault(name);
  }

  /**
   * The kernel keeps signals without a handler from the first process of a PID namespace, where they would end any other
   * process at once. Node.js is such an app: its own handler restores the terminal, resets itself and raises the signal
   * again, in vain. Nobody is served by waiting for such a process until its grace period is over, so SIGKILL does what
   * the default action would have done.
   */
  #standInForDefault(name: NodeJS.Signals): void {
    for (const delayMs of defaultActionChecksMs) {
      setTimeout(() => {
        if (this.#hasEnded || !this.#process || !isSameProcess(this.#process)) return;
        if (!defaultActionApplies(this.#process.pid, name)) return;
        this.#defaultAction = constants.signals[name];
        process.kill(this.#process.pid, 'SIGKILL');
      }, delayMs).unref();
    }
  }

  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return this.#runtime.exec(this.id, this.#group, command, options);
  }

  open(command: readonly string[], options: CommandOptions): Promise<Command> {
    const { id } = this;
    return this.#runtime.open({ id, bundle: this.#dir, group: this.#group }, command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return Promise.resolve(this.#group.stats());
  }

  async remove(): Promise<void> {
    this.#unsubscribe();
    await this.#group.destroy();
    await this.#runtime.forget(this.id, join(this.#dir, 'rootfs'));
    this.#runDir.forget(this.id);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** True when the process neither handles nor ignores the signal (proc(5): SigCgt, SigIgn). */
function defaultActionApplies(pid: number, name: NodeJS.Signals): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const bit = 1n << BigInt(constants.signals[name] - 1);
    const has = (mask: 'SigCgt' | 'SigIgn'): boolean => {
      const hex = new RegExp(`^${mask}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0';
      return (BigInt(`0x${hex}`) & bit) !== 0n;
    };
    return !has('SigCgt') && !has('SigIgn');
  } catch {
    return false;
  }
}
