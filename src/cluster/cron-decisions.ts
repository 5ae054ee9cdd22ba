/** When a CronJob is due, and which of its Jobs it keeps, as pure functions (kubernetes pkg/controller/cronjob). */
import type { CronSchedule } from '../api/kubernetes/cron-schedule.ts';
import type { CronJob, Job } from '../api/kubernetes/batch.ts';
import { findTrue, isFinished } from './job-conditions.ts';

/** From this many missed starts on something is worth a warning: a wrong clock, or a controller that was off for long. */
const manyMissed = 100;

interface Due {
  /** The most recent start that is due, ms since the epoch; undefined when none is. */
  readonly at: number | undefined;
  /** More starts were missed than is healthy. */
  readonly tooMany: boolean;
}

/**
 * The most recent start that should have been made by `now` and was not. Of several that were missed only the last counts.
 * With `startingDeadlineSeconds`, starts before that time are out of reach.
 */
export function decideDue(cron: CronJob, schedule: CronSchedule, now: number): Due {
  let earliest = Date.parse(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp ?? '') || now;
  const deadline = cron.spec?.startingDeadlineSeconds;
  if (deadline !== undefined) earliest = Math.max(earliest, now - deadline * 1000);
  const none: Due = { at: undefined, tooMany: false };
  const first = schedule.next(earliest);
  if (first === undefined || first > now) return none;
  const second = schedule.next(first);
  if (second === undefined || second > now) return { at: first, tooMany: false };
  // Intervals differ (weekends, ends of months), so the number is an estimate, and the last start is searched for.
  const interval = Math.max(1000, second - first);
  const missed = Math.floor((now - first) / interval) + 1;
  return { at: lastBefore(schedule, first, now, interval), tooMany: missed > manyMissed };
}

/**
 * The last start that is not after `now`, given one that is not. Looks back from `now` in steps that double, so that a
 * year of missed minutes costs no more than an hour of them.
 */
function lastBefore(schedule: CronSchedule, first: number, now: number, interval: number): number {
  for (let back = interval; ; back *= 2) {
    // Counted in whole intervals from the first start, which keeps `@every` on its beat.
    const from = first + Math.max(0, Math.floor((now - first - back) / interval)) * interval;
    let last: number | undefined;
    for (let at = schedule.next(from); at !== undefined && at <= now; at = schedule.next(at)) last = at;
    if (last !== undefined) return last;
    if (from === first) return first;
  }
}

/** Too late for this start: the deadline after it has passed. */
export function isTooLate(cron: CronJob, at: number, now: number): boolean {
  const deadline = cron.spec?.startingDeadlineSeconds;
  return deadline !== undefined && at + deadline * 1000 < now;
}

/** The name of the Job of a start: the same however often the controller tries. */
export function jobName(cron: CronJob, at: number): string {
  return `${cron.metadata.name}-${Math.floor(at / 60_000)}`;
}

/** Finished Jobs beyond the history limits, the oldest first. */
export function surplusJobs(cron: CronJob, jobs: readonly Job[]): Job[] {
  const started = (job: Job): string => job.status?.startTime ?? job.metadata.creationTimestamp ?? '';
  const oldest = (of: 'Complete' | 'Failed', limit: number | undefined): Job[] => {
    if (limit === undefined) return [];
    const list = jobs
      .filter((job) => isFinished(job) && findTrue(job, of) && !job.metadata.deletionTimestamp)
      .sort((a, b) => (started(a) < started(b) ? -1 : started(a) > started(b) ? 1 : byName(a, b)));
    return list.slice(0, Math.max(0, list.length - limit));
  };
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cron.spec ?? {};
  return [...oldest('Complete', successfulJobsHistoryLimit), ...oldest('Failed', failedJobsHistoryLimit)];
}

function byName(a: Job, b: Job): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

/** When the last of the Jobs succeeded, RFC 3339; undefined when none has. */
export function lastSuccess(cron: CronJob, jobs: readonly Job[]): string | undefined {
  const times = jobs
    .filter((job) => findTrue(job, 'Complete'))
    .map((job) => job.status?.completionTime)
    .filter((time) => time !== undefined);
  return [...times, cron.status?.lastSuccessfulTime].reduce(
    (latest, time) => (time !== undefined && (latest === undefined || time > latest) ? time : latest),
    undefined,
  );
}
