/** crun or runc, run through shells in a mount namespace of their own. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../cgroups.ts';
import type { Command } from '../../../kube/server/pod-streams/source.ts';
import { startChildCommand } from '../../streams/child-command.ts';
import {
  findTerminalPrograms,
  inTerminal,
  noTerminal,
  containerTerminalPath,
  type TerminalPrograms,
} from '../../streams/terminal.ts';
import type { CommandOptions, ExecOptions, ExecResult } from '../driver.ts';
import { openInput, quote, type Shell } from '../shell.ts';
import { namespaceSetup } from './detect.ts';
import type { SubPaths } from './sub-paths.ts';

export interface RuntimeProgram {
  readonly name: 'crun' | 'runc';
  readonly path: string;
  readonly version: string;
}

export interface LaunchOptions {
  readonly id: string;
  readonly bundle: string;
  readonly lower: string;
  readonly upper: string;
  readonly work: string;
  readonly rootfs: string;
  readonly subPaths: Pick<SubPaths, 'mountCommands' | 'unmountCommands'>;
  readonly group: Cgroup;
  /** A named pipe, or undefined for no input. */
  readonly stdin: string | undefined;
  readonly tty: boolean;
  readonly logPath: string;
  readonly pidFile: string;
  readonly exitFile: string;
  readonly runtimeLog: string;
}

/** Most of a command's output that is kept, bytes. */
const maxExecOutput = 64 * 1024;
/** How long the end of a command's output is waited for once its time is up, seconds. */
const pipeGraceSeconds = 0.5;

/** Escapes a path for an overlay mount option. */
function overlayPath(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}

export class OciRuntime {
  readonly program: RuntimeProgram;
  readonly #shell: Shell;
  readonly #root: string;
  readonly #tmp: string;
  readonly #terminals: TerminalPrograms | undefined;
  #next = 0;

  /** `root`: where the runtime keeps its state. `tmp`: for output of commands. */
  constructor(program: RuntimeProgram, shell: Shell, root: string, tmp: string) {
    this.program = program;
    this.#shell = shell;
    this.#root = root;
    this.#tmp = tmp;
    this.#terminals = findTerminalPrograms(process.env['PATH'] ?? '');
  }

  /**
   * crun joins the group that is there already and leaves it alone, which halves its work; runc always makes its own, so
   * it gets a place inside.
   */
  cgroupsPath(group: Cgroup): string | undefined {
    return this.program.name === 'runc' ? `${group.path}/runc` : undefined;
  }

  #base(log: string): string {
    const options = ['--root', this.#root, '--log', log, '--log-format', 'json'];
    if (this.program.name === 'crun') options.push('--cgroup-manager=disabled');
    return [this.program.path, ...options].map(quote).join(' ');
  }

