import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { timestamp } from '../../src/api/object.ts';
import type { Job } from '../../src/api/kubernetes/batch.ts';
import type { Pod } from '../../src/api/pods.ts';
import { countEnds, noBackoff, remainingWait } from '../../src/cluster/job-backoff.ts';
import { assessJob, planJob, type JobPlan } from '../../src/cluster/job-decisions.ts';
import {
  countCommon,
  countIndexes,
  firstMissing,
  formatIndexes,
  hasIndex,
  indexesOf,
  parseIndexes,
  unionIndexes,
} from '../../src/cluster/job-indexes.ts';
import { failureCountAnnotation, indexKey, trackingFinalizer } from '../../src/cluster/job-pods.ts';
import { judgeFailure } from '../../src/cluster/job-policies.ts';
import { makeJob } from './workload-support.ts';

const now = Date.parse('2026-01-02T00:00:00Z');

describe('completion indexes', () => {
  const some = fc.array(fc.nat(40), { maxLength: 30 });

  it('are written as ranges of three and more', () => {
    assert.equal(formatIndexes(indexesOf([7, 1, 4, 3, 5])), '1,3-5,7');
    assert.equal(formatIndexes(indexesOf([2, 1])), '1,2');
    assert.equal(formatIndexes([]), '');
    assert.deepEqual(parseIndexes('1,3-5,9-20', 10), [
      [1, 1],
      [3, 5],
      [9, 9],
    ]);
  });

  it('survive being written and read, and count as sets do', () => {
    fc.assert(
      fc.property(some, some, (a, b) => {
        const [left, right] = [indexesOf(a), indexesOf(b)];
        assert.deepEqual(parseIndexes(formatIndexes(left), 100), left);
        assert.equal(countIndexes(left), new Set(a).size);
        const union = new Set([...a, ...b]);
        assert.deepEqual(unionIndexes(left, right), indexesOf(union));
        assert.equal(countCommon(left, right), [...new Set(a)].filter((i) => b.includes(i)).length);
        for (let i = 0; i < 45; i++) assert.equal(hasIndex(left, i), a.includes(i));
        const missing = Array.from({ length: 35 }, (_, i) => i).filter((i) => !union.has(i));
        assert.deepEqual(firstMissing([left, right], 5, 35), missing.slice(0, 5));
      }),
    );
  });
});

interface Given {
  readonly name?: string;
  readonly phase?: string;
  readonly index?: number;
  readonly going?: boolean;
  readonly exitCode?: number;
  /** Seconds since the end. */
  readonly ended?: number;
  readonly failures?: number;
  readonly ready?: boolean;
}

let serial = 0;

function podOf(given: Given): Pod {
  const name = given.name ?? `pod-${serial++}`;
  const { exitCode, index, failures } = given;
  const finishedAt = timestamp(now - (given.ended ?? 3600) * 1000);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      finalizers: [trackingFinalizer],
      creationTimestamp: timestamp(now - 7_200_000),
      ...(given.going ? { deletionTimestamp: timestamp(now + 30_000), deletionGracePeriodSeconds: 30 } : {}),
      annotations: {
        ...(index === undefined ? {} : { [indexKey]: String(index) }),
        ...(failures === undefined ? {} : { [failureCountAnnotation]: String(failures) }),
      },
    },
    status: {
      phase: given.phase ?? 'Running',
      conditions: given.ready ? [{ type: 'Ready', status: 'True', lastTransitionTime: finishedAt }] : [],
      ...(exitCode === undefined
        ? {}
        : {
            containerStatuses: [
              {
                name: 'app',
                image: '',
                imageID: '',
                ready: false,
                restartCount: 0,
                state: { terminated: { exitCode, finishedAt } },
              },
            ],
          }),
    },
  };
}

function decide(spec: Partial<NonNullable<Job['spec']>>, pods: readonly Given[], status: Job['status'] = {}) {
  const job: Job = { ...makeJob('x', { completions: 3, parallelism: 3, ...spec }), status };
  const state = assessJob({
    job,
    pods: pods.map(podOf),
    isReleased: () => false,
    isDeleted: () => false,
    backoff: noBackoff,
    now,
  });
  return { state, plan: planJob(state) };
}

const summary = (plan: JobPlan): object => ({
  remove: plan.remove.map((pod) => pod.metadata.name),
  create: plan.create.map(({ index }) => index ?? 'pod'),
});

