import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { controllerOf } from '../../src/api/object.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { resourceQuotas } from '../../src/api/kubernetes/index.ts';
import { deployments, replicaSets, replicationControllers } from '../../src/api/kubernetes/workloads.ts';
import { waitFor } from '../support/wait.ts';
import { makeDeployment, startTestCluster, type TestCluster } from './support.ts';
import { makeTemplate, namespace } from './workload-support.ts';

describe('replication controllers', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  it('keep pods as ReplicaSets do, and scale', async () => {
    const labels = { app: 'old' };
    await cluster.client.create(replicationControllers, {
      apiVersion: 'v1',
      kind: 'ReplicationController',
      metadata: { name: 'old', namespace },
      spec: { replicas: 2, template: makeTemplate(labels) },
    });
    const key = { namespace, name: 'old' };
    const ready = async (count: number) =>
      waitFor(`${count} ready`, async () => {
        const item = await cluster.client.get(replicationControllers, key);
        return item.status?.replicas === count && item.status.readyReplicas === count && item;
      });
    const item = await ready(2);
    const pods = await cluster.pods();
    assert.equal(pods.length, 2);
    for (const pod of pods) {
      assert.deepEqual(pod.metadata.labels, labels);
      assert.equal(controllerOf(pod)?.uid, item.metadata.uid);
    }
    const body = { spec: { replicas: 1 } };
    const scaled = await cluster.client.patch(
      replicationControllers,
      key,
      { type: 'merge', body },
      { subresource: 'scale' },
    );
    assert.equal((scaled as { status?: { selector?: string } }).status?.selector, 'app=old');
    await ready(1);
    // A status that the kind does not have would be written again and again.
    const { resourceVersion } = await cluster.client.get(replicationControllers, key).then((x) => x.metadata);
    await cluster.node?.settled();
    assert.equal(
      (await cluster.client.get(replicationControllers, key)).metadata.resourceVersion,
      resourceVersion,
    );
  });
});

describe('a set whose pods are refused', () => {
  it('says so once, tries again later and later, and comes to its end when they are not any more', async () => {
    const cluster = await startTestCluster();
    try {
      const quota = {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'q', namespace },
        spec: { hard: { pods: '2' } },
      };
      await cluster.client.create(resourceQuotas, quota);
      await waitFor('the quota to hold', async () => {
        const { status } = await cluster.client.get(resourceQuotas, { namespace, name: 'q' });
        return status?.hard?.['pods'] === '2';
      });
      await cluster.client.create(deployments, makeDeployment('web', { replicas: 5 }));
      const failing = await waitFor('the failure', async () => {
        const deployment = await cluster.client.get(deployments, { namespace, name: 'web' });
        const condition = deployment.status?.conditions?.find((c) => c.type === 'ReplicaFailure');
        return deployment.status?.readyReplicas === 2 && condition;
      });
      assert.equal(failing.reason, 'FailedCreate');
      assert.match(failing.message ?? '', /^pods "web-\w+-\w+" is forbidden: exceeded quota: q/);
      const tries = async (): Promise<number> => {
        const fieldSelector = 'involvedObject.kind=ReplicaSet,reason=FailedCreate';
        return (await cluster.client.list(events, { namespace, fieldSelector })).items.length;
      };
      const early = await waitFor('an event', async () => (await tries()) || undefined);
      assert.ok(early < 12, `it tries again with growing waits, not ${early} times at once`);
      await cluster.client.delete(resourceQuotas, { namespace, name: 'q' });
      await waitFor('all pods', async () => {
        const { status } = await cluster.client.get(deployments, { namespace, name: 'web' });
        const failed = status?.conditions?.some((c) => c.type === 'ReplicaFailure');
        return status?.readyReplicas === 5 && !failed;
      });
      const [set] = (await cluster.client.list(replicaSets, { namespace })).items;
      assert.equal(set?.status?.conditions, undefined);
    } finally {
      await cluster.close();
    }
  });
});
