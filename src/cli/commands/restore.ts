import { readdirSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { KnapsackError, messageOf, systemCode } from '../../base/errors.ts';
import { dataOption, outputOption, quietOption, type Command } from '../command.ts';
import { dataDirectory, readRunning, unusable, whyNotOurs } from '../data-dir.ts';
import { printResult, progressTo } from '../output.ts';

export const restore: Command = {
  path: ['restore'],
  summary: 'Bring back what `knapsack backup` saved',
  description:
    'Unpacks FILE beside the data directory, checks every byte of it, and puts it in place only when all of it is good.\n' +
    'Start with `knapsack up` afterwards. Versions of objects go on far behind the last that any client may have seen, so that\n' +
    'clients list anew instead of missing changes.',
  positionals: ['FILE'],
  options: {
    data: dataOption,
    force: { type: 'boolean', description: 'replace the Knapsack data that is there' },
    output: outputOption,
    quiet: quietOption,
  },
  examples: [
    { command: 'knapsack restore knapsack.tar.gz', explains: 'into an empty default data directory' },
    { command: 'knapsack restore knapsack.tar.gz --data /srv/knapsack', explains: 'into another one' },
    { command: 'knapsack restore knapsack.tar.gz --force', explains: 'replace what is there' },
  ],
  async run([name = ''], options, io) {
    const data = dataDirectory(options, io.env);
    const file = resolve(name);
    const progress = progressTo(io, options['quiet'] === true);
    const began = performance.now();
    checkReadable(file);
    const running = readRunning(data);
    if (running) {
      throw new KnapsackError('STORE_IN_USE', `Knapsack runs on ${data} (pid ${running.pid}); stop it first`);
    }
    const replace = isFilled(data);
    if (replace) {
      if (options['force'] !== true) {
        throw new KnapsackError('CLI_RESTORE_NOT_EMPTY', `${data} is not empty; nothing was restored`);
      }
      const why = whyNotOurs(data);
      if (why !== undefined) {
        throw new KnapsackError('CLI_NOT_A_DATA_DIRECTORY', `${data} ${why}; nothing was restored`);
      }
      const { removeLeftovers } = await import('../../main.ts');
      await removeLeftovers(data);
    }
    const { restoreBackup } = await import('../backup/restore.ts');
    const { manifest, resourceVersion } = await restoreBackup({
      file,
      data,
      replace,
      progress: (step, ms) => progress.done(step, ms),
    });
    progress.done(`restored ${data} as of ${manifest.created}`, performance.now() - began);
    const { created, parts, store } = manifest;
    await printResult(io, options, { data, created, parts, objects: store.objects, resourceVersion }, data);
    return 0;
  },
};

function checkReadable(file: string): void {
  try {
    if (statSync(file).isFile()) return;
  } catch (error) {
    throw new KnapsackError('CLI_BACKUP_INVALID', `${file} cannot be read: ${messageOf(error)}`);
  }
  throw new KnapsackError('CLI_BACKUP_INVALID', `${file} is not a file`);
}

function isFilled(data: string): boolean {
  try {
    return readdirSync(data).length > 0;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw unusable(data, error);
  }
}
