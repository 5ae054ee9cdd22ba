import { createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Transform, Writable, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import { dataOption, outputOption, quietOption, type Command } from '../command.ts';
import { syncDirectory } from '../backup/directory.ts';
import { dataDirectory, readRunning } from '../data-dir.ts';
import { printResult, progressTo } from '../output.ts';
import { version } from '../version.ts';

export const backup: Command = {
  path: ['backup'],
  summary: 'Save everything into one file, running or not',
  description:
    'Writes the objects of the API as of one moment, keys and certificates, images and undelivered events into FILE (tar.gz),\n' +
    'or to standard output for `-`. Works while the platform runs and does not disturb it. Whoever can read the file can\n' +
    'read every Secret and act as the administrator: it is made readable by you alone.',
  positionals: ['FILE'],
  options: {
    data: dataOption,
    'no-images': { type: 'boolean', description: 'leave the images out; they can be built or pulled again' },
    volumes: {
      type: 'boolean',
      description: 'also the contents of PersistentVolumes, as they are while pods write them',
    },
    output: outputOption,
    quiet: quietOption,
  },
  examples: [
    { command: 'knapsack backup knapsack.tar.gz', explains: 'of the default data directory' },
    { command: 'knapsack backup --no-images small.tar.gz', explains: 'objects, keys and events only' },
    {
      command: 'knapsack backup - | ssh host "cat > knapsack.tar.gz"',
      explains: 'straight to another machine',
    },
  ],
  async run([file = ''], options, io) {
    const data = dataDirectory(options, io.env);
    const toStdout = file === '-';
    if (toStdout && options['output'] !== undefined) {
      throw new KnapsackError('CLI_USAGE', '-o cannot be used with `-`: standard output has the backup');
    }
    if (toStdout && isTerminal(io.out)) {
      throw new KnapsackError(
        'CLI_USAGE',
        'a backup is no text for a terminal; name a file, or pipe `-` somewhere',
      );
    }
    if (!existsSync(join(data, 'store'))) {
      throw new KnapsackError('CLI_BACKUP_FAILED', `${data} holds no Knapsack data`);
    }
    const { writeBackup, megabytes } = await import('../backup/create.ts');
    const { saveSnapshot } = await import('../backup/take-snapshot.ts');
    const progress = progressTo(io, options['quiet'] === true);
    const began = performance.now();
    const target = resolve(file);
    // Beside the backup, where there is room for one; readable by nobody else.
    const work = await mkdtemp(join(toStdout ? tmpdir() : dirname(target), '.knapsack-backup-')).catch(
      refuse,
    );
    try {
      const snapshot = join(work, 'objects.ndjson');
      await saveSnapshot(data, readRunning(data), snapshot);
      const draft = join(work, 'backup.tar.gz');
      const counted = new ByteCounter();
      const sink = toStdout ? unended(io.out) : createWriteStream(draft, { mode: 0o600, flush: true });
      const ended = pipeline(counted, sink);
      const [manifest] = await Promise.all([
        writeBackup(
          {
            data,
            snapshot,
            version,
            parts: [
              'pki',
              ...(options['no-images'] === true ? [] : (['images'] as const)),
              'events',
              ...(options['volumes'] === true ? (['volumes'] as const) : []),
            ],
            progress: (step, ms) => progress.done(step, ms),
          },
          counted,
        ),
        ended,
      ]).catch(refuse);
      if (!toStdout) await publish(draft, target);
      if (options['volumes'] !== true && existsSync(join(data, 'volumes'))) {
        progress.note('contents of PersistentVolumes were left out; add --volumes to take them too');
      }
      progress.done(`backup of ${data}: ${megabytes(counted.bytes)}`, performance.now() - began);
      const { created, store, parts } = manifest;
      const result = { file: target, bytes: counted.bytes, created, parts, ...store };
      if (!toStdout) await printResult(io, options, result, target);
      return 0;
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  },
};

function isTerminal(stream: NodeJS.WritableStream): boolean {
  return 'isTTY' in stream && stream.isTTY === true;
}

function refuse(error: unknown): never {
  if (error instanceof KnapsackError) throw error;
  throw new KnapsackError('CLI_BACKUP_FAILED', `the backup cannot be written: ${messageOf(error)}`, {
    cause: error,
  });
}

/** An earlier backup of that name is replaced in one step, by a whole one. */
async function publish(draft: string, target: string): Promise<void> {
  await rename(draft, target);
  await syncDirectory(dirname(target));
}

/** Passes bytes on and counts them. */
class ByteCounter extends Transform {
  bytes = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.bytes += chunk.length;
    done(null, chunk);
  }
}

/** Standard output as the end of a pipeline that does not close it. */
function unended(stream: NodeJS.WritableStream): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      stream.write(chunk, (error) => done(error));
    },
  });
}
