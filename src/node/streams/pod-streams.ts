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
import type { PodWorker } from '../pod-worker.ts';

export class PodStreams implements PodStreamSource {
  readonly #find: (namespace: string, pod: string) => PodWorker | undefined;

  constructor(find: (namespace: string, pod: string) => PodWorker | undefined) {
    this.#find = find;
  }

  exec(request: ExecRequest): StartCommand {
    const { handle } = this.#running(request);
    return (size) => handle.open(request.command, { ...request, size });
  }

  attach(request: ContainerStreams): StartCommand {
    this.#running(request);
    throw new ApiError('BadRequest', 'not yet');
  }

  ports(namespace: string, pod: string): PodPorts {
    this.#worker(namespace, pod);
    throw new ApiError('BadRequest', 'not yet');
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
