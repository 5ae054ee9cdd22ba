/** Pod status from what the agent knows. Pure; the rules are the kubelet's (pkg/kubelet `getPhase`, `GenerateStatus`). */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { timestamp } from '../api/object.ts';
import { qosClass } from '../api/kubernetes/pod-defaults.ts';
import type { Pod } from '../api/pods.ts';
import type { ContainerRecord } from './container-record.ts';

export type PodStatus = KubernetesTypes['core.v1.PodStatus'];
type PodCondition = KubernetesTypes['core.v1.PodCondition'];
type ContainerStatus = KubernetesTypes['core.v1.ContainerStatus'];

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export interface StatusInput {
  readonly pod: Pod;
  readonly records: readonly ContainerRecord[];
  /** Why the pod is not scheduled, or undefined when it is. */
  readonly unschedulable: string | undefined;
  /** Address of the sandbox, once it exists. */
  readonly podIP: string | undefined;
  readonly hostIP: string;
  /** A decision of the agent that outranks the containers' states: DeadlineExceeded… */
  readonly verdict: { readonly phase: Phase; readonly reason: string; readonly message: string } | undefined;
  readonly startTime: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export function makeStatus(input: StatusInput): PodStatus {
  const { pod, records, now } = input;
  const phase = input.verdict?.phase ?? phaseOf(pod, records);
  const inits = records.filter(({ role }) => role === 'init' || role === 'sidecar');
  const mains = records.filter((record) => record.role === 'main');
  const ephemeral = records.filter((record) => record.role === 'ephemeral');
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(input, phase, inits, mains),
    qosClass: pod.status?.qosClass ?? (pod.spec ? qosClass(pod.spec) : 'BestEffort'),
    hostIP: input.hostIP,
    hostIPs: [{ ip: input.hostIP }],
    observedGeneration: pod.metadata.generation ?? 1,
  };
  if (input.unschedulable !== undefined) {
    const waiting = { phase, conditions: status.conditions ?? [], qosClass: status.qosClass ?? '' };
    return withTransitionTimes(waiting, pod.status?.conditions ?? [], now);
  }
  if (input.podIP !== undefined) {
    status.podIP = input.podIP;
    status.podIPs = [{ ip: input.podIP }];
  }
  if (input.startTime !== undefined) status.startTime = input.startTime;
  if (input.verdict) {
    status.reason = input.verdict.reason;
    status.message = input.verdict.message;
  }
  status.containerStatuses = mains.map(containerStatus);
  if (inits.length > 0) status.initContainerStatuses = inits.map(containerStatus);
  if (ephemeral.length > 0) status.ephemeralContainerStatuses = ephemeral.map(ephemeralStatus);
  return withTransitionTimes(status, pod.status?.conditions ?? [], now);
}

/** What a container waits for on the way to its first start. */
const usualWaits = new Set(['ContainerCreating', 'PodInitializing']);

/**
 * Whether a status, and the one before it, are only of a pod's way to its first readiness: nothing failed, nothing
 * ended, nobody can act on it yet.
 */
export function isStarting(before: PodStatus, status: PodStatus): boolean {
  return isOnItsWay(before) && isOnItsWay(status);
}

function isOnItsWay({
  phase = 'Pending',
  conditions,
  containerStatuses,
  initContainerStatuses,
}: PodStatus): boolean {
  if (phase !== 'Pending' && phase !== 'Running') return false;
  const isTrue = (type: string): boolean | undefined => {
    const found = conditions?.find((condition) => condition.type === type);
    return found && found.status === 'True';
  };
  if (isTrue('ContainersReady') || isTrue('PodScheduled') === false) return false;
  const all = [...(containerStatuses ?? []), ...(initContainerStatuses ?? [])];
  return all.every(({ restartCount, state = {} }) => {
    const { waiting, terminated } = state;
    const isUsual = waiting === undefined || usualWaits.has(waiting.reason ?? '');
    return restartCount === 0 && terminated === undefined && isUsual;
  });
}

