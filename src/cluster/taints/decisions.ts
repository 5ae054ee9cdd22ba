/** Whether and when a pod has to leave its node for taints (kubernetes pkg/controller/tainteviction). Pure. */
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import { tolerationOf } from '../../api/kubernetes/node-fit.ts';

type PodSpec = KubernetesTypes['core.v1.PodSpec'];
type Taint = KubernetesTypes['core.v1.Taint'];

/**
 * How long a pod may stay once it is found on a node with these taints, ms: 0 when it does not tolerate one of them,
 * undefined for ever. The shortest of the tolerations that it needs counts.
 */
export function patienceMs(spec: PodSpec, taints: readonly Taint[]): number | undefined {
  const needed = taints
    .filter(({ effect }) => effect === 'NoExecute')
    .map((taint) => tolerationOf(spec, taint));
  const seconds = needed.map((toleration) => (toleration ? (toleration.tolerationSeconds ?? Infinity) : 0));
  const least = Math.min(...seconds);
  return least === Infinity ? undefined : Math.max(0, least) * 1000;
}

/** The taints that a node should have: a cordon shows as one. Undefined when it has them already. */
export function cordonTaints(
  spec: KubernetesTypes['core.v1.NodeSpec'] | undefined,
  cordon: Taint,
): Taint[] | undefined {
  const taints = spec?.taints ?? [];
  const isCordon = (taint: Taint): boolean => taint.key === cordon.key && taint.effect === cordon.effect;
  const has = taints.some(isCordon);
  if (has === (spec?.unschedulable ?? false)) return undefined;
  return has ? taints.filter((taint) => !isCordon(taint)) : [...taints, cordon];
}
