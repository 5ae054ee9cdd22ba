/** Whether a pod fits on this one node, and what Kubernetes' scheduler would say when it does not. */
import { matchesNode, toleratesUnschedulable, untoleratedTaint } from '../api/kubernetes/node-fit.ts';
import type { Node } from '../api/kubernetes/nodes.ts';
import { parseQuantity } from '../api/kubernetes/quantity.ts';
import type { Container, Pod } from '../api/pods.ts';

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
export function whyUnschedulable(pod: Pod, node: Node, running: Iterable<Pod>): string | undefined {
  const spec = pod.spec ?? { containers: [] };
  const reason = whyNotHere(spec, node);
  const reasons = reason === undefined ? whyNoRoom(pod, node, running) : [reason];
  if (reasons.length === 0) return undefined;
  return `0/1 nodes are available: ${reasons.sort().join(', ')}.`;
}

/** What the first of the scheduler's filters says that a node does not pass; the others are not asked. */
function whyNotHere(spec: NonNullable<Pod['spec']>, node: Node): string | undefined {
  // Who names the node passes the scheduler by: only what would make it leave again keeps it away.
  const isBound = Boolean(spec.nodeName);
  if (!isBound && node.spec?.unschedulable && !toleratesUnschedulable(spec)) {
    return '1 node(s) were unschedulable';
  }
  const taint = untoleratedTaint(spec, node, isBound ? ['NoExecute'] : ['NoSchedule', 'NoExecute']);
  if (taint) return `1 node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  return matchesNode(spec, node) ? undefined : "1 node(s) didn't match Pod's node affinity/selector";
}

function whyNoRoom(pod: Pod, node: Node, running: Iterable<Pod>): string[] {
  const reasons: string[] = [];
  const wanted = podRequests(pod);
  const used = new Map<string, number>();
  let count = 0;
  for (const other of running) {
    count++;
    for (const [name, value] of podRequests(other)) used.set(name, (used.get(name) ?? 0) + value);
  }
  const allocatable = node.status?.allocatable ?? {};
  if (count + 1 > (parseQuantity(allocatable['pods'] ?? '') ?? 0)) reasons.push('1 Too many pods');
  for (const [name, value] of wanted) {
    const room = (parseQuantity(allocatable[name] ?? '0') ?? 0) - (used.get(name) ?? 0);
    // A billionth absorbs the rounding of sums of decimal fractions.
    if (value > room + 1e-9) reasons.push(`1 Insufficient ${name}`);
  }
  return reasons;
}
