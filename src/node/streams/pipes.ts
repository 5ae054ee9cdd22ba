/**
 * Real pipes to processes. What Node.js calls a pipe is a pair of sockets, and a program that opens /dev/stdin or
 * /dev/stdout by name cannot open a socket.
 */
import { execFile, spawn } from 'node:child_process';
import { closeSync, constants, fchmodSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { quote } from '../drivers/shell.ts';

const run = promisify(execFile);
/** Any user of a container may open its streams by name. */
const mode = 0o666;

/** Makes named pipes. Rejects when mkfifo is missing or the place cannot be written. */
export async function makeFifos(paths: readonly string[]): Promise<void> {
  if (paths.length > 0) await run('mkfifo', ['-m', mode.toString(8), ...paths]);
}

/** Our end of a pipe, and the descriptor that a child gets, to be closed once it has it. */
export interface Pipe {
  readonly ours: Socket;
  readonly child: number;
}

/** Pipes in the directions wanted: `in` is written by us, `out` read by us. */
export async function openPipes<const W extends Readonly<Record<string, 'in' | 'out'>>>(
  wanted: W,
): Promise<{ readonly [K in keyof W]: Pipe }> {
  const names = Object.keys(wanted);
  const open = (paths: readonly string[]) =>
    Object.fromEntries(names.map((name, i) => [name, openPipe(paths[i] ?? '', wanted[name] ?? 'out')]));
  const pipes =
    process.platform === 'linux' ? withUnnamedPipes(names.length, open) : withFifos(names.length, open);
  return (await pipes) as { readonly [K in keyof W]: Pipe };
}

/**
 * Unnamed pipes, which only system calls make, borrowed from a shell's pipeline: what another process has open can be
 * opened anew below /proc. A named one would not do: to open it again by name waits for a writer, which may have written
 * everything and gone.
 */
async function withUnnamedPipes<T>(count: number, open: (paths: readonly string[]) => T): Promise<T> {
  const descriptors = Array.from({ length: count }, (_, i) => i + 4);
  // Each shell keeps the end of the pipe that it reads from; the innermost has them all, says who it is, and waits.
  let script = 'echo $$; read x <&3';
  for (const descriptor of descriptors) script = `: | sh -c ${quote(script)} ${descriptor}<&0`;
  const holder = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] });
  try {
    const pid = await new Promise<string>((resolve, reject) => {
      holder.once('error', reject);
      holder.once('exit', () => reject(new Error('sh has ended')));
      holder.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1').trim()));
    });
    return open(descriptors.map((descriptor) => `/proc/${pid}/fd/${descriptor}`));
  } catch (error) {
    throw new Error('no pipe could be made', { cause: error });
  } finally {
    for (const stream of holder.stdio) stream?.destroy();
  }
}

async function withFifos<T>(count: number, open: (paths: readonly string[]) => T): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-pipes-'));
  try {
    const paths = Array.from({ length: count }, (_, i) => join(dir, String(i)));
    await makeFifos(paths);
    return open(paths);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function openPipe(path: string, direction: 'in' | 'out'): Pipe {
  // Neither end of a named pipe can be opened alone without waiting for the other.
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    fchmodSync(both, mode);
    const [own, child] =
      direction === 'in'
        ? [openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), openSync(path, constants.O_RDONLY)]
        : [openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), openSync(path, constants.O_WRONLY)];
    return {
      ours: new Socket({ fd: own, readable: direction === 'out', writable: direction === 'in' }),
      child,
    };
  } finally {
    closeSync(both);
  }
}
