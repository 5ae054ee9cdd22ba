/** `kubectl exec`, `attach` and `port-forward`: finds the container that is meant, and opens its streams. */
import { ApiError } from '../../kube/api-error.ts';
import type {
  ContainerStreams,
  ExecRequest,
  PodPorts,
  PodStreamSource,
  StartCommand,
} from '../../kube/server/pod-streams/source.ts';
import type { ContainerRecord } from '../container-record.ts';
import type { ContainerHandle } from '../drivers/driver.ts';
import { podDir } from '../container-spec.ts';
import type { LogStore } from '../logs/log-store.ts';
import type { PodWorker } from '../pod-worker.ts';
import { attachTo } from './attach.ts';
import { findTerminalPrograms, type TerminalPrograms } from './terminal.ts';

export class PodStreams implements PodStreamSource {
  readonly #find: (namespace: string, pod: string) => PodWorker | undefined;
  readonly #logs: LogStore;
  readonly #forwards = new Map<PodWorker, Set<() => void>>();
  readonly #terminals: TerminalPrograms | undefined;

  /** `path`: PATH of the host. */
  constructor(find: (namespace: string, pod: string) => PodWorker | undefined, logs: LogStore, path: string) {
    this.#find = find;
    this.#logs = logs;
    this.#terminals = findTerminalPrograms(path);
  }

  exec(request: ExecRequest): StartCommand {
    const { handle } = this.#running(request);
    return (size) => handle.open(request.command, { ...request, size });
  }

  attach(request: ContainerStreams): StartCommand {
    const { worker, record, handle } = this.#running(request);
    const { pod, container } = request;
    const { spec, input } = record;
    if (request.stdin && (spec.stdin ?? false)) {
      const why = !input
        ? 'the agent that held it has been restarted'
        : input.hasEnded
          ? 'it was for one client (stdinOnce), which has left'
          : undefined;
      if (why !== undefined) {
        const message = `standard input of container "${container}" in pod "${pod}" is closed: ${why}`;
        throw new ApiError('BadRequest', message);
      }
    }
    const log = this.#logs.find(podDir(worker.env, worker.pod()), container, record.restartCount);
    const terminals = spec.tty ? this.#terminals : undefined;
    // Without `stdin: true` a terminal's keyboard is never typed on.
    const target = { handle, log, terminals, input: spec.stdin ? input : undefined };
    return (size) => Promise.resolve(attachTo(target, request, size));
  }

  ports(namespace: string, pod: string): PodPorts {
    const worker = this.#worker(namespace, pod);
    const connector = worker.ports();
    if (!connector) {
      const phase = worker.pod().status?.phase ?? 'Pending';
      const message = `unable to forward port because pod is not running. Current status=${phase}`;
      throw new ApiError('BadRequest', message);
    }
    const ended = Promise.withResolvers<void>();
    const end = (): void => {
      connector.close();
      ended.resolve();
    };
    this.#whenGone(worker).add(end);
    return {
      connect: (port) => connector.connect(port),
      ended: ended.promise,
      close: () => {
        this.#forwards.get(worker)?.delete(end);
        end();
      },
    };
  }

  /** What is called when nothing is left of the pod. */
  #whenGone(worker: PodWorker): Set<() => void> {
    const known = this.#forwards.get(worker);
    if (known) return known;
    const calls = new Set<() => void>();
    this.#forwards.set(worker, calls);
    void worker.done.finally(() => {
      this.#forwards.delete(worker);
      for (const call of calls) call();
    });
    return calls;
  }

  #worker(namespace: string, pod: string): PodWorker {
    const worker = this.#find(namespace, pod);
    if (worker) return worker;
    throw new ApiError('NotFound', `pods "${pod}" not found`, { name: pod, kind: 'pods' });
  }

  #running({ namespace, pod, container }: ContainerStreams): {
    worker: PodWorker;
    record: ContainerRecord;
    handle: ContainerHandle;
  } {
    const worker = this.#worker(namespace, pod);
    const record = worker.records.find(({ spec }) => spec.name === container);
    if (record?.handle && record.state.kind === 'running') return { worker, record, handle: record.handle };
    throw new ApiError(
      'BadRequest',
      `container not found ("${container}")${record ? `: ${whyNot(record)}` : ''}`,
    );
  }
}

function whyNot({ state }: ContainerRecord): string {
  if (state.kind === 'waiting') return `it is waiting to start: ${state.reason}`;
  if (state.kind === 'running') return 'it is being stopped';
  return `it has ended with exit code ${state.terminated.exitCode} (${state.terminated.reason ?? 'Error'})`;
}