/** The phase that the containers' states add up to. */
export function phaseOf(pod: Pod, records: readonly ContainerRecord[]): Phase {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  for (const record of records) {
    if (record.role === 'init') {
      if (isDone(record)) continue;
      const failed = record.state.kind === 'terminated' && policy === 'Never';
      return failed ? 'Failed' : 'Pending';
    }
    if (record.role === 'sidecar' && !record.started && !anyMainAttempted(records)) return 'Pending';
  }
  let running = 0;
  let waiting = 0;
  let succeeded = 0;
  let failed = 0;
  for (const record of records) {
    if (record.role !== 'main') continue;
    if (record.state.kind === 'running' || record.replaced) running++;
    else if (record.state.kind === 'terminated') {
      if (record.state.terminated.exitCode === 0) succeeded++;
      else failed++;
    } else if (record.lastTerminated) failed++;
    else waiting++;
  }
  if (waiting > 0) return 'Pending';
  if (running > 0) return 'Running';
  if (policy === 'Always') return 'Running';
  if (failed === 0) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

function anyMainAttempted(records: readonly ContainerRecord[]): boolean {
  return records.some((record) => record.role === 'main' && record.attempted);
}

/** An init container that has done its work. */
export function isDone(record: ContainerRecord): boolean {
  return record.state.kind === 'terminated' && record.state.terminated.exitCode === 0;
}

function isInitialized(record: ContainerRecord): boolean {
  return record.role === 'sidecar' ? record.started : isDone(record);
}

function conditionsOf(
  input: StatusInput,
  phase: Phase,
  inits: readonly ContainerRecord[],
  mains: readonly ContainerRecord[],
): PodCondition[] {
  const { pod } = input;
  const own: PodCondition[] = [];
  const add = (type: string, status: boolean, reason = '', message = ''): void => {
    own.push({
      type,
      status: status ? 'True' : 'False',
      ...(reason && !status ? { reason } : {}),
      ...(message && !status ? { message } : {}),
    });
  };
  if (input.unschedulable !== undefined) {
    add('PodScheduled', false, 'Unschedulable', input.unschedulable);
  } else {
    const ended = phase === 'Succeeded' || phase === 'Failed';
    add('PodReadyToStartContainers', input.podIP !== undefined && !ended);
    const incomplete = inits.filter((record) => !isInitialized(record)).map((record) => record.spec.name);
    const initialized = incomplete.length === 0 || phase === 'Succeeded';
    add('Initialized', initialized, 'ContainersNotInitialized', listed('incomplete', incomplete));
    const unready = [...inits.filter((record) => record.role === 'sidecar'), ...mains]
      .filter((record) => !record.ready)
      .map((record) => record.spec.name);
    let reason = 'ContainersNotReady';
    if (phase === 'Succeeded') reason = 'PodCompleted';
    if (phase === 'Failed') reason = 'PodFailed';
    const message = phase === 'Succeeded' ? '' : listed('unready', unready);
    const containersReady = !ended && initialized && unready.length === 0;
    const missing = (pod.spec?.readinessGates ?? [])
      .map((gate) => gate.conditionType)
      .filter((type) => pod.status?.conditions?.find((c) => c.type === type)?.status !== 'True');
    if (containersReady && missing.length > 0) {
      const gates = missing.map(
        (type) => `corresponding condition of pod readiness gate "${type}" does not exist.`,
      );
      add('Ready', false, 'ReadinessGatesNotReady', gates.join(', '));
    } else {
      add('Ready', containersReady, reason, message);
    }
    add('ContainersReady', containersReady, reason, message);
    add('PodScheduled', true);
  }
  const names = new Set(own.map((condition) => condition.type));
  // Conditions of others (readiness gates) stay.
  return [...own, ...(pod.status?.conditions ?? []).filter((condition) => !names.has(condition.type))];
}

function listed(what: string, names: readonly string[]): string {
  return names.length > 0 ? `containers with ${what} status: [${names.join(' ')}]` : '';
}

function containerStatus(record: ContainerRecord): ContainerStatus {
  const { state, spec } = record;
  const status: ContainerStatus = {
    name: spec.name,
    image: spec.image ?? '',
    imageID: record.imageID,
    restartCount: record.restartCount,
    ready: record.role === 'init' ? isDone(record) : record.ready,
    started: record.role === 'init' ? state.kind === 'running' : record.started,
    state: {},
    lastState: record.lastTerminated ? { terminated: record.lastTerminated } : {},
  };
  if (record.containerID) status.containerID = record.containerID;
  if (state.kind === 'running') status.state = { running: { startedAt: state.startedAt } };
  else if (state.kind === 'terminated') status.state = { terminated: state.terminated };
  else {
    const { reason, message } = state;
    status.state = { waiting: message === undefined ? { reason } : { reason, message } };
  }
  return status;
}

/** An ephemeral container has no readiness: it is never part of what the pod serves. */
function ephemeralStatus(record: ContainerRecord): ContainerStatus {
  const { started: _, ...status } = containerStatus(record);
  return { ...status, ready: false };
}

/** Keeps the time of conditions whose status did not change. */
function withTransitionTimes(status: PodStatus, old: readonly PodCondition[], now: number): PodStatus {
  const conditions = (status.conditions ?? []).map((condition) => {
    const before = old.find((other) => other.type === condition.type);
    const lastTransitionTime =
      before?.status === condition.status && before.lastTransitionTime
        ? before.lastTransitionTime
        : timestamp(now);
    return { ...condition, lastTransitionTime };
  });
  return { ...status, conditions };
}
