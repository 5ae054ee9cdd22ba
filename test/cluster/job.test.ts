import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { controllerOf } from '../../src/api/object.ts';
import { jobs, type Job } from '../../src/api/kubernetes/batch.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { indexKey, trackingFinalizer } from '../../src/cluster/job-pods.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';
import {
  endPod,
  getJob,
  holding,
  makeJob,
  namespace,
  runningPods,
  waitForEvent,
  waitForJob,
  waitForRunning,
} from './workload-support.ts';

describe('jobs', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  const patch = (name: string, spec: object): Promise<Job> =>
    cluster.client.patch(jobs, { namespace, name }, { type: 'merge', body: { spec } });

  /** Ends every pod that comes with what `exitCode` says, until the Job has a last condition. */
  async function runToEnd(name: string, exitCode: (index: number) => number): Promise<Job> {
    return waitFor(`${name} to end`, async () => {
      for (const pod of await runningPods(cluster, name)) {
        const index = Number(pod.metadata.annotations?.[indexKey] ?? -1);
        await endPod(cluster, pod, exitCode(index));
      }
      const job = await getJob(cluster, name);
      return holding(job).some((type) => type === 'Complete' || type === 'Failed') && job;
    });
  }

  async function podsOf(name: string) {
    return (await cluster.client.list(pods, { namespace, labelSelector: `job-name=${name}` })).items;
  }

  it('runs one pod, counts it once and lets it go', async () => {
    await cluster.client.create(jobs, makeJob('one'));
    const [pod] = await waitForRunning(cluster, 'one', 1);
    const running = await waitFor('the active count', async () => {
      const job = await getJob(cluster, 'one');
      return job.status?.active === 1 && job.status.ready === 1 && job;
    });
    assert.ok(running.status?.startTime);
    assert.deepEqual(pod?.metadata.finalizers, [trackingFinalizer]);
    assert.equal(controllerOf(pod)?.uid, running.metadata.uid);
    assert.equal(pod.metadata.labels?.['batch.kubernetes.io/controller-uid'], running.metadata.uid);
    await endPod(cluster, pod, 0);
    const done = await waitForJob(cluster, 'one', 'Complete');
    assert.deepEqual(holding(done), ['SuccessCriteriaMet', 'Complete']);
    assert.equal(done.status?.succeeded, 1);
    assert.equal(done.status?.active, undefined);
    assert.deepEqual(done.status?.uncountedTerminatedPods, {});
    assert.equal(done.status?.ready, 0);
    assert.equal(done.status?.terminating, 0);
    assert.ok(done.status?.completionTime);
    const [left] = await podsOf('one');
    assert.equal(left?.metadata.finalizers, undefined);
    assert.equal(await waitForEvent(cluster, 'Job', 'one', 'Completed'), 'Job completed');
    assert.match(await waitForEvent(cluster, 'Job', 'one', 'SuccessfulCreate'), /^Created pod: one-\w{5}$/);
  });

  it('keeps as many pods running as parallelism says, and no more than are left', async () => {
    await cluster.client.create(jobs, makeJob('many', { completions: 5, parallelism: 2 }));
    let most = 0;
    const unsubscribe = cluster.informers.for(pods).onChange(() => {
      const all = cluster.informers.for(pods).list({ namespace, labels: { 'job-name': 'many' } });
      most = Math.max(
        most,
        all.filter((pod) => pod.metadata.finalizers && pod.status?.phase === 'Running').length,
      );
    });
    const done = await runToEnd('many', () => 0);
    unsubscribe();
    assert.equal(done.status?.succeeded, 5);
    assert.equal((await podsOf('many')).length, 5, 'no pod too many');
    assert.ok(most <= 2, `at most 2 at once, saw ${most}`);
  });

  it('gives each pod of an Indexed Job its index, and notes those that are done', async () => {
    const spec = { completions: 4, parallelism: 4, completionMode: 'Indexed' };
    await cluster.client.create(jobs, makeJob('index', spec));
    const running = await waitForRunning(cluster, 'index', 4);
    const third = running.find((pod) => pod.metadata.annotations?.[indexKey] === '2');
    assert.equal(third?.metadata.labels?.[indexKey], '2');
    assert.equal(third?.spec?.hostname, 'index-2');
    assert.match(third.metadata.name, /^index-2-\w{5}$/);
    assert.deepEqual(third.spec.containers[0]?.env, [
      {
        name: 'JOB_COMPLETION_INDEX',
        valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${indexKey}']` } },
      },
    ]);
    for (const pod of running) {
      if (pod !== third) await endPod(cluster, pod, 0);
    }
    const partly = await waitFor('three indexes', async () => {
      const job = await getJob(cluster, 'index');
      return job.status?.succeeded === 3 && job;
    });
    assert.equal(partly.status?.completedIndexes, '0,1,3');
    await endPod(cluster, third, 0);
    const done = await waitForJob(cluster, 'index', 'Complete');
    assert.equal(done.status?.completedIndexes, '0-3');
    assert.equal(done.status?.succeeded, 4);
  });

  it('fails at its backoff limit, and says why', async () => {
    await cluster.client.create(jobs, makeJob('doomed', { backoffLimit: 0, completions: 2, parallelism: 2 }));
    const [first] = await waitForRunning(cluster, 'doomed', 2);
    assert.ok(first);
    await endPod(cluster, first, 1);
    const failed = await waitForJob(cluster, 'doomed', 'Failed');
    assert.deepEqual(holding(failed), ['FailureTarget', 'Failed']);
    const end = failed.status?.conditions?.find((c) => c.type === 'Failed');
    assert.equal(end?.reason, 'BackoffLimitExceeded');
    assert.equal(end?.message, 'Job has reached the specified backoff limit');
    assert.equal(failed.status?.failed, 2, 'the pod that was running counts as failed');
    assert.equal(failed.status?.active, undefined);
    await waitFor('the other pod to go', async () => (await podsOf('doomed')).length === 1);
    assert.equal(
      await waitForEvent(cluster, 'Job', 'doomed', 'BackoffLimitExceeded'),
      'Job has reached the specified backoff limit',
    );
  });

  it('replaces a failed pod after a while', async () => {
    await cluster.client.create(jobs, makeJob('retry'));
    const [first] = await waitForRunning(cluster, 'retry', 1);
    assert.ok(first);
    // It ended eight seconds ago: of the first wait of ten seconds at least one is left, as times are whole seconds.
    await endPod(cluster, first, 1, Date.now() - 8000);
    const counted = await waitFor('the failure to be counted', async () => {
      const job = await getJob(cluster, 'retry');
      return job.status?.failed === 1 && job;
    });
    assert.equal(counted.status?.active, undefined, 'it waits before it tries again');
    const [second] = await waitForRunning(cluster, 'retry', 1);
    assert.ok(second && second.metadata.uid !== first.metadata.uid);
    await endPod(cluster, second, 0);
    const done = await waitForJob(cluster, 'retry', 'Complete');
    assert.deepEqual([done.status?.succeeded, done.status?.failed], [1, 1]);
  });

  it('does as its pod failure policy says', async () => {
    const rules = [
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } },
    ];
    await cluster.client.create(jobs, makeJob('policy', { podFailurePolicy: { rules } }));
    const [pod] = await waitForRunning(cluster, 'policy', 1);
    assert.ok(pod);
    await endPod(cluster, pod, 42);
    const failed = await waitForJob(cluster, 'policy', 'Failed');
    const end = failed.status?.conditions?.find((c) => c.type === 'Failed');
    assert.equal(end?.reason, 'PodFailurePolicy');
    const where = `Container app for pod default/${pod.metadata.name} failed with exit code 42`;
    assert.equal(end.message, `${where} matching FailJob rule at index 1`);
  });

  it('counts failures by index where it is asked to', async () => {
    const spec = { completions: 3, parallelism: 3, completionMode: 'Indexed', backoffLimitPerIndex: 0 };
    await cluster.client.create(jobs, makeJob('per-index', spec));
    const failed = await runToEnd('per-index', (index) => (index === 1 ? 1 : 0));
    assert.equal(failed.status?.completedIndexes, '0,2');
    assert.equal(failed.status?.failedIndexes, '1');
    assert.equal(failed.status?.failed, 1);
    const end = failed.status?.conditions?.find((c) => c.type === 'Failed');
    assert.deepEqual([end?.reason, end?.message], ['FailedIndexes', 'Job has failed indexes']);
  });

  it('succeeds early by its success policy', async () => {
    const spec = {
      completions: 3,
      parallelism: 3,
      completionMode: 'Indexed',
      successPolicy: { rules: [{ succeededIndexes: '0' }] },
    };
    await cluster.client.create(jobs, makeJob('early', spec));
    const running = await waitForRunning(cluster, 'early', 3);
    const leader = running.find((pod) => pod.metadata.annotations?.[indexKey] === '0');
    assert.ok(leader);
    await endPod(cluster, leader, 0);
    const done = await waitForJob(cluster, 'early', 'Complete');
    const met = done.status?.conditions?.find((c) => c.type === 'SuccessCriteriaMet');
    assert.deepEqual([met?.reason, met?.message], ['SuccessPolicy', 'Matched rules at index 0']);
    assert.equal(done.status?.succeeded, 1);
    assert.equal(done.status?.failed, undefined, 'the others did not fail');
    await waitFor('the others to go', async () => (await podsOf('early')).length === 1);
  });

  it('runs no longer than its deadline', async () => {
    await cluster.client.create(jobs, makeJob('late', { activeDeadlineSeconds: 1 }));
    const failed = await waitForJob(cluster, 'late', 'Failed');
    const end = failed.status?.conditions?.find((c) => c.type === 'Failed');
    assert.equal(end?.reason, 'DeadlineExceeded');
    assert.equal(end.message, 'Job was active longer than specified deadline');
  });

  it('takes its pods away while it is suspended, and counts none of them', async () => {
    await cluster.client.create(jobs, makeJob('pause', { suspend: true }));
    const suspended = await waitForJob(cluster, 'pause', 'Suspended');
    assert.equal(suspended.status?.startTime, undefined);
    assert.equal((await podsOf('pause')).length, 0);
    await patch('pause', { suspend: false });
    await waitForRunning(cluster, 'pause', 1);
    const resumed = await waitFor('resumption', async () => {
      const job = await getJob(cluster, 'pause');
      return job.status?.conditions?.some((c) => c.reason === 'JobResumed' && c.status === 'False') && job;
    });
    assert.ok(resumed.status?.startTime);
    await patch('pause', { suspend: true });
    await waitForJob(cluster, 'pause', 'Suspended');
    await waitFor('the pod to go', async () => (await podsOf('pause')).length === 0);
    await patch('pause', { suspend: false });
    const [pod] = await waitForRunning(cluster, 'pause', 1);
    assert.ok(pod);
    await endPod(cluster, pod, 0);
    const done = await waitForJob(cluster, 'pause', 'Complete');
    assert.deepEqual([done.status?.succeeded, done.status?.failed], [1, undefined]);
    assert.equal(await waitForEvent(cluster, 'Job', 'pause', 'Resumed'), 'Job resumed');
  });

  it('deletes itself some time after its end', async () => {
    await cluster.client.create(jobs, makeJob('brief', { ttlSecondsAfterFinished: 0 }));
    const [pod] = await waitForRunning(cluster, 'brief', 1);
    assert.ok(pod);
    await endPod(cluster, pod, 0);
    await waitFor('the Job to go', () =>
      getJob(cluster, 'brief').then(
        () => false,
        (error: unknown) => isNotFound(error),
      ),
    );
    await waitFor('its pod to go', async () => (await podsOf('brief')).length === 0);
  });

  it('leaves its pods running when it is deleted alone, without its finalizer', async () => {
    await cluster.client.create(jobs, makeJob('orphans'));
    await waitForRunning(cluster, 'orphans', 1);
    await cluster.client.delete(jobs, { namespace, name: 'orphans' }, { propagationPolicy: 'Orphan' });
    const orphan = await waitFor('the pod to be let go', async () => {
      const [pod] = await podsOf('orphans');
      return pod && !controllerOf(pod) && !pod.metadata.finalizers && pod;
    });
    assert.equal(orphan.metadata.deletionTimestamp, undefined);
  });

  it('leaves its pods when nobody says what becomes of them, and says so', async () => {
    await cluster.client.create(jobs, makeJob('unsaid'));
    await waitForRunning(cluster, 'unsaid', 1);
    const key = { namespace, name: 'unsaid' };
    const { warnings } = await cluster.service.delete(jobs, key, { user: 'test' });
    assert.match(warnings.join(), /^child pods are preserved by default when jobs are deleted; set /);
    await waitFor('an orphan', async () => {
      const [pod] = await podsOf('unsaid');
      return pod && !controllerOf(pod) && !pod.metadata.deletionTimestamp;
    });
  });

  it('takes its pods with it in a cascade', async () => {
    for (const propagationPolicy of ['Background', 'Foreground'] as const) {
      const name = propagationPolicy.toLowerCase();
      await cluster.client.create(jobs, makeJob(name));
      await waitForRunning(cluster, name, 1);
      await cluster.client.delete(jobs, { namespace, name }, { propagationPolicy });
      await waitFor('everything to go', async () => {
        const { items } = await cluster.client.list(jobs, { namespace });
        const left = items.some((job) => job.metadata.name === name);
        return !left && (await podsOf(name)).length === 0;
      });
    }
  });

  it('counts a pod that was deleted while it ran as failed', async () => {
    await cluster.client.create(jobs, makeJob('killed', { backoffLimit: 0 }));
    const [pod] = await waitForRunning(cluster, 'killed', 1);
    assert.ok(pod);
    await cluster.client.delete(pods, { namespace, name: pod.metadata.name });
    const failed = await waitForJob(cluster, 'killed', 'Failed');
    assert.equal(failed.status?.failed, 1);
    await waitFor('the pod to go', async () => (await podsOf('killed')).length === 0);
  });

  it('leaves a Job that something else manages alone', async () => {
    await cluster.client.create(jobs, makeJob('foreign', { managedBy: 'example.com/queue' }));
    await cluster.client.create(jobs, makeJob('own'));
    await waitForRunning(cluster, 'own', 1);
    assert.equal((await podsOf('foreign')).length, 0);
    assert.deepEqual((await getJob(cluster, 'foreign')).status, {});
  });
});

describe('a Job whose pod never gets to a node', () => {
  it('counts it as failed when it is deleted, though nothing will ever tell its end', async () => {
    const cluster = await startTestCluster({ node: false });
    try {
      await cluster.client.create(jobs, makeJob('nowhere', { podReplacementPolicy: 'Failed' }));
      const pending = await waitFor('the pod', async () => (await cluster.pods())[0]);
      await cluster.client.delete(pods, { namespace, name: pending.metadata.name });
      const counted = await waitFor('the count', async () => {
        const job = await getJob(cluster, 'nowhere');
        return job.status?.failed === 1 && job;
      });
      assert.equal(counted.status?.terminating, 0);
      await waitFor('the pod to go', async () => (await cluster.pods()).length === 0);
    } finally {
      await cluster.close();
    }
  });
});
