/** Jobs and cron jobs. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { ObjectMeta } from '../object.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, ageSince, column, containerCells, formatAge, workloadColumns } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { InvalidCronError, isTimeZone, parseCronSchedule } from './cron-schedule.ts';
import { notNegative, notSupported, oneOf } from './field-issues.ts';
import { jobIssues, jobLabels, jobSpecIssues, jobUpdateIssues, type JobSpec } from './job-validation.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { formatSelector } from './selectors.ts';

export type Job = KubernetesObject<'batch.v1.Job'>;
export type CronJob = KubernetesObject<'batch.v1.CronJob'>;
type CronSpec = KubernetesTypes['batch.v1.CronJobSpec'];

function defaultJobSpec(spec: JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.manualSelector ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const condition of rule.onPodConditions ?? []) condition.status ??= 'True';
  }
  defaultPodTemplate(spec.template);
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

export const jobs = kubernetesResource('batch.v1.Job', {
  group: 'batch',
  plural: 'jobs',
  categories: ['all'],
  orphansByDefault: {
    warning:
      'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning',
  },
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
    const { spec } = job;
    if (!spec) return;
    defaultJobSpec(spec);
    if (context.operation !== 'CREATE' || !spec.template) return;
    const own = spec.template.metadata?.labels ?? {};
    const unlabelled = Object.keys(job.metadata.labels ?? {}).length === 0;
    if (spec.manualSelector) {
      if (unlabelled && Object.keys(own).length > 0) job.metadata.labels = { ...own };
      return;
    }
    const labels = jobLabels(job);
    // A template's metadata has no name, which ObjectMeta has to have.
    spec.template.metadata = { ...spec.template.metadata, labels: { ...own, ...labels } } as ObjectMeta;
    if (unlabelled) job.metadata.labels = { ...spec.template.metadata.labels };
    const key = 'batch.kubernetes.io/controller-uid';
    spec.selector ??= { matchLabels: { [key]: labels[key] ?? '' } };
  },
  issues(job, context) {
    const old = oldOf(job, context);
    if (!old) return jobIssues(job);
    // What is stored was valid once, and most updates are of the status.
    if (context.subresource === 'status' || deepEqual(old.spec, job.spec)) return [];
    return [...jobIssues(job), ...jobUpdateIssues(job, old)];
  },
});

const maxCronName = 52;

function cronIssues(cron: CronJob, old: CronJob | undefined): Issue[] {
  const issues: Issue[] = [];
  const { spec, metadata } = cron;
  if (!old && metadata.name.length > maxCronName) {
    const detail = `must be no more than ${maxCronName} characters`;
    issues.push({ type: 'Invalid', path: 'metadata.name', value: metadata.name, detail });
  }
  if (!spec?.schedule) issues.push({ type: 'Required', path: 'spec.schedule', detail: '' });
  else issues.push(...scheduleIssues(spec, old?.spec));
  if (!spec) return issues;
  const zone = spec.timeZone;
  const zoneFault =
    zone === undefined
      ? undefined
      : zone === ''
        ? 'timeZone must be nil or non-empty string'
        : zone.toLowerCase() === 'local'
          ? 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones'
          : isTimeZone(zone)
            ? undefined
            : `unknown time zone ${zone}`;
  if (zoneFault) issues.push({ type: 'Invalid', path: 'spec.timeZone', value: zone, detail: zoneFault });
  const numbers = [
    'startingDeadlineSeconds',
    'successfulJobsHistoryLimit',
    'failedJobsHistoryLimit',
  ] as const;
  for (const member of numbers) issues.push(...notNegative(spec[member], `spec.${member}`));
  const policies = ['Allow', 'Forbid', 'Replace'];
  issues.push(...oneOf(spec.concurrencyPolicy, 'spec.concurrencyPolicy', policies));
  const job = spec.jobTemplate?.spec;
  if (job?.manualSelector) {
    const path = 'spec.jobTemplate.spec.manualSelector';
    issues.push(notSupported(true, path, ['nil', 'false']));
  }
  issues.push(...jobSpecIssues(job, 'spec.jobTemplate.spec'));
  return issues;
}

function scheduleIssues(spec: CronSpec, old: CronSpec | undefined): Issue[] {
  const { schedule, timeZone } = spec;
  const path = 'spec.schedule';
  const issues: Issue[] = [];
  if (/\bTZ=|CRON_TZ=/.test(schedule) && old?.schedule !== schedule) {
    const detail = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    issues.push({ type: 'Invalid', path, value: schedule, detail });
  }
  try {
    parseCronSchedule(schedule, timeZone !== undefined && isTimeZone(timeZone) ? timeZone : 'UTC');
  } catch (error) {
    if (!(error instanceof InvalidCronError)) throw error;
    issues.push({ type: 'Invalid', path, value: schedule, detail: error.message });
  }
  return issues;
}

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
  issues(cron, context) {
    const old = oldOf(cron, context);
    if (old && (context.subresource === 'status' || deepEqual(old.spec, cron.spec))) return [];
    return cronIssues(cron, old);
  },
});
