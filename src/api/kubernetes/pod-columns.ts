/** The row of a pod: what `kubectl get pods` shows (kubernetes pkg/printers `printPod`). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import { isPodReady, isPodTerminal, type Pod } from '../pods.ts';
import type { Cell, Column } from '../resource.ts';
import { ageColumn, ageOf, ageSince, column } from './cells.ts';

type ContainerStatus = KubernetesTypes['core.v1.ContainerStatus'];

export const podColumns: readonly Column[] = [
  column('Ready'),
  column('Status'),
  column('Restarts'),
  ageColumn,
  column('IP', 'wide'),
  column('Node', 'wide'),
  column('Nominated Node', 'wide'),
  column('Readiness Gates', 'wide'),
];

interface Summary {
  reason: string;
  ready: number;
  restarts: number;
  /** RFC 3339 of the latest restart. */
  lastRestart: string;
}

export function podCells(pod: Pod, now: number): Cell[] {
  const { reason, ready, restarts, lastRestart } = summarize(pod);
  const sidecars = pod.spec?.initContainers?.filter((c) => c.restartPolicy === 'Always').length ?? 0;
  const total = (pod.spec?.containers.length ?? 0) + sidecars;
  const restartText =
    restarts > 0 && lastRestart ? `${restarts} (${ageSince(lastRestart, now)} ago)` : String(restarts);
  return [
    `${ready}/${total}`,
    reason,
    restartText,
    ageOf(pod, now),
    pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '<none>',
    pod.spec?.nodeName ?? '<none>',
    pod.status?.nominatedNodeName ?? '<none>',
    readinessGates(pod),
  ];
}

function summarize(pod: Pod): Summary {
  const status = pod.status ?? {};
  const init: Summary = {
    reason: status.reason ?? status.phase ?? 'Unknown',
    ready: 0,
    restarts: 0,
    lastRestart: '',
  };
  if (status.conditions?.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated')) {
    init.reason = 'SchedulingGated';
  }
  const sidecars: Summary = { ...init };
  const initializing = summarizeInit(pod, init, sidecars);
  const initialized =
    status.conditions?.some((c) => c.type === 'Initialized' && c.status === 'True') ?? false;
  let summary = init;
  if (!initializing || initialized) {
    // Restarts of init containers that are done say nothing about the pod now.
    summary = { ...init, restarts: sidecars.restarts, lastRestart: sidecars.lastRestart };
    summarizeContainers(pod, summary);
  }
  if (pod.metadata.deletionTimestamp) {
    if (status.reason === 'NodeLost') summary.reason = 'Unknown';
    else if (!isPodTerminal(pod)) summary.reason = 'Terminating';
  }
  return summary;
}

function addRestarts(summary: Summary, container: ContainerStatus): void {
  summary.restarts += container.restartCount;
  const finished = container.lastState?.terminated?.finishedAt ?? '';
  if (finished > summary.lastRestart) summary.lastRestart = finished;
}

/** Reads the init containers up to the first that is not done; true when there is such a one. */
function summarizeInit(pod: Pod, all: Summary, sidecars: Summary): boolean {
  const specs = pod.spec?.initContainers ?? [];
  for (const [i, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = specs.find((c) => c.name === container.name)?.restartPolicy === 'Always';
    addRestarts(all, container);
    if (sidecar) addRestarts(sidecars, container);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecar && container.started) {
      if (container.ready) all.ready++;
      continue;
    }
    if (terminated) all.reason = `Init:${terminatedReason(terminated)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') all.reason = `Init:${waiting.reason}`;
    else all.reason = `Init:${i}/${specs.length}`;
    return true;
  }
  return false;
}

function summarizeContainers(pod: Pod, summary: Summary): void {
  let running = false;
  for (const container of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    addRestarts(summary, container);
    const { waiting, terminated, running: isRunning } = container.state ?? {};
    if (waiting?.reason) summary.reason = waiting.reason;
    else if (terminated) summary.reason = terminatedReason(terminated);
    else if (container.ready && isRunning) {
      running = true;
      summary.ready++;
    }
  }
  if (summary.reason === 'Completed' && running) summary.reason = isPodReady(pod) ? 'Running' : 'NotReady';
}

function terminatedReason(state: KubernetesTypes['core.v1.ContainerStateTerminated']): string {
  if (state.reason) return state.reason;
  return state.signal ? `Signal:${state.signal}` : `ExitCode:${state.exitCode}`;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  const met = gates.filter((gate) =>
    pod.status?.conditions?.some((c) => c.type === gate.conditionType && c.status === 'True'),
  );
  return `${met.length}/${gates.length}`;
}
