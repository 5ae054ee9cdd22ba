/** The Pod resource. */
import { timestamp } from '../object.ts';
import type { Pod } from '../pods.ts';
import { kubernetesResource } from './define.ts';
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
    // As Kubernetes does since a time in which it was not checked (core/v1 `Convert_v1_Pod_To_core_Pod`).
    const { terminationGracePeriodSeconds: grace = 0 } = pod.spec ?? {};
    if (pod.spec && grace < 0) pod.spec.terminationGracePeriodSeconds = 1;
    if (context.operation !== 'CREATE' || !pod.spec?.containers) return;
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec), ...gatedConditions(pod, context.now) };
  },
  issues: podIssues,
});

/** What a pod that nothing may schedule yet says of it (kubernetes pkg/registry/core/pod). */
function gatedConditions({ spec }: Pod, now: number): Pick<NonNullable<Pod['status']>, 'conditions'> {
  if (!spec?.schedulingGates?.length) return {};
  const condition = {
    type: 'PodScheduled',
    status: 'False',
    reason: 'SchedulingGated',
    message: 'Scheduling is blocked due to non-empty scheduling gates',
    lastTransitionTime: timestamp(now),
  };
  return { conditions: [condition] };
}
