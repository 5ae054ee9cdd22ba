/** A command that runs beside a container's main process, with streams to a client. */
import { spawn, type StdioOptions } from 'node:child_process';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Command, CommandEnd } from '../../kube/server/pod-streams/source.ts';
import { messageOf } from '../../base/errors.ts';
import type { CommandOptions } from '../drivers/driver.ts';
import { quote } from '../drivers/shell.ts';
import { openPipes, type Pipe } from './pipes.ts';
import { inTerminal, noTerminal, TerminalResizer, type TerminalPrograms } from './terminal.ts';

export interface ChildCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: as the user of this process. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /**
   * Given for a program that relays to a terminal that it opens itself, as container runtimes do: the path of that, once
   * it is there.
   */
  readonly relayedTerminal: (() => string | undefined) | undefined;
  /** Called with the process when it exists. */
  readonly spawned: (pid: number) => void;
  /** What the program left to say about an end that was not the command's own. */
  readonly failure: () => string | undefined;
  /** Called once, when it has ended. */
  readonly over: () => void;
}

/** Runs it. Rejects when it cannot be started, worded for people. */
export async function startChildCommand(
  command: ChildCommand,
  options: CommandOptions,
  terminals: TerminalPrograms | undefined,
): Promise<Command> {
  if (options.tty) {
    if (!terminals) throw new Error(noTerminal);
    return startInTerminal(command, options, terminals);
  }
  const pipes: Partial<Record<'stdin' | 'stdout' | 'stderr', Pipe>> = await openPipes({
    ...(options.stdin ? ({ stdin: 'in' } as const) : {}),
    ...(options.stdout ? ({ stdout: 'out' } as const) : {}),
    ...(options.stderr ? ({ stderr: 'out' } as const) : {}),
  });
  const { stdin, stdout, stderr } = pipes;
  const stdio = [stdin?.child ?? 'ignore', stdout?.child ?? 'ignore', stderr?.child ?? 'ignore'];
  const { ended, signal } = launch(command, [command.file, ...command.args], stdio as StdioOptions, pipes);
  // Nobody reads it any more.
  void ended.finally(() => stdin?.ours.destroy());
  return {
    stdin: stdin?.ours,
    stdout: stdout?.ours,
    stderr: stderr?.ours,
    resize: () => undefined,
    ended,
    hangUp: () => {
      for (const pipe of [stdin, stdout, stderr]) pipe?.ours.destroy();
      signal('SIGHUP');
    },
  };
}

async function startInTerminal(
  command: ChildCommand,
  { stdin: hasInput, size }: CommandOptions,
  terminals: TerminalPrograms,
): Promise<Command> {
  const pipes = await openPipes({ stdin: 'in', stdout: 'out', name: 'out' });
  const { stdin, stdout, name } = pipes;
  const inner = `exec 3>&-; exec ${[command.file, ...command.args].map(quote).join(' ')}`;
  const line = inTerminal(terminals, inner, {
    nameTo: '&3',
    raw: command.relayedTerminal !== undefined,
    size,
  });
  const stdio = [stdin.child, stdout.child, stdout.child, name.child];
  const inShell = { ...command, env: { ...command.env, SHELL: '/bin/sh' } };
  const { ended, signal } = launch(inShell, line, stdio, pipes);
  void ended.finally(() => {
    stdin.ours.destroy();
    name.ours.destroy();
  });

  // Input waits until the terminal is ready: what comes before would be echoed twice.
  let device: string | undefined;
  stdin.ours.cork();
  name.ours.once('data', (chunk: Buffer) => {
    device = chunk.toString('latin1').trim();
    stdin.ours.uncork();
  });
  const resizer = new TerminalResizer(terminals, command.relayedTerminal ?? (() => device));
  // A relay may make its terminal before it looks at the size of ours.
  if (size && command.relayedTerminal) resizer.set(size);
  return {
    stdin: hasInput ? stdin.ours : undefined,
    stdout: stdout.ours,
    stderr: undefined,
    resize: (next) => resizer.set(next),
    ended,
    hangUp: () => {
      for (const { ours } of Object.values(pipes)) ours.destroy();
      // With the one that holds the terminal gone, the system hangs up what runs in it.
      signal('SIGKILL');
    },
  };
}

function launch(
  command: ChildCommand,
  [file = '', ...args]: readonly string[],
  stdio: StdioOptions,
  pipes: Readonly<Record<string, Pipe>>,
): { ended: Promise<CommandEnd>; signal: (name: NodeJS.Signals) => void } {
  let hasEnded = false;
  try {
    const child = spawn(file, args, {
      stdio,
      cwd: command.cwd,
      env: command.env,
      detached: true,
      ...command.user,
    });
    if (child.pid !== undefined) command.spawned(child.pid);
    const ended = new Promise<CommandEnd>((resolve) => {
      const end = (result: CommandEnd): void => {
        if (hasEnded) return;
        hasEnded = true;
        command.over();
        resolve(result);
      };
      child.once('error', (error) => end({ kind: 'failed', message: messageOf(error) }));
      child.once('exit', (code, signal) => {
        const failure = command.failure();
        if (failure !== undefined) return end({ kind: 'failed', message: failure });
        end({ kind: 'exited', code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]) });
      });
    });
    const signal = (name: NodeJS.Signals): void => {
      if (hasEnded || child.pid === undefined) return;
      try {
        process.kill(-child.pid, name);
      } catch {
        // It has ended meanwhile.
      }
    };
    return { ended, signal };
  } catch (error) {
    for (const { ours } of Object.values(pipes)) ours.destroy();
    command.over();
    throw error;
  } finally {
    for (const { child, ours } of Object.values(pipes)) {
      closeSync(child);
      ours.on('error', () => ours.destroy());
    }
  }
}
