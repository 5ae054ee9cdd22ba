/**
 * A shell that stays: commands go in as lines and run at once, side by side. Forking from a small shell costs a fraction
 * of a spawn from this process, and everything it starts shares its mount namespace: what is mounted there is seen by no
 * one else and is gone when the last of its processes is gone, even after SIGKILL of Knapsack.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { KnapsackError } from '../../base/errors.ts';

/** A word for the shell. In scripts of {@link Shell} it may hold newlines. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Makes a named pipe the standard input. Opened for both first: to open it for reading alone would wait for a writer,
 * and the one that holds it may just have died.
 */
export function openInput(path: string): string {
  return `exec 9<>${quote(path)} && exec <${quote(path)} 9>&-`;
}

export interface ShellResult {
  readonly code: number;
  /** Standard output and error; empty on success unless `keepOutput`. */
  readonly output: string;
}

const newlineName = 'knapsack_newline';
/** Reads lines and runs each in the background; a job's parent exits at once, so that init reaps it. */
const loop = [
  `${newlineName}=$(printf '\\nx')`,
  `${newlineName}=\${${newlineName}%x}`,
  'while IFS= read -r line; do ( eval "$line" & ); done',
].join('; ');

/**
 * The script as one line; its newlines are all inside words that {@link quote} made. They come from users (a probe's
 * `sh -c` with several lines), and what the shell took for a second line would run on this machine, as root.
 */
function inOneLine(script: string): string {
  return script.replaceAll('\n', `'"$${newlineName}"'`);
}

export class Shell {
  readonly #dir: string;
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string>> | undefined;
  readonly #waiting = new Map<string, (result: number) => void>();
  #child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #next = 0;

  /**
   * `privateMounts`: in a mount namespace of its own, after `setup` ran there. `dir` holds output of commands. `env`:
   * instead of this process's own.
   */
  constructor(options: {
    dir: string;
    privateMounts: boolean;
    setup?: string;
    env?: Readonly<Record<string, string>>;
  }) {
    this.#dir = options.dir;
    this.#env = options.env;
    const script = `${options.setup ?? ':'}; ${loop}`;
    this.#command = options.privateMounts ? ['unshare', '-m', 'sh', '-c', script] : ['sh', '-c', script];
  }

  #process(): ChildProcessByStdio<Writable, Readable, null> {
    if (this.#child) return this.#child;
    const [file = '', ...args] = this.#command;
    // A session of its own: an interrupt typed into the terminal must not end it.
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      ...(this.#env ? { env: this.#env } : {}),
    });
    child.unref();
    const gone = (): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const resolve of waiting) resolve(-1);
    };
    child.once('exit', gone);
    child.once('error', gone);
    child.stdin.on('error', () => undefined);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [id = '', code] = line.split(' ');
      const resolve = this.#waiting.get(id);
      this.#waiting.delete(id);
      resolve?.(Number(code));
    });
    this.#child = child;
    return child;
  }

  /** Runs a script, of one line but for the words in it, and forgets it. */
  launch(script: string): void {
    this.#process().stdin.write(`${inOneLine(script)}\n`);
  }

  /** Runs such a script to its end. Throws NODE_RUNTIME_FAILED when the shell itself dies. */
  async run(script: string, keepOutput = false): Promise<ShellResult> {
    const id = `c${process.pid}-${this.#next++}`;
    const file = join(this.#dir, `${id}.out`);
    const done = new Promise<number>((resolve) => this.#waiting.set(id, resolve));
    this.launch(`{ ${script}; } >${quote(file)} 2>&1 </dev/null; echo "${id} $?"`);
    const code = await done;
    const output = keepOutput || code !== 0 ? readOutput(file) : '';
    rmSync(file, { force: true });
    if (code === -1)
      throw new KnapsackError('NODE_RUNTIME_FAILED', 'the shell that runs containers has died');
    return { code, output };
  }

  /** Resolves when the shell has ended; what it started runs on. */
  async close(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    child.stdin.end();
    await ended;
  }
}

function readOutput(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(0, 64 * 1024);
  } catch {
    return '';
  }
}
