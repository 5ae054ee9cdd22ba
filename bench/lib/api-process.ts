/** The API server in a process of its own, for benchmarks. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Connection, requestBytes, type Target } from './raw-client.ts';

const script = fileURLToPath(new URL('../../test/support/api-child.ts', import.meta.url));

export interface ApiProcess {
  readonly target: Target;
  /** From the start of the process to the first answered request, ms. */
  readonly startMs: number;
  /** Resident memory after a collection, bytes. */
  memory(): Promise<number>;
  /** Processor time used so far by all its threads, µs. */
  cpu(): Promise<number>;
  stop(): Promise<void>;
}

/** `cache`: a directory for compiled modules, as the `knapsack` command has one. */
export async function startApi(data: string, cache: string): Promise<ApiProcess> {
  const began = performance.now();
  const child = fork(script, [data, '0'], {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  if (!child.stdout) throw new Error('no standard output');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { port } = JSON.parse(line) as { port: number };
  const read = (name: string): string => readFileSync(join(data, 'pki', name), 'utf8');
  const tls = { ca: read('ca.crt'), cert: read('admin.crt'), key: read('admin.key') };
  const target = { port, tls };
  const connection = await Connection.open(target);
  await connection.request(requestBytes('GET', '/api/v1/namespaces/default'));
  const startMs = performance.now() - began;
  connection.close();
  return {
    target,
    startMs,
    memory: () => memoryOf(child),
    cpu: async () => (await ask(child, 'cpu')).cpuMicroseconds,
    stop: () => stop(child),
  };
}

interface Usage {
  readonly rss: number;
  readonly cpuMicroseconds: number;
}

async function ask(child: ChildProcess, what: 'memory' | 'cpu'): Promise<Usage> {
  const answer = once(child, 'message');
  child.send(what);
  const [usage] = (await answer) as [Usage];
  return usage;
}

async function memoryOf(child: ChildProcess): Promise<number> {
  // What a first collection frees may only let a second one free its stores.
  for (let i = 0; i < 2; i++) await ask(child, 'memory');
  return (await ask(child, 'memory')).rss;
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
