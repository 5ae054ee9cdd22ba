/** The DaemonSet resource. */
import { deepEqual } from '../../base/json.ts';
import { ageColumn, ageOf, containerCells, integerColumn, column, workloadColumns } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { notNegative } from './field-issues.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { formatLabels, formatSelector } from './selectors.ts';
import { daemonSetStrategyIssues, workloadIssues } from './workload-validation.ts';

export type DaemonSet = KubernetesObject<'apps.v1.DaemonSet'>;

/** How often the template has changed; older than ControllerRevisions, and still on every DaemonSet and its pods. */
export const templateGenerationAnnotation = 'deprecated.daemonset.template.generation';

function nextTemplateGeneration(set: DaemonSet, old: DaemonSet | undefined): string {
  if (!old) return '1';
  const before = Number(old.metadata.annotations?.[templateGenerationAnnotation] ?? 0) || 0;
  return String(before + (deepEqual(old.spec?.template, set.spec?.template) ? 0 : 1));
}

export const daemonSets = kubernetesResource('apps.v1.DaemonSet', {
  group: 'apps',
  plural: 'daemonsets',
  shortNames: ['ds'],
  categories: ['all'],
  subresources: { status: true },
  columns: [
    integerColumn('Desired'),
    integerColumn('Current'),
    integerColumn('Ready'),
    integerColumn('Up-to-date'),
    integerColumn('Available'),
    column('Node Selector'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (set, now) => [
    set.status?.desiredNumberScheduled ?? 0,
    set.status?.currentNumberScheduled ?? 0,
    set.status?.numberReady ?? 0,
    set.status?.updatedNumberScheduled ?? 0,
    set.status?.numberAvailable ?? 0,
    formatLabels(set.spec?.template.spec?.nodeSelector),
    ageOf(set, now),
    ...containerCells(set.spec?.template.spec),
    formatSelector(set.spec?.selector),
  ],
  mutate(set, context) {
    const spec = set.spec;
    if (!spec) return;
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ??= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    defaultPodTemplate(spec.template);
    if (context.operation === 'CREATE') {
      const none = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0 };
      set.status = { ...none, numberReady: 0 };
    }
    if (context.subresource === 'status') return;
    const generation = nextTemplateGeneration(set, oldOf(set, context));
    set.metadata.annotations = {
      ...set.metadata.annotations,
      [templateGenerationAnnotation]: generation,
    };
  },
  issues(set, context) {
    if (context.subresource === 'status') return [];
    return [
      ...workloadIssues(set.spec, oldOf(set, context)?.spec, 'daemonset'),
      ...notNegative(set.spec?.minReadySeconds, 'spec.minReadySeconds'),
      ...notNegative(set.spec?.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
      ...daemonSetStrategyIssues(set.spec?.updateStrategy),
    ];
  },
});
