import { existsSync, realpathSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { KnapsackError } from '../../base/errors.ts';
import { dataOption, quietOption, type Command, type CommandIo } from '../command.ts';
import { dataDirectory, readRunning, whyNotOurs } from '../data-dir.ts';
import { progressTo } from '../output.ts';
import { stopRunning } from './down.ts';

export const reset: Command = {
  path: ['reset'],
  summary: 'Delete all data: objects, volumes, images, events, logs',
  description:
    'Deletes the data directory for good. Asks first; scripts say --yes. A running platform is stopped only with --force.',
  positionals: [],
  options: {
    data: dataOption,
    yes: { type: 'boolean', short: 'y', description: 'do not ask' },
    force: { type: 'boolean', description: 'stop a running platform first' },
    quiet: quietOption,
  },
  examples: [
    { command: 'knapsack reset', explains: 'start over, after a question' },
    { command: 'knapsack reset --yes --force', explains: 'stop, then delete, without a question' },
  ],
  async run(_positionals, options, io) {
    const data = dataDirectory(options, io.env);
    const progress = progressTo(io, options['quiet'] === true);
    const running = readRunning(data);
    if (running && options['force'] !== true) {
      throw new KnapsackError(
        'STORE_IN_USE',
        `Knapsack runs on ${data} (pid ${running.pid}); stop it first, or add --force`,
      );
    }
    if (!existsSync(data)) {
      progress.note(`nothing to delete: ${data} does not exist`);
      return 0;
    }
    const why = whyNotOurs(data);
    if (why !== undefined) {
      throw new KnapsackError('CLI_NOT_A_DATA_DIRECTORY', `${data} ${why}; nothing was deleted`);
    }
    if (options['yes'] !== true && !(await confirm(io, `Delete ${data} with everything in it?`))) return 1;
    if (running) await stopRunning(running);
    const { removeLeftovers } = await import('../../main.ts');
    await removeLeftovers(data);
    rmSync(realpathSync(data), { recursive: true, force: true });
    progress.done(`deleted ${data}`);
    return 0;
  },
};

async function confirm(io: CommandIo, question: string): Promise<boolean> {
  if (!io.stdin.isTTY) throw new KnapsackError('CLI_USAGE', 'nobody to ask: say --yes');
  const prompt = createInterface({ input: io.stdin, output: io.err });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
  } finally {
    prompt.close();
  }
}
