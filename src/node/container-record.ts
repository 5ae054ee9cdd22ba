/** What the agent knows of one container of a pod: the memory behind `containerStatuses`. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Container, Pod } from '../api/pods.ts';
import type { Json } from '../base/json.ts';
import { noBackoff, type Backoff } from './backoff.ts';
import type { ContainerHandle } from './drivers/driver.ts';
import type { ContainerInput } from './streams/container-input.ts';

export type Terminated = KubernetesTypes['core.v1.ContainerStateTerminated'];

/** Of a container whose end nobody saw, with the exit code that a kubelet gives it. */
export const unknownEnd = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container ended while the node agent was not running, so its exit code is not known',
} as const;

export type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly kind: 'running'; readonly startedAt: string }
  | { readonly kind: 'terminated'; readonly terminated: Terminated };

/**
 * `main` runs for the pod's life, `init` to its end before the main ones, `sidecar` from there to the pod's end;
 * `ephemeral` was added to look into a pod, runs once, and says nothing about the pod.
 */
export type ContainerRole = 'main' | 'init' | 'sidecar' | 'ephemeral';

export interface ContainerRecord {
  /** As the pod's object has it; its image may change. */
  spec: Container;
  readonly role: ContainerRole;
  state: ContainerState;
  lastTerminated: Terminated | undefined;
  /** Starts so far, less one. */
  restartCount: number;
  /** True once a first start was tried. */
  attempted: boolean;
  imageID: string;
  containerID: string;
  /** Signal that ends it politely: the image's, or SIGTERM. */
  stopSignal: NodeJS.Signals;
  /** The startup probe has succeeded, or there is none and it runs. */
  started: boolean;
  ready: boolean;
  backoff: Backoff;
  pullBackoff: Backoff;
  /** A start under way; nothing else is begun before it settles. */
  activity: Promise<void> | undefined;
  /** Cancels the timer of the next try. */
  cancelRetry: (() => void) | undefined;
  handle: ContainerHandle | undefined;
  /** Standard input of the running container; undefined when it has none, or an earlier agent held it. */
  input: ContainerInput | undefined;
  /** It got another image while it ran: it starts again, whatever the pod's policy is. */
  replaced: boolean;
  /** Set while the agent itself ends the container: why, for the log and the back-off. */
  stopping: boolean;
  stopProbes: (() => void) | undefined;
}

/** The reason for which a container of the pod waits that nothing is wrong with: the kubelet says it of all alike. */
export function waitingReason(pod: Pod): string {
  return (pod.spec?.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating';
}

export function newRecord(
  spec: Container,
  role: ContainerRole,
  reason = 'ContainerCreating',
): ContainerRecord {
  return {
    spec,
    role,
    state: { kind: 'waiting', reason },
    lastTerminated: undefined,
    restartCount: 0,
    attempted: false,
    imageID: '',
    containerID: '',
    stopSignal: 'SIGTERM',
    started: false,
    ready: false,
    backoff: noBackoff,
    pullBackoff: noBackoff,
    activity: undefined,
    cancelRetry: undefined,
    handle: undefined,
    input: undefined,
    replaced: false,
    stopping: false,
    stopProbes: undefined,
  };
}

/** The records of a pod: init containers and sidecars in their order, then the main ones, then ephemeral ones. */
export function recordsOf(pod: Pod): ContainerRecord[] {
  const reason = waitingReason(pod);
  const inits = (pod.spec?.initContainers ?? []).map((spec) =>
    newRecord(spec, spec.restartPolicy === 'Always' ? 'sidecar' : 'init', reason),
  );
  const mains = (pod.spec?.containers ?? []).map((spec) => newRecord(spec, 'main', reason));
  return [...inits, ...mains, ...ephemeralRecords(pod, [])];
}

/** The container as the pod has it now, if it got another image and has not ended for good. */
export function changedSpec(pod: Pod, record: ContainerRecord): Container | undefined {
  const { role, spec, state } = record;
  if (role === 'ephemeral' || (role === 'init' && state.kind === 'terminated')) return undefined;
  const list = role === 'main' ? pod.spec?.containers : pod.spec?.initContainers;
  const next = list?.find(({ name }) => name === spec.name);
  return next !== undefined && next.image !== spec.image ? next : undefined;
}

/** Records of the ephemeral containers that are not among the known ones. */
export function ephemeralRecords(pod: Pod, known: readonly ContainerRecord[]): ContainerRecord[] {
  return (pod.spec?.ephemeralContainers ?? [])
    .filter(({ name }) => !known.some((record) => record.role === 'ephemeral' && record.spec.name === name))
    .map((spec) => newRecord(spec, 'ephemeral', waitingReason(pod)));
}

/** What is kept of a record across a restart of the agent. */
export interface SavedContainer {
  readonly name: string;
  readonly restartCount: number;
  readonly attempted: boolean;
  readonly imageID: string;
  readonly containerID: string;
  readonly stopSignal: NodeJS.Signals;
  readonly startedAt?: string;
  readonly terminated?: Terminated;
  readonly lastTerminated?: Terminated;
  readonly backoffMs: number;
  /** The driver's state of the running container. */
  readonly handle?: Json;
  readonly id?: string;
  /** It ran when the machine went down. */
  readonly wasLost?: boolean;
}

export function saveRecord(record: ContainerRecord): SavedContainer {
  const { state, handle } = record;
  return {
    name: record.spec.name,
    restartCount: record.restartCount,
    attempted: record.attempted,
    imageID: record.imageID,
    containerID: record.containerID,
    stopSignal: record.stopSignal,
    backoffMs: record.backoff.delayMs,
    ...(state.kind === 'running' ? { startedAt: state.startedAt } : {}),
    ...(state.kind === 'terminated' ? { terminated: state.terminated } : {}),
    ...(record.lastTerminated ? { lastTerminated: record.lastTerminated } : {}),
    ...(handle ? { handle: handle.state, id: handle.id } : {}),
  };
}
