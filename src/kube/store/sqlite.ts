/** The durable backend: one SQLite file, written by a worker thread so that no fsync blocks the event loop. */
import { mkdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { KnapsackError } from '../../base/errors.ts';
import type { Backend, LogEntry } from './backend.ts';
import type { WorkerAnswer, WorkerRequest } from './sqlite-worker.ts';

/** `directory` is made when missing (mode 700: the store holds Secrets). The file is `store.db` in it. */
export function sqliteBackend(directory: string): Backend {
  let worker: Worker | undefined;
  let waiting: { visit?: (entry: LogEntry & { json: string }) => void; settle: Settle } | undefined;
  let dead: KnapsackError | undefined;

  function start(): Worker {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // The extension follows this file's, so that the built package finds its own worker.
    const script = new URL(`./sqlite-worker${extname(import.meta.url)}`, import.meta.url);
    const started = new Worker(script, {
      workerData: { path: join(directory, 'store.db') },
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: 'store',
    });
    started.on('message', (answer: WorkerAnswer) => {
      if (answer.type === 'rows') {
        for (const row of answer.rows) waiting?.visit?.(row);
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

  function request(
    message: WorkerRequest,
    visit?: (entry: LogEntry & { json: string }) => void,
  ): Promise<number> {
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

interface Settle {
  readonly resolve: (value: number) => void;
  readonly reject: (error: unknown) => void;
}