describe('what a Job does next', () => {
  it('replaces a pod that is told to go at once, or only when it has ended', () => {
    const pods = [{}, {}, { going: true }];
    const backoffLimit = 100;
    const at = { startTime: timestamp(now - 3_600_000) };
    const eager = decide({ backoffLimit, podReplacementPolicy: 'TerminatingOrFailed' }, pods, at);
    assert.equal(eager.state.failed, 1);
    assert.equal(eager.plan.waitMs, 10_000, 'a pod that was told to go counts as a failure of just now');
    const patient = decide({ backoffLimit, podReplacementPolicy: 'Failed' }, pods, at);
    assert.equal(patient.state.failed, 0);
    assert.deepEqual(summary(patient.plan), { remove: [], create: [] });
    assert.equal(patient.plan.waitMs, undefined);
    assert.equal(patient.state.terminating.length, 1);
  });

  it('begins no more than are left, and removes those that are too many', () => {
    const succeeded = { phase: 'Succeeded' };
    assert.deepEqual(summary(decide({}, [succeeded, succeeded, {}]).plan), { remove: [], create: [] });
    assert.deepEqual(summary(decide({}, [succeeded]).plan), { remove: [], create: ['pod', 'pod'] });
    const pods = [succeeded, succeeded, { name: 'ready', ready: true }, { name: 'starting' }];
    assert.deepEqual(summary(decide({}, pods).plan), { remove: ['starting'], create: [] });
    assert.deepEqual(summary(decide({ suspend: true }, [{ name: 'a' }]).plan), { remove: ['a'], create: [] });
    const { completions: _none, ...open } = makeJob('x', { parallelism: 2 }).spec ?? {};
    const state = assessJob({
      job: { ...makeJob('x'), spec: open as NonNullable<Job['spec']>, status: {} },
      pods: [podOf(succeeded), podOf({})],
      isReleased: () => false,
      isDeleted: () => false,
      backoff: noBackoff,
      now,
    });
    assert.deepEqual(summary(planJob(state)), { remove: [], create: [] }, 'one has succeeded: no new ones');
  });

  it('gives each index one pod: the most useful of several stays', () => {
    const completionMode = 'Indexed';
    const pods = [
      { index: 0, phase: 'Succeeded' },
      { name: 'good', index: 1, ready: true },
      { name: 'twin', index: 1 },
      { name: 'stray', index: 9 },
    ];
    assert.deepEqual(summary(decide({ completionMode }, pods).plan), {
      remove: ['twin', 'stray'],
      create: [],
    });
    assert.deepEqual(summary(decide({ completionMode }, pods.slice(0, 2)).plan), { remove: [], create: [2] });
  });

  it('carries failures of an index on, waits longer each time, and gives the index up', () => {
    const spec = { completionMode: 'Indexed', backoffLimitPerIndex: 2, backoffLimit: 2147483647 };
    const failed = (failures: number, ended: number): Given => ({
      phase: 'Failed',
      exitCode: 1,
      index: 0,
      failures,
      ended,
    });
    const others = [{ index: 1 }, { index: 2 }];
    const first = decide(spec, [failed(0, 3600), ...others]);
    assert.deepEqual(first.plan.create, [{ index: 0, failures: 1 }]);
    assert.equal(first.state.kept.size, 1, 'the failed pod stays until another has its count');
    assert.equal(decide(spec, [failed(0, 0), ...others]).plan.waitMs, 10_000);
    assert.equal(decide(spec, [failed(1, 0), ...others]).plan.waitMs, 20_000);
    const last = decide(spec, [failed(2, 3600), ...others]);
    assert.deepEqual(last.state.failedIndexes, [[0, 0]]);
    assert.deepEqual(last.plan.create, []);
    assert.equal(last.state.decision, undefined, 'the other indexes may still do their work');
    const over = decide({ ...spec, maxFailedIndexes: 0 }, [failed(2, 3600), ...others]);
    assert.equal(over.state.decision?.reason, 'MaxFailedIndexesExceeded');
  });

  it('counts restarts in place against the limit', () => {
    const job = makeJob('x', { backoffLimit: 3 });
    assert.ok(job.spec?.template.spec);
    job.spec.template.spec.restartPolicy = 'OnFailure';
    const pod = podOf({ exitCode: 1 });
    const assess = (restartCount: number) =>
      assessJob({
        job,
        pods: [
          {
            ...pod,
            status: {
              phase: 'Running',
              containerStatuses: [{ name: 'app', image: '', imageID: '', ready: false, restartCount }],
            },
          },
        ],
        isReleased: () => false,
        isDeleted: () => false,
        backoff: noBackoff,
        now,
      }).decision?.reason;
    assert.deepEqual([assess(2), assess(3)], [undefined, 'BackoffLimitExceeded']);
  });
});

describe('the wait after failures', () => {
  it('doubles from ten seconds to ten minutes, and a success forgives', () => {
    const fail = (ended: number): Pod => podOf({ phase: 'Failed', exitCode: 1, ended });
    let record = noBackoff;
    const waits = Array.from({ length: 8 }, () => {
      record = countEnds(record, [], [fail(0)]);
      return remainingWait(record, now) / 1000;
    });
    assert.deepEqual(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    assert.equal(remainingWait(record, now + 590_000), 10_000);
    const forgiven = countEnds(
      record,
      [podOf({ phase: 'Succeeded', exitCode: 0, ended: 5 })],
      [fail(3), fail(9)],
    );
    assert.equal(forgiven.failures, 1, 'only what failed after the success counts');
    assert.equal(remainingWait(noBackoff, now), 0);
  });
});

describe('a pod failure policy', () => {
  const job = makeJob('x', {
    podFailurePolicy: {
      rules: [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        { action: 'Count', onExitCodes: { operator: 'In', values: [1] } },
        { action: 'FailJob', onExitCodes: { operator: 'NotIn', values: [1, 2], containerName: 'app' } },
      ],
    },
  });
  it('is read from the top, and without a match the failure counts', () => {
    const verdict = (exitCode: number, conditions: object[] = []): string => {
      const pod = podOf({ phase: 'Failed', exitCode });
      return judgeFailure(job, { ...pod, status: { ...pod.status, conditions: conditions as never } }).action;
    };
    assert.equal(verdict(1), 'Count');
    assert.equal(verdict(2), 'Count');
    assert.equal(verdict(3), 'FailJob');
    assert.equal(verdict(0), 'Count', 'a container that ended well matches nothing');
    assert.equal(verdict(3, [{ type: 'DisruptionTarget', status: 'True' }]), 'Ignore');
  });
});
