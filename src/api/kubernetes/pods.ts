/** The Pod resource. */
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
    if (context.operation !== 'CREATE' || !pod.spec?.containers) return;
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec) };
  },
  issues: podIssues,
});
