/** Jobs and cron jobs. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, ageSince, column, containerCells, formatAge, workloadColumns } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { podTemplateIssues } from './pod-validation.ts';
import { formatSelector } from './selectors.ts';

export type Job = KubernetesObject<'batch.v1.Job'>;
export type CronJob = KubernetesObject<'batch.v1.CronJob'>;
type JobSpec = KubernetesTypes['batch.v1.JobSpec'];

function defaultJobSpec(spec: JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  defaultPodTemplate(spec.template);
}

function jobSpecIssues(spec: JobSpec | undefined, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const member of ['parallelism', 'completions', 'backoffLimit', 'ttlSecondsAfterFinished'] as const) {
    const value = spec?.[member];
    if (value === undefined || value >= 0) continue;
    const detail = 'must be greater than or equal to 0';
    issues.push({ type: 'Invalid', path: `${path}.${member}`, value, detail });
  }
  issues.push(...podTemplateIssues(spec?.template, `${path}.template`));
  const policy = spec?.template.spec?.restartPolicy;
  if (policy === 'Always') {
    issues.push({
      type: 'Required',
      path: `${path}.template.spec.restartPolicy`,
      detail: 'valid values: "OnFailure", "Never"',
    });
  }
  return issues;
}

function jobStatus(job: Job): string {
  const is = (type: string): boolean =>
    job.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp) return 'Terminating';
  if (is('Suspended')) return 'Suspended';
  if (is('FailureTarget')) return 'FailureTarget';
  return is('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function completions(job: Job): string {
  const succeeded = job.status?.succeeded ?? 0;
  const { completions, parallelism = 0 } = job.spec ?? {};
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function runTime(job: Job, now: number): string {
  const { startTime, completionTime } = job.status ?? {};
  if (!startTime) return '';
  return formatAge((completionTime ? Date.parse(completionTime) : now) - Date.parse(startTime));
}

/** Labels that tie a job's pods to it; the old name is still what most selectors in the wild use. */
function jobLabels(job: Job): { [key: string]: string } {
  const { uid = '', name } = job.metadata;
  return {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
}

export const jobs = kubernetesResource('batch.v1.Job', {
  group: 'batch',
  plural: 'jobs',
  categories: ['all'],
  subresources: { status: true },
  columns: [column('Status'), column('Completions'), column('Duration'), ageColumn, ...workloadColumns],
  cells: (job, now) => [
    jobStatus(job),
    completions(job),
    runTime(job, now),
    ageOf(job, now),
    ...containerCells(job.spec?.template.spec),
    formatSelector(job.spec?.selector),
  ],
  mutate(job, context) {
    if (!job.spec) return;
    defaultJobSpec(job.spec);
    if (context.operation !== 'CREATE' || job.spec.manualSelector || !job.spec.template) return;
    const labels = jobLabels(job);
    const { template } = job.spec;
    const own = 'batch.kubernetes.io/controller-uid';
    template.metadata = { ...template.metadata, name: template.metadata?.name ?? '' };
    template.metadata.labels = { ...template.metadata.labels, ...labels };
    if (!template.metadata.name) delete (template.metadata as { name?: string }).name;
    job.spec.selector ??= { matchLabels: { [own]: labels[own] ?? '' } };
  },
  issues(job, context) {
    const issues = jobSpecIssues(job.spec, 'spec');
    const old = oldOf(job, context)?.spec;
    for (const member of ['template', 'selector', 'completionMode'] as const) {
      if (!old || deepEqual(old[member], job.spec?.[member])) continue;
      const path = `spec.${member}`;
      issues.push({ type: 'Invalid', path, value: job.spec?.[member], detail: 'field is immutable' });
    }
    return issues;
  },
});

export const cronJobs = kubernetesResource('batch.v1.CronJob', {
  group: 'batch',
  plural: 'cronjobs',
  shortNames: ['cj'],
  categories: ['all'],
  subresources: { status: true },
  columns: [
    column('Schedule'),
    column('Timezone'),
    { name: 'Suspend', type: 'boolean' },
    { name: 'Active', type: 'integer' },
    column('Last Schedule'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (job, now) => [
    job.spec?.schedule ?? '',
    job.spec?.timeZone ?? '<none>',
    job.spec?.suspend ?? false,
    job.status?.active?.length ?? 0,
    job.status?.lastScheduleTime ? ageSince(job.status.lastScheduleTime, now) : '<none>',
    ageOf(job, now),
    ...containerCells(job.spec?.jobTemplate.spec?.template.spec),
    formatSelector(job.spec?.jobTemplate.spec?.selector),
  ],
  mutate({ spec }) {
    if (!spec) return;
    spec.concurrencyPolicy ??= 'Allow';
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    defaultPodTemplate(spec.jobTemplate?.spec?.template);
  },
  issues(job) {
    const issues = jobSpecIssues(job.spec?.jobTemplate.spec, 'spec.jobTemplate.spec');
    if (!job.spec?.schedule) issues.push({ type: 'Required', path: 'spec.schedule', detail: '' });
    return issues;
  },
});
