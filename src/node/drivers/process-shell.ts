/**
 * Starts containers of the process driver through a resident shell. To spawn, this process copies the page tables of all
 * its memory while everything else waits; a shell has next to none. And the shell's word of an end outlives this process.
 */
import { accessSync, constants, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import type { Json } from '../../base/json.ts';
import { identifyProcess, isSameProcess, type ProcessIdentity } from '../../base/process.ts';
import type { Command } from '../../kube/server/pod-streams/source.ts';
import type {
  CommandOptions,
  ContainerHandle,
  ContainerStats,
  ExecOptions,
  ExecResult,
  ExitStatus,
} from './driver.ts';
import { commandsOf, endOf, signalGroup, stateOf, statsOf, type Launch } from './process-container.ts';
import type { ProcessCommands } from './process-commands.ts';
import { RunDir } from './run-dir.ts';
import { quote, Shell } from './shell.ts';

/** Shells that pass an environment on as it is; others add variables of their own. */
const exactShells = new Set(['dash', 'busybox']);
/** Longer, and the kernel may refuse the command, which only a spawn reports properly. */
const maxScript = 64 * 1024;
/** How long a container may be gone without word of its end, or not there at all, before it counts as lost, ms. */
const lostAfterMs = 5000;
/** Variables that mean something to the shell itself, or that it cannot name. */
const plainName = /^(?!(?:_|IFS|LINENO|OPTIND|PPID)$)[A-Za-z_][A-Za-z0-9_]*$/;

export interface ShellPrograms {
  readonly sh: string;
  readonly setsid: string;
  /** Undefined: no container of another user. */
  readonly setpriv: string | undefined;
  readonly path: string;
}

/** Undefined where containers cannot be started through a shell: not Linux, no setsid, another shell than we know. */
export function findShellPrograms(path: string): ShellPrograms | undefined {
  if (process.platform !== 'linux') return undefined;
  const [sh, setsid, setpriv] = ['sh', 'setsid', 'setpriv'].map((name) => find(name, path));
  if (sh === undefined || setsid === undefined || !exactShells.has(programOf(sh))) return undefined;
  // The one of busybox changes no user.
  const hasSetpriv = setpriv !== undefined && programOf(setpriv) !== 'busybox';
  return { sh, setsid, setpriv: hasSetpriv ? setpriv : undefined, path };
}

function programOf(file: string): string {
  return basename(realpathSync(file));
}

function find(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((dir) => dir.startsWith('/'))
    .map((dir) => join(dir, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * The script that runs a container and leaves `<id>.pid` and `<id>.exit`; undefined when a shell cannot do it exactly as a
 * spawn would, or not faster. Pure.
 *
 * Only for Node.js, which restores the handling of all signals when it starts: a shell lets what it runs in the
 * background ignore SIGINT and SIGQUIT, and has no way to undo that for other programs.
 */
export function makeScript(
  { spec, command, user, group }: Launch,
  programs: Pick<ShellPrograms, 'setsid' | 'setpriv'>,
  files: { readonly pid: string; readonly exit: string },
): string | undefined {
  const env = Object.entries(command.env);
  if (command.file !== process.execPath || !env.every(([name]) => plainName.test(name))) return undefined;
  if (spec.stdin !== undefined || spec.tty) return undefined;
  if (user && programs.setpriv === undefined) return undefined;
  const become =
    user && programs.setpriv !== undefined
      ? [programs.setpriv, `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
      : [];
  const argv = [programs.setsid, ...become, command.file, ...command.args].map(quote).join(' ');
  const joins = (group?.joinFiles ?? []).map((file) => `echo 0 >${quote(file)} && `).join('');
  // A shell exports these two after it has changed its directory.
  const exports = env.map(([name, value]) => `${name}=${quote(value)}`).join(' ');
  const run = `${joins}cd ${quote(command.cwd)} && unset PWD OLDPWD && export ${exports} && exec ${argv}`;
  const script = [
    'exec >/dev/null 2>&1 </dev/null',
    `{ ${run}; } >>${quote(spec.logPath)} 2>&1 & pid=$!`,
    `echo $pid >${quote(files.pid)}`,
    'wait $pid',
    'code=$?',
    // What the main process leaves behind ends with it, as in a container.
    'kill -s KILL -- -$pid',
    `echo $code >${quote(files.exit)}`,
  ].join('; ');
  // Old shells mistake some bytes beyond ASCII for marks of their own.
  return script.length <= maxScript && /^[\t\n\x20-\x7e]*$/.test(script) ? script : undefined;
}

export class ShellLauncher {
  readonly runDir: RunDir;
  readonly #programs: ShellPrograms;
  readonly #shell: Shell;

  /** `dir`: where shells leave word of containers. The shell starts at once, so that the first pod does not wait. */
  constructor(programs: ShellPrograms, dir: string) {
    this.#programs = programs;
    this.runDir = new RunDir(dir);
    this.#shell = new Shell({ dir, privateMounts: false, env: { PATH: programs.path } });
    this.#shell.launch(':');
  }

  /** Undefined when only a spawn will do. Throws when control group or log cannot be made. */
  tryStart(launch: Launch): ContainerHandle | undefined {
    const { id, limits, logPath } = launch.spec;
    const files = { pid: this.runDir.file(id, 'pid'), exit: this.runDir.file(id, 'exit') };
    const script = makeScript(launch, this.#programs, files);
    const isDirectory = statSync(launch.command.cwd, { throwIfNoEntry: false })?.isDirectory() ?? false;
    if (script === undefined || !isDirectory) return undefined;
    launch.group?.create(limits);
    writeFileSync(logPath, '', { flag: 'a', mode: 0o640 });
    const container = new ShellContainer(launch, this.runDir);
    // Not through the pipe, which shells read byte by byte.
    const file = this.runDir.file(id, 'sh');
    writeFileSync(file, script, { mode: 0o600 });
    this.#shell.launch(`. ${quote(file)}`);
    return container;
  }

  /** Forgets containers of other pods than these. */
  sweep(livePodUids: ReadonlySet<string>): void {
    for (const file of readdirSync(this.runDir.path)) {
      if (!livePodUids.has(file.split('_')[0] ?? '')) rmSync(join(this.runDir.path, file), { force: true });
    }
  }

  /** What runs runs on. */
  async close(): Promise<void> {
    this.runDir.close();
    await this.#shell.close();
  }
}

/** A container that a shell runs, followed through the files that the shell leaves. */
class ShellContainer implements ContainerHandle {
  readonly id: string;
  readonly started: Promise<void>;
  readonly exited: Promise<ExitStatus>;
  readonly #launch: Launch;
  readonly #commands: ProcessCommands;
  readonly #runDir: RunDir;
  readonly #start = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<ExitStatus>();
  readonly #unsubscribe: () => void;
  #process: ProcessIdentity | undefined;
  #hasEnded = false;
  #lastSeen = performance.now();
  /** Sent before there was a process. */
  readonly #early: NodeJS.Signals[] = [];

  constructor(launch: Launch, runDir: RunDir) {
    this.id = launch.spec.id;
    this.#launch = launch;
    this.#commands = commandsOf(launch);
    this.#runDir = runDir;
    this.started = this.#start.promise;
    this.exited = this.#exit.promise;
    this.#unsubscribe = runDir.onChange(this.id, () => this.#look());
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  terminal(): string | undefined {
    return undefined;
  }

  get state(): Json {
    return stateOf(this.#launch, this.#process);
  }

  #look(): void {
    if (this.#hasEnded) return;
    if (!this.#process) this.#findProcess();
    const code = this.#runDir.number(this.id, 'exit');
    if (code !== undefined) return this.#ended(code);
    // The shell that would tell the end may itself have been killed.
    const now = performance.now();
    if (this.#process && isSameProcess(this.#process)) this.#lastSeen = now;
    else if (now - this.#lastSeen > lostAfterMs) this.#ended(undefined);
  }

  #findProcess(): void {
    const pid = this.#runDir.number(this.id, 'pid');
    if (pid !== undefined) this.#process = identifyProcess(pid);
    if (!this.#process) return;
    this.#start.resolve();
    for (const name of this.#early) this.signal(name);
  }

  #ended(code: number | undefined): void {
    this.#hasEnded = true;
    this.#unsubscribe();
    this.#launch.group?.kill();
    this.#commands.end();
    this.#start.resolve();
    this.#exit.resolve(endOf(code, this.#launch.group));
  }

  signal(name: NodeJS.Signals): void {
    if (this.#hasEnded) return;
    if (!this.#process) this.#early.push(name);
    else if (isSameProcess(this.#process) && !signalGroup(this.#process.pid, name)) {
      // It is not yet the leader of its group.
      try {
        process.kill(this.#process.pid, name);
      } catch {
        // It has ended meanwhile.
      }
    }
    if (name === 'SIGKILL') this.#launch.group?.kill();
  }

  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return this.#commands.exec(command, options);
  }

  open(command: readonly string[], options: CommandOptions): Promise<Command> {
    return this.#commands.open(command, options);
  }

  stats(): Promise<ContainerStats | undefined> {
    return statsOf(this.#launch.group, this.#process);
  }

  async remove(): Promise<void> {
    this.#unsubscribe();
    await this.#launch.group?.destroy();
    this.#runDir.forget(this.id);
  }
}
