import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, isSameProcess } from '../../base/process.ts';
import { KnapsackError, systemCode } from '../../base/errors.ts';
import { dataOption, quietOption, type Command } from '../command.ts';
import { dataDirectory, readRunning, type Running } from '../data-dir.ts';
import { progressTo } from '../output.ts';

/** How long a clean stop may take before `down` gives up, ms. Pods get their grace period first. */
const stopTimeoutMs = 90_000;

export const down: Command = {
  path: ['down'],
  summary: 'Stop the platform that runs on a data directory',
  description: 'Asks the running platform to stop and waits until it has. Exit code 3 when none runs.',
  positionals: [],
  options: { data: dataOption, quiet: quietOption },
  examples: [{ command: 'knapsack down', explains: 'stop what `knapsack up --detach` started' }],
  async run(_positionals, options, io) {
    const data = dataDirectory(options, io.env);
    const running = readRunning(data);
    if (!running) {
      io.err.write(`no Knapsack runs on ${data}\n`);
      return 3;
    }
    await stopRunning(running);
    progressTo(io, options['quiet'] === true).done(`stopped (pid ${running.pid})`);
    return 0;
  },
};

/** Sends SIGTERM and waits for the process to end. One that is still starting stops as soon as it has started. */
export async function stopRunning({ pid, info }: Running): Promise<void> {
  const identity = identifyProcess(pid);
  if (!identity) return;
  signal(pid);
  const deadline = Date.now() + stopTimeoutMs;
  while (isSameProcess(identity)) {
    if (Date.now() > deadline) {
      throw new KnapsackError(
        'CLI_STOP_TIMEOUT',
        `pid ${pid} did not end within ${stopTimeoutMs / 1000} s${info ? `; see ${info.log}` : ''}`,
      );
    }
    await delay(50);
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    // It ended by itself just now.
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}
