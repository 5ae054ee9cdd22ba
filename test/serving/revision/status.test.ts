import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextConditions } from '../../../src/api/knative/conditions.ts';
import type { Deployment } from '../../../src/api/kubernetes/workloads.ts';
import type { Pod } from '../../../src/api/pods.ts';
import {
  judgeRevision,
  revisionConditions,
  type RevisionFacts,
} from '../../../src/serving/revision/status.ts';

const late: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'r-deployment', namespace: 'default' },
  spec: { replicas: 1, selector: {}, template: {} },
  status: {
    conditions: [
      {
        type: 'Progressing',
        status: 'False',
        reason: 'ProgressDeadlineExceeded',
        message: 'ReplicaSet "r-deployment-1" has timed out progressing.',
      },
    ],
  },
};

function podWith(state: object): Pod {
  const container = {
    name: 'user-container',
    image: 'i',
    imageID: 'i',
    ready: false,
    restartCount: 1,
    ...state,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'default' },
    status: { phase: 'Running', containerStatuses: [container] },
  };
}

function readyOf(pod: Pod) {
  const facts: RevisionFacts = {
    deployment: late,
    pods: [pod],
    autoscaler: undefined,
    initialScale: 1,
    containers: new Set(['user-container']),
    alwaysSchedulable: false,
  };
  const conditions = nextConditions(revisionConditions, undefined, judgeRevision(facts), 0);
  return conditions.find(({ type }) => type === 'Ready');
}

test('past its deadline, a container that crashed is still told by its exit code and last words', () => {
  const crashed = podWith({
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 7, message: 'boom: no database\n' } },
  });
  assert.equal(readyOf(crashed)?.reason, 'ExitCode7');
  assert.equal(readyOf(crashed)?.message, 'Container failed with: boom: no database');
});

test('past its deadline, a container that runs and never opens its port is late', () => {
  assert.equal(readyOf(podWith({ state: { running: {} } }))?.reason, 'ProgressDeadlineExceeded');
});
