/** The Pod resource. */
import type { Pod } from '../pods.ts';
import type { AdmissionContext } from '../resource.ts';
import { kubernetesResource } from './define.ts';
import { nodes } from './nodes.ts';
import { podCells, podColumns } from './pod-columns.ts';
import { defaultPod, qosClass } from './pod-defaults.ts';
import { podIssues } from './pod-validation.ts';

export type { Pod } from '../pods.ts';

export const pods = kubernetesResource('core.v1.Pod', {
  plural: 'pods',
  shortNames: ['po'],
  categories: ['all'],
  subresources: { status: true },
  columns: podColumns,
  cells: podCells,
  mutate(pod, context) {
    defaultPod(pod);
    if (context.operation !== 'CREATE' || !pod.spec?.containers) return;
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec) };
    const node = onlyNode(pod, context);
    if (node) pod.spec.nodeName ??= node;
  },
  issues: podIssues,
});

/**
 * The node that the pod can only run on: with one schedulable node there is nothing to schedule, and naming it in the
 * same write saves a write, a watch event and a reconcile on the way from zero. Undefined leaves the pod Pending.
 */
function onlyNode(pod: Pod, context: AdmissionContext): string | undefined {
  if (!context.stored || pod.spec?.schedulingGates?.length) return undefined;
  const candidates = [...context.stored(nodes)].filter((node) => !node.spec?.unschedulable);
  const [node] = candidates;
  if (!node || candidates.length > 1) return undefined;
  const wanted = Object.entries(pod.spec?.nodeSelector ?? {});
  return wanted.every(([key, value]) => node.metadata.labels?.[key] === value)
    ? node.metadata.name
    : undefined;
}
