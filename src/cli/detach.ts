/** `up --detach`: the same `up` in a process of its own, which tells us when it is ready or why it is not. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { catalogue, type ErrorCode } from '../base/catalogue/index.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import type { CommandIo, OptionValues } from './command.ts';
import { unusable, type PlatformInfo } from './data-dir.ts';
import { printResult, progressTo } from './output.ts';

type Message = { type: 'ready'; info: PlatformInfo } | ({ type: 'failed' } & Failure);

/** A failure as it crosses from one process to the other. */
interface Failure {
  readonly code: string | undefined;
  readonly message: string;
}

export function describeFailure(error: unknown): Failure {
  return { code: error instanceof KnapsackError ? error.code : undefined, message: messageOf(error) };
}

function failureOf({ code, message }: Failure): Error {
  return isErrorCode(code) ? new KnapsackError(code, message) : new Error(message);
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(catalogue, code);
}

/** Tells the process that detached us, if there is one, and lets it go. */
export function notifyParent(message: Message): void {
  if (!process.send) return;
  process.send(message, () => process.disconnect());
}

export async function runDetached(data: string, options: OptionValues, io: CommandIo): Promise<number> {
  const outputFile = join(data, 'up.log');
  const output = openOutput(data, outputFile);
  const launcher = fileURLToPath(new URL('../../bin/knapsack.js', import.meta.url));
  // The flag is that of the launcher's first line, which says why.
  const args = ['--max-semi-space-size=4', launcher, 'up', ...childArguments(data, options)];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
    env: io.env,
  });
  closeSync(output);
  const outcome = Promise.withResolvers<PlatformInfo>();
  child.on('message', (message: Message) => {
    if (message.type === 'ready') outcome.resolve(message.info);
    else outcome.reject(failureOf(message));
  });
  child.on('error', outcome.reject);
  child.on('exit', (code, signal) =>
    outcome.reject(
      new KnapsackError(
        'CLI_START_FAILED',
        `the platform ended at once (${signal ?? `exit code ${code}`}); see ${outputFile}`,
      ),
    ),
  );
  const stop = (): boolean => child.kill('SIGTERM');
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  const info = await outcome.promise;
  for (const signal of signals) process.off(signal, stop);
  child.unref();
  progressTo(io, options['quiet'] === true).done(
    `running in the background (pid ${info.pid}); stop it with \`knapsack down\``,
  );
  await printResult(io, options, info, `export KUBECONFIG=${info.kubeconfig}\n`);
  return 0;
}

function childArguments(data: string, options: OptionValues): string[] {
  const out = ['--data', data];
  for (const [name, value] of Object.entries(options)) {
    if (['data', 'detach', 'output', 'quiet'].includes(name) || value === undefined) continue;
    if (value === true) out.push(`--${name}`);
    else if (typeof value === 'string') out.push(`--${name}`, value);
  }
  return out;
}

function openOutput(data: string, file: string): number {
  try {
    return openSync(file, 'w', 0o600);
  } catch (error) {
    throw unusable(data, error);
  }
}
