/** CronJob → Jobs. Level-triggered: what is active and what succeeded is read from the Jobs, not remembered. */
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import { controllerOf, timestamp } from '../api/object.ts';
import { cronJobs, jobs, type CronJob, type Job } from '../api/kubernetes/batch.ts';
import {
  InvalidCronError,
  isTimeZone,
  parseCronSchedule,
  type CronSchedule,
} from '../api/kubernetes/cron-schedule.ts';
import { hasReason, isAlreadyExists } from '../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import { decideDue, isTooLate, lastSuccess, surplusJobs } from './cron-decisions.ts';
import { findTrue, isFinished } from './job-conditions.ts';
import { isNamespaceGoing } from './pod-control.ts';
import { makeCronJobRun } from './resources/cron-job.ts';

type CronStatus = NonNullable<CronJob['status']>;

/** Timers may fire a little early; starts a little late. Waits this much longer than until the start, ms. */
const slackMs = 20;
/** A start further away is looked for again after this, so that a clock that is set does not go unnoticed for long, ms. */
const longestWaitMs = 10 * 60_000;

export function cronJobController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new CronJobController(env, recorder);
}

class CronJobController implements Controller {
  readonly name = 'cron job';
  readonly root = cronJobs;
  readonly owns = [jobs];
  readonly restMs = 20;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #crons: Informer<CronJob>;
  readonly #jobs: Informer<Job>;
  /** Start that was last made, by CronJob uid: the cache may be behind the status. */
  readonly #made = new Map<string, number>();

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#crons = env.informers.for(cronJobs);
    this.#jobs = env.informers.for(jobs);
    this.#crons.onChange(({ type, object }) => {
      if (type === 'deleted') this.#made.delete(object.metadata.uid ?? '');
    });
  }

  async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
    const cron = this.#crons.get(`${namespace}/${name}`);
    if (!cron?.spec) return undefined;
    const uid = cron.metadata.uid ?? '';
    const children = this.#jobs.ownedBy(uid).filter((job) => controllerOf(job)?.uid === uid);
    this.#tellChanges(cron, children);
    if (cron.metadata.deletionTimestamp) {
      await this.#writeStatus(cron, children, undefined);
      return undefined;
    }
    const schedule = this.#schedule(cron);
    const started = schedule && !cron.spec.suspend ? await this.#start(cron, schedule, children) : undefined;
    const all = started?.job ? [...children, started.job] : children;
    const left = all.filter((job) => !started?.replaced.includes(job));
    await this.#writeStatus(cron, left, started?.at);
    await this.#forget(cron, left);
    if (!schedule || cron.spec.suspend) return undefined;
    const now = this.#env.clock.now();
    const next = schedule.next(now);
    return next === undefined ? undefined : { requeueAfter: Math.min(next - now + slackMs, longestWaitMs) };
  }

  /** Undefined when there is none that could be followed; validation keeps such out, but zones come and go. */
  #schedule(cron: CronJob): CronSchedule | undefined {
    if (!cron.spec) return undefined;
    const { schedule, timeZone } = cron.spec;
    if (timeZone !== undefined && !isTimeZone(timeZone)) {
      const message = `invalid timeZone: ${JSON.stringify(timeZone)}: unknown time zone ${timeZone}`;
      this.#recorder.event(cron, 'Warning', 'UnknownTimeZone', message);
      return undefined;
    }
    try {
      return parseCronSchedule(schedule, timeZone);
    } catch (error) {
      if (!(error instanceof InvalidCronError)) throw error;
      const message = `unparseable schedule: ${JSON.stringify(schedule)} : ${error.message}`;
      this.#recorder.event(cron, 'Warning', 'UnparseableSchedule', message);
      return undefined;
    }
  }

  /** Makes the start that is due, if one is. */
  async #start(
    cron: CronJob,
    schedule: CronSchedule,
    children: readonly Job[],
  ): Promise<{ at: number; job: Job | undefined; replaced: readonly Job[] } | undefined> {
    const now = this.#env.clock.now();
    const { at, tooMany } = decideDue(cron, schedule, now);
    const uid = cron.metadata.uid ?? '';
    if (at === undefined || (this.#made.get(uid) ?? 0) >= at) return undefined;
    if (tooMany) {
      const message =
        'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew';
      this.#recorder.event(cron, 'Warning', 'TooManyMissedTimes', message);
    }
    if (isTooLate(cron, at, now)) {
      const message = `Missed scheduled time to start a job: ${new Date(at).toUTCString()}`;
      this.#recorder.event(cron, 'Warning', 'MissSchedule', message);
      return undefined;
    }
    const active = children.filter((job) => !isFinished(job) && !job.metadata.deletionTimestamp);
    const policy = cron.spec?.concurrencyPolicy;
    if (policy === 'Forbid' && active.length > 0) {
      const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
      this.#recorder.event(cron, 'Normal', 'JobAlreadyActive', message);
      return undefined;
    }
    const replaced = policy === 'Replace' ? active : [];
    for (const job of replaced) await this.#delete(cron, job);
    return { at, job: await this.#create(cron, at), replaced };
  }

  async #create(cron: CronJob, at: number): Promise<Job | undefined> {
    const { client } = this.#env;
    const wanted = makeCronJobRun(cron, at);
    let job: Job;
    try {
      job = await client.create(jobs, wanted);
    } catch (error) {
      if (isNamespaceGoing(error)) return undefined;
      if (isAlreadyExists(error)) {
        // Made by a run that was cut off before it could say so, or by someone else who took the name.
        const there = await client.get(jobs, objectKey(wanted));
        if (controllerOf(there)?.uid === cron.metadata.uid) return there;
      }
      this.#recorder.event(cron, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`);
      throw error;
    }
    this.#made.set(cron.metadata.uid ?? '', at);
    this.#recorder.event(cron, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`);
    return job;
  }

  async #delete(cron: CronJob, job: Job): Promise<void> {
    const { uid } = job.metadata;
    const preconditions = uid ? { uid } : {};
    try {
      await this.#env.client.delete(jobs, objectKey(job), {
        propagationPolicy: 'Background',
        preconditions,
      });
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict')) return;
      const message = `Deleted job: ${messageOf(error)}`;
      this.#recorder.event(cron, 'Warning', 'FailedDelete', message);
      throw error;
    }
    this.#recorder.event(cron, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`);
  }

  /** Compared with the status: which Jobs have finished or vanished since. */
  #tellChanges(cron: CronJob, children: readonly Job[]): void {
    for (const ref of cron.status?.active ?? []) {
      const job = children.find((child) => child.metadata.uid === ref.uid);
      if (!job) {
        this.#recorder.event(cron, 'Normal', 'MissingJob', `Active job went missing: ${ref.name}`);
      } else if (isFinished(job)) {
        const condition = findTrue(job, 'Complete') ? 'Complete' : 'Failed';
        const message = `Saw completed job: ${job.metadata.name}, condition: ${condition}`;
        this.#recorder.event(cron, 'Normal', 'SawCompletedJob', message);
      }
    }
  }

  async #writeStatus(cron: CronJob, children: readonly Job[], at: number | undefined): Promise<void> {
    const active = children
      .filter((job) => !isFinished(job))
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
      .map(({ apiVersion, kind, metadata: { name, namespace = '', uid = '' } }) => ({
        apiVersion,
        kind,
        name,
        namespace,
        uid,
      }));
    // A reference is kept with the version it was noted with: no other member of it ever changes.
    const known = new Map((cron.status?.active ?? []).map((ref) => [ref.uid, ref]));
    const refs = active.map((ref) => known.get(ref.uid) ?? ref);
    const success = lastSuccess(cron, children);
    const scheduled = at === undefined ? cron.status?.lastScheduleTime : timestamp(at);
    const status: CronStatus = {
      ...(refs.length > 0 ? { active: refs } : {}),
      ...(scheduled === undefined ? {} : { lastScheduleTime: scheduled }),
      ...(success === undefined ? {} : { lastSuccessfulTime: success }),
    };
    if (!deepEqual(cron.status ?? {}, status)) await writeStatus(this.#env.client, cronJobs, cron, status);
  }

  async #forget(cron: CronJob, children: readonly Job[]): Promise<void> {
    for (const job of surplusJobs(cron, children)) await this.#delete(cron, job);
  }
}
