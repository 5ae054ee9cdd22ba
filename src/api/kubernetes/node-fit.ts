/** Whether a node is one that a pod may be on, as pure functions (kubernetes pkg/scheduler, component-helpers/scheduling). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Node } from './nodes.ts';
import { matchesLabels, matchesRequirement } from './selectors.ts';

type PodSpec = KubernetesTypes['core.v1.PodSpec'];
type Requirement = KubernetesTypes['core.v1.NodeSelectorRequirement'];
type Toleration = KubernetesTypes['core.v1.Toleration'];
type Taint = KubernetesTypes['core.v1.Taint'];

/** The taint that a cordoned node has. */
export const unschedulableTaint: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Whether the node is as the pod's node selector and required affinity ask. */
export function matchesNode(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!matchesLabels(spec.nodeSelector ?? {}, labels)) return false;
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (!terms) return true;
  return terms.some(({ matchExpressions = [], matchFields = [] }) => {
    // A term that says nothing matches nothing.
    if (matchExpressions.length + matchFields.length === 0) return false;
    return (
      matchExpressions.every((r) => matches(r, labels[r.key])) &&
      matchFields.every((r) => matches(r, r.key === 'metadata.name' ? node.metadata.name : undefined))
    );
  });
}

/** As for labels, and by number. */
function matches(requirement: Requirement, value: string | undefined): boolean {
  const { operator, values = [] } = requirement;
  if (operator === 'Gt') return Number(value) > Number(values[0]);
  if (operator === 'Lt') return Number(value) < Number(values[0]);
  return matchesRequirement(requirement, value);
}

/** The first taint of one of these effects that no toleration covers; undefined when the node is open to the pod. */
export function untoleratedTaint(
  spec: PodSpec,
  node: Node,
  effects: readonly string[] = ['NoSchedule', 'NoExecute'],
): Taint | undefined {
  const taints = node.spec?.taints ?? [];
  return taints.find((taint) => effects.includes(taint.effect) && !tolerationOf(spec, taint));
}

/** The first toleration of a pod that covers a taint. */
export function tolerationOf(spec: PodSpec, taint: Taint): Toleration | undefined {
  return spec.tolerations?.find((toleration) => tolerates(toleration, taint));
}

/** Whether a pod may be put on a node that takes no more, as those of DaemonSets may. */
export function toleratesUnschedulable(spec: PodSpec): boolean {
  return (spec.tolerations ?? []).some((toleration) => tolerates(toleration, unschedulableTaint));
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  // Without a key only Exists tolerates, and everything.
  return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
}
