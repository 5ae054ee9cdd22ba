import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock } from '../../src/base/clock.ts';
import { controllerOf, timestamp } from '../../src/api/object.ts';
import { cronJobs, jobs, type CronJob, type Job } from '../../src/api/kubernetes/batch.ts';
import { parseCronSchedule } from '../../src/api/kubernetes/cron-schedule.ts';
import { decideDue } from '../../src/cluster/cron-decisions.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';
import { endPod, findEvent, makeJob, namespace, runningPods } from './workload-support.ts';

const start = Date.parse('2026-03-10T09:58:30Z');
const minute = 60_000;

function makeCron(name: string, spec: Partial<NonNullable<CronJob['spec']>> = {}): CronJob {
  const job = makeJob('unused').spec;
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name, namespace },
    spec: {
      schedule: '*/5 * * * *',
      jobTemplate: { metadata: { name: '', labels: { cron: name } }, ...(job ? { spec: job } : {}) },
      ...spec,
    },
  };
}

describe('cron jobs', () => {
  let cluster: TestCluster;
  let clock: ManualClock;
  beforeEach(async () => {
    clock = new ManualClock(start);
    cluster = await startTestCluster({ clock });
  });
  afterEach(async () => {
    const closed = cluster.close();
    clock.advance(1000);
    await closed;
  });

  const get = (name: string): Promise<CronJob> => cluster.client.get(cronJobs, { namespace, name });

  async function jobsOf(name: string): Promise<Job[]> {
    const { items } = await cluster.client.list(jobs, { namespace, labelSelector: `cron=${name}` });
    return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Lets a little time pass between looks: controllers rest before they run. */
  function soon<T>(what: string, check: () => Promise<T | undefined | false>): Promise<T> {
    return waitFor(what, async () => {
      clock.advance(30);
      return check();
    });
  }

  async function create(cron: CronJob): Promise<void> {
    await cluster.client.create(cronJobs, cron);
    await waitFor('the cache', () =>
      Promise.resolve(
        cluster.informers.for(cronJobs).get(`${namespace}/${cron.metadata.name}`) !== undefined,
      ),
    );
    clock.advance(30);
  }

  /** Lets the time of `to` come. */
  function travel(to: string): void {
    clock.advance(Date.parse(`2026-03-10T${to}Z`) - clock.now());
  }

  async function endAll(name: string, exitCode: number): Promise<void> {
    for (const job of await jobsOf(name)) {
      for (const pod of await runningPods(cluster, job.metadata.name)) {
        await endPod(cluster, pod, exitCode, clock.now());
      }
    }
  }

  it('makes a Job when it is due, named by the minute, and notes when it succeeded', async () => {
    await create(makeCron('five', { timeZone: 'America/New_York' }));
    assert.deepEqual(await jobsOf('five'), []);
    travel('10:00:01');
    const [job] = await soon('the Job', async () => {
      const found = await jobsOf('five');
      return found.length > 0 && found;
    });
    const at = Date.parse('2026-03-10T10:00:00Z');
    assert.equal(job?.metadata.name, `five-${at / minute}`);
    assert.equal(
      job.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'],
      '2026-03-10T06:00:00-04:00',
    );
    const cron = await soon('the status', async () => {
      const found = await get('five');
      return found.status?.active?.length === 1 && found;
    });
    assert.equal(controllerOf(job)?.uid, cron.metadata.uid);
    assert.equal(cron.status?.lastScheduleTime, timestamp(at));
    assert.equal(cron.status?.active?.[0]?.name, job.metadata.name);
    await soon('the pod', async () => (await runningPods(cluster, job.metadata.name)).length === 1);
    await endAll('five', 0);
    const done = await soon('the success', async () => {
      const found = await get('five');
      return found.status?.lastSuccessfulTime !== undefined && found;
    });
    assert.equal(done.status?.active, undefined);
    assert.match(
      await soon('events', () => findEvent(cluster, 'CronJob', 'five', 'SawCompletedJob')),
      /^Saw completed job: five-\d+, condition: Complete$/,
    );
  });

  it('makes only the last of the starts that were missed', async () => {
    await create(makeCron('late'));
    travel('11:23:00');
    await soon('the Job', async () => (await jobsOf('late')).length > 0);
    clock.advance(1000);
    const names = (await jobsOf('late')).map((job) => job.metadata.name);
    assert.deepEqual(names, [`late-${Date.parse('2026-03-10T11:20:00Z') / minute}`]);
  });

  it('does not begin while one runs, or takes its place, as it is told', async () => {
    await create(makeCron('forbid', { concurrencyPolicy: 'Forbid' }));
    await create(makeCron('replace', { concurrencyPolicy: 'Replace' }));
    await create(makeCron('allow'));
    const counts = async (): Promise<number[]> =>
      Promise.all(['forbid', 'replace', 'allow'].map(async (name) => (await jobsOf(name)).length));
    travel('10:00:01');
    await soon('three Jobs', async () => (await counts()).join() === '1,1,1');
    await soon('three notes of them', async () => {
      const found = await Promise.all(['forbid', 'replace', 'allow'].map(get));
      return found.every((cron) => cron.status?.active?.length === 1);
    });
    const before = (await jobsOf('replace'))[0]?.metadata.name;
    travel('10:05:01');
    await soon('the next', async () => (await counts()).join() === '1,1,2');
    await soon('another Job', async () => {
      const found = await jobsOf('replace');
      return found.length === 1 && found[0]?.metadata.name !== before;
    });
    assert.equal(
      await soon('events', () => findEvent(cluster, 'CronJob', 'forbid', 'JobAlreadyActive')),
      'Not starting job because prior execution is running and concurrency policy is Forbid',
    );
    // When the one that runs has ended, the start that was held back is made.
    await soon(
      'the pod',
      async () => (await runningPods(cluster, (await jobsOf('forbid'))[0]?.metadata.name ?? '')).length === 1,
    );
    await endAll('forbid', 0);
    await soon('the held back one', async () => (await jobsOf('forbid')).length === 2);
  });

  it('begins nothing while it is suspended, and nothing that is too late', async () => {
    await create(makeCron('asleep', { suspend: true }));
    await create(makeCron('strict', { startingDeadlineSeconds: 60 }));
    travel('10:13:30');
    await soon('the cache', () => Promise.resolve(true));
    assert.deepEqual(await jobsOf('asleep'), []);
    await waitFor('a run', async () => {
      clock.advance(30);
      return (await get('strict')).status?.lastScheduleTime === undefined;
    });
    assert.deepEqual(await jobsOf('strict'), []);
    travel('10:15:01');
    await soon('the next one', async () => (await jobsOf('strict')).length === 1);
    assert.deepEqual(await jobsOf('asleep'), []);
  });

  it('keeps as many finished Jobs as its history asks for', async () => {
    await create(
      makeCron('tidy', { schedule: '* * * * *', successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 0 }),
    );
    for (let i = 0; i < 4; i++) {
      travel(`10:0${i}:01`);
      const name = `tidy-${Date.parse(`2026-03-10T10:0${i}:00Z`) / minute}`;
      await soon('the pod', async () => (await runningPods(cluster, name)).length === 1);
      await endAll('tidy', i === 1 ? 1 : 0);
      if (i !== 1) {
        await soon('its end', async () => {
          const job = (await jobsOf('tidy')).find((item) => item.metadata.name === name);
          return job?.status?.completionTime !== undefined;
        });
      }
      if (i === 1)
        await cluster.client.patch(
          jobs,
          { namespace, name },
          { type: 'merge', body: { spec: { backoffLimit: 0 } } },
        );
    }
    const first = Date.parse('2026-03-10T10:00:00Z') / minute;
    await soon('two Jobs', async () => {
      const names = (await jobsOf('tidy')).map((job) => job.metadata.name);
      return names.join() === `tidy-${first + 2},tidy-${first + 3}`;
    });
  });
});

describe('the start that is due', () => {
  function due(schedule: string, last: string, now: string, more: object = {}) {
    const cron = makeCron('x', { schedule, ...more });
    const lastScheduleTime = new Date(last).toISOString();
    const { at, tooMany } = decideDue(
      { ...cron, status: { lastScheduleTime } },
      parseCronSchedule(schedule),
      Date.parse(now),
    );
    return [at === undefined ? undefined : timestamp(at), tooMany];
  }

  it('is the last one before now, and a hundred missed are worth a warning', () => {
    const last = '2026-03-10T00:00:00Z';
    assert.deepEqual(due('0 * * * *', last, '2026-03-10T00:59:59Z'), [undefined, false]);
    assert.deepEqual(due('0 * * * *', last, '2026-03-10T01:00:00Z'), ['2026-03-10T01:00:00Z', false]);
    assert.deepEqual(due('* * * * *', last, '2026-03-10T01:40:30Z'), ['2026-03-10T01:40:00Z', false]);
    assert.deepEqual(due('* * * * *', last, '2026-03-10T01:41:30Z'), ['2026-03-10T01:41:00Z', true]);
    assert.deepEqual(due('* * * * *', last, '2026-03-10T09:41:30Z', { startingDeadlineSeconds: 200 }), [
      '2026-03-10T09:41:00Z',
      false,
    ]);
    assert.deepEqual(due('30 6-16/4 * * 1-5', '2026-03-06T14:30:00Z', '2026-03-09T09:00:00Z'), [
      '2026-03-09T06:30:00Z',
      false,
    ]);
    assert.deepEqual(due('@every 90m', last, '2026-03-10T10:00:00Z'), ['2026-03-10T09:00:00Z', false]);
    assert.deepEqual(due('59 23 31 2 *', last, '2026-12-31T00:00:00Z'), [undefined, false]);
  });

  it('is never after now, and none lies between it and now', () => {
    const schedules = ['* * * * *', '*/7 * * * *', '0 9 * * 1-5', '15 3 1 * *', '@every 45s', '0 0 29 2 *'];
    const days = fc.integer({ min: 0, max: 400 * 1440 });
    fc.assert(
      fc.property(fc.constantFrom(...schedules), days, days, (text, a, b) => {
        const schedule = parseCronSchedule(text);
        const last = start + Math.min(a, b) * minute;
        const now = start + Math.max(a, b) * minute + 30_000;
        const cron = { ...makeCron('x', { schedule: text }), status: { lastScheduleTime: timestamp(last) } };
        const { at } = decideDue(cron, schedule, now);
        if (at === undefined) assert.ok((schedule.next(last) ?? Number.POSITIVE_INFINITY) > now);
        else {
          assert.ok(at > last && at <= now);
          assert.ok((schedule.next(at) ?? Number.POSITIVE_INFINITY) > now);
        }
      }),
      { numRuns: 60 },
    );
  });
});
