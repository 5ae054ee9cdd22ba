/** RuntimeClasses: names for ways to run a pod. */
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { immutable } from './field-issues.ts';
import { dnsLabelFault } from './names.ts';

export type RuntimeClass = KubernetesObject<'node.v1.RuntimeClass'>;

export const runtimeClasses = kubernetesResource('node.v1.RuntimeClass', {
  group: 'node.k8s.io',
  plural: 'runtimeclasses',
  namespaced: false,
  tracksGeneration: false,
  columns: [column('Handler'), ageColumn],
  cells: (item, now) => [item.handler, ageOf(item, now)],
  issues(item, context) {
    const issues: Issue[] = [];
    const fault = item.handler ? dnsLabelFault(item.handler) : undefined;
    if (!item.handler) issues.push({ type: 'Required', path: 'handler', detail: '' });
    else if (fault) issues.push({ type: 'Invalid', path: 'handler', value: item.handler, detail: fault });
    const old = oldOf(item, context);
    if (old && old.handler !== item.handler) issues.push(immutable(item.handler, 'handler'));
    return issues;
  },
});
