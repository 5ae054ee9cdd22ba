/** Whether a pod fits on this one node, and what Kubernetes' scheduler would say when it does not. */
import { matchesNode, toleratesUnschedulable, untoleratedTaint } from '../api/kubernetes/node-fit.ts';
import type { Node } from '../api/kubernetes/nodes.ts';
import { parseQuantity } from '../api/kubernetes/quantity.ts';
import type { Container, Pod } from '../api/pods.ts';
import type { Rejection } from './pod-admission.ts';

/** cpu in cores, memory and ephemeral-storage in bytes. */
export type Requests = ReadonlyMap<string, number>;

function requestsOf(container: Container): Map<string, number> {
  const { limits = {}, requests = {} } = container.resources ?? {};
  const result = new Map<string, number>();
  for (const [name, text] of Object.entries({ ...limits, ...requests }))
    result.set(name, parseQuantity(text) ?? 0);
  return result;
}

/** Sum over containers and sidecars, or the largest init container where that is more (kubernetes `PodRequests`). */
function podRequests(pod: Pod): Map<string, number> {
  const total = new Map<string, number>();
  const add = (into: Map<string, number>, from: Requests): void => {
    for (const [name, value] of from) into.set(name, (into.get(name) ?? 0) + value);
  };
  for (const container of pod.spec?.containers ?? []) add(total, requestsOf(container));
  const sidecars = new Map<string, number>();
  const peak = new Map<string, number>();
  for (const container of pod.spec?.initContainers ?? []) {
    const wanted = requestsOf(container);
    if (container.restartPolicy === 'Always') add(sidecars, wanted);
    else add(wanted, sidecars);
    for (const [name, value] of wanted) peak.set(name, Math.max(peak.get(name) ?? 0, value));
  }
  add(total, sidecars);
  for (const [name, value] of peak) total.set(name, Math.max(total.get(name) ?? 0, value));
  const overhead = Object.entries(pod.spec?.overhead ?? {});
  add(total, new Map(overhead.map(([name, text]) => [name, parseQuantity(text) ?? 0])));
  return total;
}

/**
 * Undefined when the pod fits; otherwise the message of `PodScheduled=False, Unschedulable`. `running` are the pods
 * admitted before.
 */
export function whyUnschedulable(pod: Pod, node: Node, running: readonly Pod[]): string | undefined {
  const spec = pod.spec ?? { containers: [] };
  const reason = whyNotHere(spec, node) ?? (portsAreFree(pod, running) ? undefined : `1 ${noFreePorts}`);
  const reasons =
    reason === undefined
      ? shortages(pod, node, running).map(({ name }) =>
          name === 'pods' ? '1 Too many pods' : `1 Insufficient ${name}`,
        )
      : [reason];
  if (reasons.length === 0) return undefined;
  return `0/1 nodes are available: ${reasons.sort().join(', ')}.`;
}

/** What the first of the scheduler's filters says that a node does not pass; the others are not asked. */
function whyNotHere(spec: NonNullable<Pod['spec']>, node: Node): string | undefined {
  if (node.spec?.unschedulable && !toleratesUnschedulable(spec)) return '1 node(s) were unschedulable';
  const taint = untoleratedTaint(spec, node, ['NoSchedule', 'NoExecute']);
  if (taint) return `1 node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  return matchesNode(spec, node) ? undefined : `1 ${noMatch}`;
}

const noMatch = "node(s) didn't match Pod's node affinity/selector";
const noFreePorts = "node(s) didn't have free ports for the requested pod ports";

/**
 * Why this node fails a pod that somebody put here by its name, past the scheduler (kubelet `predicateAdmitHandler`);
 * undefined when it fits. Only a taint that would make it leave again keeps it away; resources that the node does not
 * have at all are somebody else's to count.
 */
export function whyMisplaced(pod: Pod, node: Node, running: readonly Pod[]): Rejection | undefined {
  const spec = pod.spec ?? { containers: [] };
  const known = node.status?.allocatable ?? {};
  const shortage = shortages(pod, node, running).find(
    ({ name }) => name === 'pods' || known[name] !== undefined,
  );
  if (shortage) {
    const [requested, used, capacity] = [shortage.requested, shortage.used, shortage.capacity].map((value) =>
      Math.ceil(shortage.name === 'cpu' ? value * 1000 - 1e-6 : value),
    );
    const figures = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
    const message = `Node didn't have enough resource: ${shortage.name}, ${figures}`;
    return { reason: `OutOf${shortage.name}`, message };
  }
  const failed = (reason: string, why: string): Rejection => ({
    reason,
    message: `Predicate ${reason} failed: ${why}`,
  });
  if (!matchesNode(spec, node)) return failed('NodeAffinity', noMatch);
  if (!portsAreFree(pod, running)) return failed('NodePorts', noFreePorts);
  return untoleratedTaint(spec, node, ['NoExecute'])
    ? failed('TaintToleration', "node(s) had taints that the pod didn't tolerate")
    : undefined;
}

interface Shortage {
  readonly name: string;
  /** In cores or bytes, or a number of pods. */
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

function shortages(pod: Pod, node: Node, running: readonly Pod[]): Shortage[] {
  const used = new Map<string, number>([['pods', running.length]]);
  for (const other of running) {
    for (const [name, value] of podRequests(other)) used.set(name, (used.get(name) ?? 0) + value);
  }
  const wanted = new Map([['pods', 1], ...podRequests(pod)]);
  const allocatable = node.status?.allocatable ?? {};
  return (
    [...wanted]
      .map(([name, requested]) => ({
        name,
        requested,
        used: used.get(name) ?? 0,
        capacity: parseQuantity(allocatable[name] ?? '0') ?? 0,
      }))
      // A billionth absorbs the rounding of sums of decimal fractions.
      .filter((item) => item.requested > item.capacity - item.used + 1e-9)
  );
}

interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** Ports of this machine that a pod asks for. */
function hostPortsOf({ spec }: Pod): HostPort[] {
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(spec?.containers ?? []), ...sidecars].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP, protocol = 'TCP' }) =>
      hostPort ? [{ ip: hostIP || anyAddress, protocol, port: hostPort }] : [],
    ),
  );
}

const anyAddress = '0.0.0.0';

/** An address stands for itself, and 0.0.0.0 for all (scheduler framework `HostPortInfo`). */
function portsAreFree(pod: Pod, running: readonly Pod[]): boolean {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return true;
  const taken = running.flatMap(hostPortsOf);
  return !wanted.some((a) =>
    taken.some(
      (b) =>
        a.port === b.port &&
        a.protocol === b.protocol &&
        (a.ip === b.ip || a.ip === anyAddress || b.ip === anyAddress),
    ),
  );
}
