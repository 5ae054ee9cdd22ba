/** Commands beside the main process of a container of the process driver: probes, hooks, and what users exec. */
import { basename } from 'node:path';
import { systemCode } from '../../base/errors.ts';
import type { Command } from '../../kube/server/pod-streams/source.ts';
import { startChildCommand } from '../streams/child-command.ts';
import { findTerminalPrograms } from '../streams/terminal.ts';
import type { Cgroup } from './cgroups.ts';
import type { CommandOptions, ContainerMount, ExecOptions, ExecResult } from './driver.ts';
import { runToEnd } from './exec.ts';
import { makeHostCommand, type HostCommand } from './host-command.ts';

/** What commands share with the container's own. */
export interface Surroundings {
  readonly command: HostCommand;
  readonly rootfs: string;
  readonly mounts: readonly ContainerMount[];
  /** Undefined: the user of this process. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
}

export class ProcessCommands {
  readonly #of: Surroundings;
  readonly #path: string;
  readonly #group: Cgroup | undefined;
  readonly #running = new Set<number>();
  #hasEnded = false;

  /** `path`: PATH of the host. `group`: the container's limits, if it has any. */
  constructor(of: Surroundings, path: string, group: Cgroup | undefined) {
    this.#of = of;
    this.#path = path;
    this.#group = group;
  }

  async exec(words: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return runToEnd(...this.#line(words), { ...options, ...this.#place(), ...this.#of.user });
  }

  async open(words: readonly string[], options: CommandOptions): Promise<Command> {
    const [file, args] = this.#line(words);
    let pid = 0;
    const command = await startChildCommand(
      {
        file,
        args,
        ...this.#place(),
        user: this.#of.user,
        relayedTerminal: undefined,
        spawned: (number) => {
          pid = number;
          this.#running.add(pid);
          this.#join(pid);
        },
        failure: () => undefined,
        over: () => this.#running.delete(pid),
      },
      options,
      findTerminalPrograms(this.#path),
    );
    if (this.#hasEnded) this.end();
    return command;
  }

  /** The container has ended, and so do they. */
  end(): void {
    this.#hasEnded = true;
    for (const pid of this.#running) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  #join(pid: number): void {
    try {
      this.#group?.add(pid);
    } catch (error) {
      // An adopted container without limits has no group, or the command has ended already.
      if (!['ENOENT', 'ESRCH'].includes(systemCode(error) ?? '')) throw error;
    }
  }

  #place() {
    const { cwd, env } = this.#of.command;
    return { cwd, env };
  }

  /** The environment is the host's already; only the program has to be found, in the image or on the host. */
  #line(command: readonly string[]): [string, readonly string[]] {
    const { rootfs, mounts } = this.#of;
    const spec = {
      rootfs,
      command,
      env: new Map(Object.entries(this.#of.command.env)),
      cwd: '/',
      mounts,
      terminationMessage: { source: '', destination: '/dev/termination-log' },
    };
    const host = { execPath: process.execPath, path: this.#path, platform: process.platform };
    const { file, args } = makeHostCommand(spec, new Map(), host);
    return [file, basename(file) === 'tar' ? [...renamings(command.slice(1), args), ...args] : args];
  }
}

/**
 * `kubectl cp` reads what tar packs, and expects the paths that it asked for, not those of the host that stand in for
 * them. Options of GNU tar.
 */
function renamings(asked: readonly string[], given: readonly string[]): string[] {
  return asked.flatMap((path, i) => {
    const host = given[i];
    if (host === undefined || host === path || !path.startsWith('/') || !host.startsWith('/')) return [];
    const pattern = host.slice(1).replace(/[.*[\]^$\\|]/g, String.raw`\$&`);
    const replacement = path.slice(1).replace(/[&\\|]/g, String.raw`\$&`);
    return [`--transform=flags=r;s|^${pattern}|${replacement}|`];
  });
}
