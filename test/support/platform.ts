/** A real Knapsack in a process of its own, as users start it, on free ports and a temporary data directory. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { PlatformInfo } from '../../src/cli/data-dir.ts';

export const launcher = fileURLToPath(new URL('../../bin/knapsack.js', import.meta.url));
const run = promisify(execFile);

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; a non-zero exit is a result, not a throw. */
export async function execute(
  program: string,
  args: readonly string[],
  options: { input?: string | Buffer; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Output> {
  const running = run(program, [...args], {
    env: { ...process.env, ...options.env },
    maxBuffer: 64 * 2 ** 20,
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  });
  // A program that does not read may have ended already.
  running.child.stdin?.on('error', () => undefined).end(options.input);
  try {
    return { code: 0, ...(await running) };
  } catch (error) {
    const failed = error as { code?: number | string; stdout?: string; stderr?: string };
    if (typeof failed.code === 'string') throw error;
    return { code: failed.code ?? -1, stdout: failed.stdout ?? '', stderr: failed.stderr ?? '' };
  }
}

/** Runs the `knapsack` command. */
export function knapsack(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv } = {},
): Promise<Output> {
  return execute(process.execPath, [launcher, ...args], options);
}

export interface SendOptions {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** One request on a connection of its own, to `base` but with the Host header `host`. */
export function send(base: string, host: string, options: SendOptions = {}): Promise<Answer> {
  const { path = '/', method = 'GET', headers = {} } = options;
  return new Promise((resolve, reject) => {
    const call = request(
      new URL(path, base),
      { method, headers: { host, ...headers }, timeout: 60_000, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer within 60 s')));
    call.on('error', reject);
    call.end(options.body);
  });
}

export class TestPlatform {
  readonly data: string;
  readonly driver: string;
  #info: PlatformInfo | undefined;

  constructor(driver: 'oci' | 'process') {
    this.driver = driver;
    this.data = mkdtempSync(join(tmpdir(), 'knapsack-e2e-'));
  }

  get info(): PlatformInfo {
    if (!this.#info) throw new Error('the platform is not up');
    return this.#info;
  }

  /** `knapsack up --detach` with the example left out. */
  async up(more: readonly string[] = ['--no-hello']): Promise<PlatformInfo> {
    const ports = ['--api-port', '0', '--gateway-port', '0', '--local-port', '0', '--registry-port', '0'];
    const args = [
      'up',
      '--detach',
      '-o',
      'json',
      '--data',
      this.data,
      '--driver',
      this.driver,
      ...ports,
      ...more,
    ];
    const { code, stdout, stderr } = await knapsack(args);
    if (code !== 0) throw new Error(`up failed (${code}): ${stderr}`);
    this.#info = JSON.parse(stdout) as PlatformInfo;
    return this.#info;
  }

  async down(): Promise<Output> {
    return knapsack(['down', '--data', this.data]);
  }

  /** SIGKILL, as a power cut would. */
  kill(): void {
    process.kill(this.info.pid, 'SIGKILL');
  }

  /** kubectl against this platform. Throws on a non-zero exit, with what it printed. */
  async kubectl(args: readonly string[], input?: string): Promise<string> {
    const result = await this.tryKubectl(args, input);
    if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr || result.stdout}`);
    return result.stdout;
  }

  /** Changes keys of a ConfigMap of knative-serving. */
  async configure(name: string, data: { readonly [key: string]: string }): Promise<void> {
    const patch = JSON.stringify({ data });
    await this.kubectl(['patch', 'configmap', name, '-n', 'knative-serving', '--type', 'merge', '-p', patch]);
  }

  tryKubectl(args: readonly string[], input?: string): Promise<Output> {
    const options = { env: { KUBECONFIG: this.info.kubeconfig }, ...(input === undefined ? {} : { input }) };
    return execute('kubectl', args, options);
  }

  /** kubectl apply -f - with the YAML text. */
  apply(yaml: string): Promise<string> {
    return this.kubectl(['apply', '-f', '-'], yaml);
  }

  /** Like `curl -H "Host: …" GATEWAY`, or the listener for cluster-local names. */
  curl(host: string, options: SendOptions & { local?: boolean } = {}): Promise<Answer> {
    return send(options.local ? this.info.local : this.info.gateway, host, options);
  }

  /** Stops it, however it stands, and removes its data. */
  async dispose(): Promise<void> {
    if (this.#info) await this.down();
    await knapsack(['reset', '--yes', '--force', '--data', this.data]);
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** A program that runs until it is told to stop, and what it has printed so far. */
export class Session {
  readonly child: ChildProcess;
  /** Exit code, or the name of the signal that ended it; once all output has arrived. */
  readonly ended: Promise<number | string>;
  stdout = '';
  stderr = '';
  #changed: () => void = () => {};

  constructor(
    program: string,
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; uid?: number; ownGroup?: boolean } = {},
  ) {
    const { env, uid, ownGroup = false } = options;
    this.child = spawn(program, [...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: ownGroup,
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.child.stdout?.on('data', (chunk: Buffer) => this.#print('stdout', chunk));
    this.child.stderr?.on('data', (chunk: Buffer) => this.#print('stderr', chunk));
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        resolve(code ?? signal ?? -1);
        this.#changed();
      });
    });
  }

  #print(where: 'stdout' | 'stderr', chunk: Buffer): void {
    this[where] += chunk.toString();
    this.#changed();
  }

  /** Waits until the output matches. Fails when the program ends before, or after `timeoutMs`. */
  async until(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    const timeout = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (found) return found;
      const { exitCode, signalCode } = this.child;
      if (timeout.aborted || exitCode !== null || signalCode !== null) {
        const state = timeout.aborted ? `not within ${timeoutMs} ms` : `it ended (${exitCode ?? signalCode})`;
        throw new Error(`waited for ${String(pattern)}: ${state}; it said\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
        timeout.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Signals every process of its own group at once, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void {
    if (this.child.pid !== undefined) process.kill(-this.child.pid, signal);
  }
}
