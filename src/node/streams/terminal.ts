/**
 * Terminals without native code: util-linux's `script` opens a pseudo-terminal and runs a command in it, and `stty` sets
 * the size of one from outside.
 */
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import type { TerminalSize } from '../../kube/server/pod-streams/terminal-size.ts';
import { findProgram } from '../drivers/oci/detect.ts';
import { quote } from '../drivers/shell.ts';

/** What opens a terminal on this machine. Both programs are on every Debian, Fedora, Arch and Ubuntu. */
export interface TerminalPrograms {
  readonly script: string;
  readonly stty: string;
}

/** Undefined where there are no terminals to give. */
export function findTerminalPrograms(path: string): TerminalPrograms | undefined {
  // The script of BSD and macOS has other options, and refuses to run without a terminal of its own.
  if (process.platform !== 'linux') return undefined;
  const script = findProgram('script', path);
  const stty = findProgram('stty', path);
  return script === undefined || stty === undefined ? undefined : { script, stty };
}

export const noTerminal =
  'this machine cannot give it a terminal: the programs script (util-linux) and stty (coreutils) are needed, on Linux';

/**
 * The command line that runs a shell command in a new terminal, with its exit code. The name of the terminal
 * (`/dev/pts/3`) is written to `nameTo` first, which is a shell word. `raw`: the command is itself a relay to a terminal,
 * which must not be disturbed by a second one that echoes.
 */
export function inTerminal(
  { script, stty }: TerminalPrograms,
  command: string,
  options: { readonly nameTo: string; readonly raw: boolean; readonly size: TerminalSize | undefined },
): [string, ...string[]] {
  const settings = [
    ...(options.raw ? ['raw', '-echo'] : []),
    ...(options.size ? sizeSettings(options.size) : []),
  ];
  const setUp = settings.length > 0 ? `${quote(stty)} ${settings.join(' ')}; ` : '';
  return [script, '-qfec', `${setUp}tty >${options.nameTo}; ${command}`, '/dev/null'];
}

/** Where a process that has a terminal for its standard input can be seen to have it, also inside a container. */
export function terminalPath(pid: number): string {
  return `/proc/${pid}/fd/0`;
}

/**
 * Likewise, once it is a terminal of the container's own: while a process is being put into its container it still has
 * that of whoever starts it.
 */
export function containerTerminalPath(pid: number): string | undefined {
  try {
    const { dev } = statSync(terminalPath(pid));
    return dev === statSync('/dev/pts').dev ? undefined : terminalPath(pid);
  } catch {
    return undefined;
  }
}

function sizeSettings({ columns, rows }: TerminalSize): string[] {
  return ['rows', String(rows), 'cols', String(columns)];
}

/** How often a terminal that is being made is looked for, and how many times. */
const lookMs = 50;
const looks = 100;

/** Keeps a terminal at the size that was set last; what runs in it is told by SIGWINCH. */
export class TerminalResizer {
  readonly #stty: string;
  readonly #device: () => string | undefined;
  #size: TerminalSize | undefined;
  /** A look or a change is under way. */
  #isBusy = false;
  #looks = 0;

  /** `device`: the path of the terminal, once there is one. */
  constructor({ stty }: TerminalPrograms, device: () => string | undefined) {
    this.#stty = stty;
    this.#device = device;
  }

  set(size: TerminalSize): void {
    this.#size = size;
    this.#looks = 0;
    if (!this.#isBusy) this.#apply();
  }

  #apply(): void {
    const device = this.#device();
    const size = this.#size;
    this.#isBusy = false;
    if (device === undefined) {
      if (this.#looks++ >= looks) return;
      this.#isBusy = true;
      setTimeout(() => this.#apply(), lookMs).unref();
      return;
    }
    if (!/^\/(?:dev\/pts\/\d+|proc\/\d+\/fd\/0)$/.test(device) || !size) return;
    this.#isBusy = true;
    // The terminal may just have gone. One after the other: the last one that was asked for stays.
    execFile(this.#stty, ['-F', device, ...sizeSettings(size)], () => {
      this.#isBusy = false;
      if (this.#size !== size) this.#apply();
    });
  }
}
