/** A program in a real terminal, typed to and resized by a test. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { hasProgram } from './drivers.ts';

/** Why programs cannot be run in a terminal here, or undefined when they can. */
export function terminalSkipReason(): string | undefined {
  const missing = ['script', 'stty'].filter((program) => !hasProgram(program));
  return missing.length > 0 ? `no ${missing.join(' and ')} on this machine` : undefined;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

export class Terminal {
  /** Exit code of the program. */
  readonly ended: Promise<number>;
  readonly #child: ChildProcess;
  #output = '';
  #changed = Promise.withResolvers<void>();

  /** Runs the command in a terminal of 31 rows and 91 columns. */
  constructor(command: readonly string[], env: NodeJS.ProcessEnv) {
    const line = `tty; stty rows 31 cols 91; exec ${command.map(quote).join(' ')}`;
    this.#child = spawn('script', ['-qfec', line, '/dev/null'], {
      env: { ...process.env, ...env, SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    });
    this.ended = new Promise((resolve) => this.#child.once('close', (code) => resolve(code ?? -1)));
  }

  get output(): string {
    return this.#output;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const found = pattern.exec(this.#output);
      if (found) return found;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no ${String(pattern)} within 30 s in: ${JSON.stringify(this.#output)}`);
      await Promise.race([this.#changed.promise, delay(left, undefined, { ref: false })]);
    }
  }

  async resize(rows: number, columns: number): Promise<void> {
    const [device = ''] = await this.until(/\/dev\/pts\/\d+/);
    execFileSync('stty', ['-F', device, 'rows', String(rows), 'cols', String(columns)]);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