  #join(group: Cgroup): string {
    if (this.program.name === 'runc') return ':';
    return group.joinFiles.map((file) => `echo 0 >${quote(file)}`).join(' && ');
  }

  /** Mounts, runs to the end, writes the exit code, unmounts: also when Knapsack is no longer there. */
  launch(options: LaunchOptions): void {
    const { id, bundle, rootfs, group } = options;
    const layers = [
      `lowerdir=${overlayPath(options.lower)}`,
      `upperdir=${overlayPath(options.upper)}`,
      `workdir=${overlayPath(options.work)}`,
    ].join(',');
    const run = `exec ${this.#base(options.runtimeLog)} run --bundle ${quote(bundle)} --pid-file ${quote(options.pidFile)} ${quote(id)}`;
    const input = options.stdin === undefined ? ':' : openInput(options.stdin);
    const mounts = [
      `mount -t overlay overlay -o ${quote(layers)} ${quote(rootfs)}`,
      ...options.subPaths.mountCommands,
    ].join(' && ');
    const unmounts = [...options.subPaths.unmountCommands, `umount -l ${quote(rootfs)}`].join('; ');
    this.#shell.launch(
      [
        `exec >>${quote(options.runtimeLog)} 2>&1 </dev/null`,
        `if ${mounts}`,
        `then ( ${this.#join(group)} && ${input} && ${this.#inTerminal(options.tty, run)} >>${quote(options.logPath)} 2>&1 ); code=$?; ${unmounts}`,
        `else code=128; { ${unmounts}; } 2>/dev/null; fi`,
        `echo $code >${quote(options.exitFile)}`,
      ].join('; '),
    );
  }

  /** A runtime relays between its own terminal, which `script` opens, and one that it opens in the container. */
  #inTerminal(tty: boolean, run: string): string {
    if (!tty) return run;
    if (!this.#terminals) return `echo ${quote(`error: ${noTerminal}`)} >&2; exit 128; :`;
    const line = inTerminal(this.#terminals, run, { nameTo: '/dev/null', raw: true, size: undefined });
    return `exec env SHELL=/bin/sh ${line.map(quote).join(' ')}`;
  }

  /** What the runtime said about a container that it could not start; undefined when it said nothing. */
  startFailure(log: string): string | undefined {
    const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0;
    if (size === 0) return undefined;
    const lines = readFileSync(log, 'utf8')
      .slice(0, 16 * 1024)
      .trim()
      .split('\n');
    const errors = lines.flatMap((line) => {
      try {
        const entry = JSON.parse(line) as { level?: string; msg?: string };
        return entry.level === 'error' && entry.msg ? [entry.msg] : [];
      } catch {
        // From mount or the shell, which also tells that the runtime was killed: that is no fault of a start.
        return line.startsWith('{') || /\bKilled\b/.test(line) ? [] : [line];
      }
    });
    return errors.length > 0 ? [...new Set(errors.map(withoutColours))].join('; ') : undefined;
  }

  async exec(
    id: string,
    group: Cgroup,
    command: readonly string[],
    options: ExecOptions,
  ): Promise<ExecResult> {
    const files = join(this.#tmp, `exec-${process.pid}-${this.#next++}`);
    const [codeFile, pidFile] = [`${files}.code`, `${files}.pid`];
    const seconds = Math.max(0.001, options.timeoutMs / 1000);
    const exec = `${this.#base('/dev/null')} exec --pid-file ${quote(pidFile)} ${quote(id)} ${command.map(quote).join(' ')}`;
    const timed = `( ${this.#join(group)} && exec timeout -s KILL ${seconds} ${exec} ); code=$?`;
    // The runtime dies without what it started in the container, which would stay there, one more for each probe.
    const kill = `[ $code != 137 ] || { pid=$(cat ${quote(pidFile)}); kill -s KILL -- -$pid $pid; } 2>/dev/null`;
    // What is beyond the cap is read all the same: nobody ends for talking much. And nobody who keeps the pipe open, in
    // the background of the container, holds this up for longer than the command might have taken.
    const capped = `timeout -s KILL ${seconds + pipeGraceSeconds} sh -c ${quote(`head -c ${maxExecOutput}; exec cat >/dev/null`)}`;
    const script = `{ ${timed}; ${kill}; echo $code >${quote(codeFile)}; } 2>&1 | ${capped}`;
    const begun = performance.now();
    const { output } = await this.#shell.run(script, true);
    const code = existsSync(codeFile) ? Number(readFileSync(codeFile, 'latin1').trim()) : 137;
    for (const file of [codeFile, pidFile]) rmSync(file, { force: true });
    const timedOut = code === 137 && performance.now() - begun >= options.timeoutMs;
    return { exitCode: timedOut ? undefined : code, output };
  }

  /**
   * Starts a command with streams, in the surroundings of the container's own process as its bundle has them. Through a
   * shell of its own, whose descriptors are the streams. With a terminal: the runtime opens one inside the container, and
   * relays between it and one that `script` opens here.
   */
  open(
    { id, bundle, group }: { readonly id: string; readonly bundle: string; readonly group: Cgroup },
    command: readonly string[],
    options: CommandOptions,
  ): Promise<Command> {
    const files = join(this.#tmp, `open-${process.pid}-${this.#next++}`);
    const [log, spec, pidFile] = [`${files}.log`, `${files}.json`, `${files}.pid`];
    writeFileSync(spec, JSON.stringify(processOf(bundle, command, options)), { mode: 0o600 });
    const exec = `exec ${this.#base(log)} exec --process ${quote(spec)} --pid-file ${quote(pidFile)} ${quote(id)}`;
    return startChildCommand(
      {
        file: 'unshare',
        args: ['-m', 'sh', '-c', `${namespaceSetup()}; ${this.#join(group)} && ${exec}`],
        cwd: '/',
        env: process.env,
        user: undefined,
        relayedTerminal: () => terminalOf(pidFile),
        spawned: () => undefined,
        failure: () => this.startFailure(log),
        over: () => {
          for (const file of [log, spec, pidFile]) rmSync(file, { force: true });
        },
      },
      options,
      this.#terminals,
    );
  }

  /**
   * Forgets containers that are not live. Their groups are gone: by a restart of the machine, which knows nothing of what
   * the runtime kept of them.
   */
  sweep(isLive: (id: string) => boolean): void {
    if (!existsSync(this.#root)) return;
    for (const id of readdirSync(this.#root)) {
      if (!isLive(id)) rmSync(join(this.#root, id), { recursive: true, force: true });
    }
  }

  /** Removes what the runtime keeps of a container that has ended, and a mount that its shell could not remove. */
  async forget(id: string, rootfs: string): Promise<void> {
    if (existsSync(join(this.#root, id))) {
      await this.#shell.run(
        `${this.#base('/dev/null')} delete -f ${quote(id)} || rm -rf ${quote(join(this.#root, id))}`,
      );
    }
    if (existsSync(rootfs)) await this.#shell.run(`umount -l ${quote(rootfs)} 2>/dev/null || :`);
  }
}

/** What the runtime is told about another process in a container (runtime-spec, `process`). */
function processOf(
  bundle: string,
  command: readonly string[],
  { tty: terminal, size }: CommandOptions,
): object {
  const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as {
    process: { readonly env: readonly string[] };
  };
  const env = config.process.env.filter((variable) => !terminal || !variable.startsWith('TERM='));
  return {
    ...config.process,
    args: command,
    env: [...env, ...(terminal ? ['TERM=xterm'] : [])],
    terminal,
    ...(terminal && size ? { consoleSize: { width: size.columns, height: size.rows } } : {}),
  };
}

/** What a process has for its standard input, opened by way of /proc: the terminals of containers have no name here. */
function terminalOf(pidFile: string): string | undefined {
  try {
    const pid = readFileSync(pidFile, 'latin1').trim();
    return /^\d+$/.test(pid) ? containerTerminalPath(Number(pid)) : undefined;
  } catch {
    return undefined;
  }
}

function withoutColours(text: string): string {
  // oxlint-disable-next-line no-control-regex -- an escape sequence begins with a control character
  return text.replace(/\u001b\[[\d;]*m/g, '');
}
