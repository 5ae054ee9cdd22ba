/** `kubectl logs`: finds the run of a container that is meant and reads its log. */
import type { Clock } from '../base/clock.ts';
import { ApiError } from '../kube/api-error.ts';
import type { LogOptions, LogSource } from '../kube/server/logs.ts';
import { podDir } from './container-spec.ts';
import { readLog } from './logs/log-reader.ts';
import type { LogStore } from './logs/log-store.ts';
import type { PodWorker } from './pod-worker.ts';

export class PodLogs implements LogSource {
  readonly #logs: LogStore;
  readonly #clock: Clock;
  readonly #find: (namespace: string, pod: string) => PodWorker | undefined;

  constructor(logs: LogStore, clock: Clock, find: (namespace: string, pod: string) => PodWorker | undefined) {
    this.#logs = logs;
    this.#clock = clock;
    this.#find = find;
  }

  open(namespace: string, pod: string, options: LogOptions): AsyncIterable<Buffer> {
    const worker = this.#find(namespace, pod);
    if (!worker) throw new ApiError('NotFound', `pods "${pod}" not found`, { name: pod, kind: 'pods' });
    const record = worker.records.find(({ spec }) => spec.name === options.container);
    if (!record) {
      throw new ApiError('BadRequest', `container ${options.container} is not valid for pod ${pod}`);
    }
    if (!record.attempted) {
      const reason = record.state.kind === 'waiting' ? record.state.reason : 'ContainerCreating';
      const message = `container "${options.container}" in pod "${pod}" is waiting to start: ${reason}`;
      throw new ApiError('BadRequest', message);
    }
    if (options.previous && record.restartCount === 0) {
      const message = `previous terminated container "${options.container}" in pod "${pod}" not found`;
      throw new ApiError('BadRequest', message);
    }
    const attempt = record.restartCount - (options.previous ? 1 : 0);
    const log = this.#logs.find(podDir(worker.env, worker.pod()), options.container, attempt);
    let since: number | undefined;
    if (options.sinceSeconds !== undefined) since = this.#clock.now() - options.sinceSeconds * 1000;
    if (options.sinceTime !== undefined) since = Date.parse(options.sinceTime);
    return readLog(log, {
      follow: options.follow && !options.previous,
      timestamps: options.timestamps,
      signal: options.signal,
      ...(since === undefined ? {} : { since }),
      ...(options.tailLines === undefined ? {} : { tailLines: options.tailLines }),
      ...(options.limitBytes === undefined ? {} : { limitBytes: options.limitBytes }),
    });
  }
}
