/** Runs a helper program to its end, with caps on time and output. */
import { spawn } from 'node:child_process';
import type { ExecResult } from './driver.ts';

/** Output beyond this is read and dropped, bytes. */
const maxOutput = 64 * 1024;

export function runToEnd(
  file: string,
  args: readonly string[],
  options: {
    timeoutMs: number;
    cwd?: string;
    env?: Readonly<Record<string, string>>;
    uid?: number;
    gid?: number;
  },
): Promise<ExecResult> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    const collect = (chunk: Buffer): void => {
      if (size < maxOutput) chunks.push(chunk.subarray(0, maxOutput - size));
      size += chunk.length;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const output = (): string => Buffer.concat(chunks).toString('utf8');
    const timer = setTimeout(() => {
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has ended meanwhile.
        }
      }
      resolve({ exitCode: undefined, output: output() });
    }, options.timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ exitCode: 126, output: error.message });
    });
    // `exit`, not `close`: a grandchild that keeps the pipes open must not hold a probe up.
    child.once('exit', (code) => {
      clearTimeout(timer);
      setImmediate(() => {
        resolve({ exitCode: code ?? 137, output: output() });
        child.stdout.destroy();
        child.stderr.destroy();
      });
    });
  });
}
