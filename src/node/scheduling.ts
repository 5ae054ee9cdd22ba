/** Whether a pod fits on this one node, and what Kubernetes' scheduler would say when it does not. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Node } from '../api/kubernetes/nodes.ts';
import { parseQuantity } from '../api/kubernetes/quantity.ts';
import { matchesLabels, matchesRequirement } from '../api/kubernetes/selectors.ts';
import type { Container, Pod } from '../api/pods.ts';

type Requirement = KubernetesTypes['core.v1.NodeSelectorRequirement'];

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
  return total;
}

/**
 * Undefined when the pod fits; otherwise the message of `PodScheduled=False, Unschedulable`. `running` are the pods
 * admitted before.
 */
export function whyUnschedulable(pod: Pod, node: Node, running: Iterable<Pod>): string | undefined {
  const reasons: string[] = [];
  if (node.spec?.unschedulable) reasons.push('1 node(s) were unschedulable');
  if (!matchesNode(pod, node)) reasons.push("1 node(s) didn't match Pod's node affinity/selector");
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
  if (reasons.length === 0) return undefined;
  return `0/1 nodes are available: ${reasons.sort().join(', ')}.`;
}

function matchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const selected = matchesLabels(pod.spec?.nodeSelector ?? {}, labels);
  const terms =
    pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (!selected || !terms) return selected;
  return terms.some(
    (term) =>
      (term.matchExpressions ?? []).every((r) => matches(r, labels[r.key])) &&
      (term.matchFields ?? []).every((r) =>
        matches(r, r.key === 'metadata.name' ? node.metadata.name : undefined),
      ),
  );
}

/** As for labels, and by number. */
function matches(requirement: Requirement, value: string | undefined): boolean {
  const { operator, values = [] } = requirement;
  if (operator === 'Gt') return Number(value) > Number(values[0]);
  if (operator === 'Lt') return Number(value) < Number(values[0]);
  return matchesRequirement(requirement, value);
}
