import { controllerRef } from '../../api/object.ts';
import type { CronJob, Job } from '../../api/kubernetes/batch.ts';
import { jobName } from '../cron-decisions.ts';

/** When the Job was to start, in the CronJob's time zone. */
const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

/** The Job of the start at `at`, ms since the epoch. */
export function makeCronJobRun(cron: CronJob, at: number): Job {
  const { metadata, spec } = cron.spec?.jobTemplate ?? {};
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(cron, at),
      ...(cron.metadata.namespace ? { namespace: cron.metadata.namespace } : {}),
      ...(metadata?.labels ? { labels: metadata.labels } : {}),
      annotations: {
        ...metadata?.annotations,
        [scheduledAnnotation]: zonedTime(at, cron.spec?.timeZone ?? 'UTC'),
      },
      ownerReferences: [controllerRef(cron)],
    },
    ...(spec ? { spec } : {}),
  };
}

/** RFC 3339 with the offset of the zone at that time. */
function zonedTime(at: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' }).formatToParts(at);
  const name = parts.find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
  const [, sign = '+', hours = '00', minutes = '00'] = /^GMT(?:([+-])(\d\d):(\d\d))?/.exec(name) ?? [];
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
  const local = new Date(at + offset * 60_000).toISOString().slice(0, 19);
  return offset === 0 ? `${local}Z` : `${local}${sign}${hours}:${minutes}`;
}
