import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { KnapsackError } from '../../base/errors.ts';
import { dataOption, quietOption, type Command, type CommandIo } from '../command.ts';
import { dataDirectory, readRunning, unusable } from '../data-dir.ts';
import { progressTo } from '../output.ts';
import { stopRunning } from './down.ts';

export const reset: Command = {
  path: ['reset'],
  summary: 'Delete all data: objects, images, events, logs',
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

/** Everything that Knapsack makes at the top of a data directory, and what of it nobody else would make. */
const made = ['store', 'pki', 'images', 'events', 'node', 'kubeconfig', 'knapsack.log', 'up.log', 'run.json'];
const proofs = ['store/store.db', 'images/oci-layout', 'knapsack.log'];

/** Guards against `--data /home/me`: only a directory with nothing but Knapsack's files in it is deleted. */
function whyNotOurs(data: string): string | undefined {
  let names;
  try {
    names = readdirSync(data);
  } catch (error) {
    throw unusable(data, error);
  }
  const foreign = names.find((name) => !made.includes(name) && !name.startsWith('run.json.'));
  if (foreign !== undefined) return `holds ${foreign}, which Knapsack did not make`;
  const ours = names.length === 0 || proofs.some((path) => existsSync(join(data, path)));
  return ours ? undefined : 'holds no Knapsack data';
}

async function confirm(io: CommandIo, question: string): Promise<boolean> {
  if (!io.stdin.isTTY) throw new KnapsackError('CLI_USAGE', 'nobody to ask: say --yes');
  const prompt = createInterface({ input: io.stdin, output: io.err });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
  } finally {
    prompt.close();
  }
}
