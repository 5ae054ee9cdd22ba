/** Every kubectl on the machine, and one that is watched while it runs. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasProgram } from './drivers.ts';

/** The kubectl on PATH, and its siblings of other versions (`kubectl.1.27`…) that some distributions install. */
function installed(): string[] {
  if (!hasProgram('kubectl')) return [];
  const first = execFileSync('sh', ['-c', 'command -v kubectl']).toString().trim();
  const folder = dirname(realpathSync(first));
  return [first, ...globSync(join(folder, 'kubectl.*')).filter((path) => existsSync(path))];
}

/** 33 of a kubectl 1.33. */
function minorVersion(program: string): number {
  const json = execFileSync(program, ['version', '--client', '-o', 'json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { clientVersion } = JSON.parse(json.toString()) as { clientVersion: { minor: string } };
  return Number.parseInt(clientVersion.minor, 10);
}

/** One kubectl of each minor version on the machine, the one on PATH before others: minor version → program. */
export function kubectls(): Map<number, string> {
  const out = new Map<number, string>();
  for (const program of installed()) {
    const minor = minorVersion(program);
    if (!out.has(minor)) out.set(minor, program);
  }
  return out;
}

/** Splits words; single quotes keep spaces. */
export function splitArgs(text: string): string[] {
  return [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

/** A kubectl that runs until it is told to stop. */
export class Watcher {
  readonly #process: ChildProcess;
  #seen = '';
  #changed = Promise.withResolvers<void>();

  constructor(
    program: string,
    args: readonly string[],
    server: { kubeconfig: string; dir: string; input?: string },
  ) {
    const env = { ...process.env, KUBECONFIG: server.kubeconfig, HOME: server.dir };
    const hasInput = server.input !== undefined;
    this.#process = spawn(program, args, { env, stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'ignore'] });
    this.#process.stdin?.write(server.input ?? '');
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.#seen += chunk.toString();
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    });
  }

  /** Everything printed once `text` has appeared. */
  async until(text: string): Promise<string> {
    const deadline = Date.now() + 30_000;
    while (!this.#seen.includes(text)) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no ${text} within 30 s in: ${this.#seen}`);
      await Promise.race([this.#changed.promise, delay(left, undefined, { ref: false })]);
    }
    return this.#seen;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill();
    await once(this.#process, 'exit');
  }
}
