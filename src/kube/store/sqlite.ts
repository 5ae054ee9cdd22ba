/** The durable backend: one SQLite file, written by a worker thread so that no fsync blocks the event loop. */
import { mkdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { KnapsackError } from '../../base/errors.ts';
import type { Backend, LoadedEntry } from './backend.ts';
import type { RowChunk, WorkerAnswer, WorkerRequest, WorkerSettings } from './sqlite-worker.ts';

export interface SqliteOptions {
  /** How soon after a write freed space is given back and the journal emptied, ms. Default 10 000. */
  readonly upkeepMs?: number;
}

/** Name of the store's file in its directory. SQLite keeps its journal beside it, with `-wal` added. */
export const storeFile = 'store.db';

/** `directory` is made when missing (mode 700: the store holds Secrets). The file is {@link storeFile} in it. */
export function sqliteBackend(directory: string, options: SqliteOptions = {}): Backend {
  let worker: Worker | undefined;
  let waiting: { visit?: (entry: LoadedEntry) => void; settle: Settle } | undefined;
  let dead: KnapsackError | undefined;

  function start(): Worker {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // The extension follows this file's, so that the built package finds its own worker.
    const script = new URL(`./sqlite-worker${extname(import.meta.url)}`, import.meta.url);
    const started = new Worker(script, {
      workerData: {
        path: join(directory, storeFile),
        upkeepMs: options.upkeepMs ?? 10_000,
      } satisfies WorkerSettings,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: 'store',
    });
    started.on('message', (answer: WorkerAnswer) => {
      if (answer.type === 'rows') {
        if (waiting?.visit) visitRows(answer.chunk, waiting.visit);
        return;
      }
      const settle = waiting?.settle;
      waiting = undefined;
      if (answer.type === 'failed') settle?.reject(new KnapsackError(answer.code, answer.message));
      else settle?.resolve(answer.type === 'loaded' ? answer.resourceVersion : 0);
    });
    const died = (error: unknown): void => {
      dead ??= new KnapsackError('STORE_FAILED', 'The thread that writes the store ended.', { cause: error });
      waiting?.settle.reject(dead);
      waiting = undefined;
    };
    started.on('error', died);
    started.on('exit', () => died(undefined));
    return started;
  }

  function request(message: WorkerRequest, visit?: (entry: LoadedEntry) => void): Promise<number> {
    if (dead) return Promise.reject(dead);
    const target = (worker ??= start());
    return new Promise((resolve, reject) => {
      waiting = { settle: { resolve, reject }, ...(visit ? { visit } : {}) };
      target.postMessage(message);
    });
  }

  return {
    load: async (visit) => {
      try {
        return await request({ type: 'load' }, visit);
      } catch (error) {
        // Nobody closes what did not open; a thread left behind would keep the process alive.
        dead ??= new KnapsackError('STORE_CLOSED', 'The store did not open.');
        await worker?.terminate();
        throw error;
      }
    },
    commit: async (batch) => {
      await request({ type: 'commit', batch });
    },
    close: async () => {
      if (!worker || dead) return;
      const ended = new Promise((resolve) => worker?.once('exit', resolve));
      await request({ type: 'close' });
      await ended;
    },
  };
}

/** The objects of a chunk stay views of its memory: copying them would only cost time. */
function visitRows(chunk: RowChunk, visit: (entry: LoadedEntry) => void): void {
  const bytes = Buffer.from(chunk.bytes.buffer);
  let start = 0;
  for (const [i, key] of chunk.keys.entries()) {
    const end = chunk.ends[i] ?? start;
    visit({
      table: chunk.tables[i] ?? '',
      key,
      resourceVersion: chunk.versions[i] ?? 0,
      bytes: bytes.subarray(start, end),
    });
    start = end;
  }
}

interface Settle {
  readonly resolve: (value: number) => void;
  readonly reject: (error: unknown) => void;
}
