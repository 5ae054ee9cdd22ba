import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { controllerOf } from '../../src/api/object.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { controllerRevisions, daemonSets, type DaemonSet } from '../../src/api/kubernetes/workloads.ts';
import type { Pod } from '../../src/api/pods.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';
import { endPod, makeTemplate, namespace, waitForEvent } from './workload-support.ts';

type Spec = NonNullable<DaemonSet['spec']>;

function makeSet(name: string, spec: Partial<Spec> = {}): DaemonSet {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace },
    spec: { selector: { matchLabels: labels }, template: makeTemplate(labels), ...spec },
  };
}

describe('daemon sets', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  const get = (name: string): Promise<DaemonSet> => cluster.client.get(daemonSets, { namespace, name });
  const roll = (name: string, value: string): Promise<DaemonSet> =>
    cluster.client.patch(
      daemonSets,
      { namespace, name },
      {
        type: 'strategic',
        body: { spec: { template: { spec: { containers: [{ name: 'app', image: value }] } } } },
      },
    );
  const node = (spec: object | null, labels: object = {}) =>
    cluster.client.patch(nodes, { name: 'node-1' }, { type: 'merge', body: { metadata: { labels }, spec } });

  async function podsOf(name: string): Promise<Pod[]> {
    return [...(await cluster.client.list(pods, { namespace, labelSelector: `app=${name}` })).items];
  }

  async function settled(name: string): Promise<DaemonSet> {
    return waitFor(`${name} to have its pod`, async () => {
      const set = await get(name);
      const { status, metadata } = set;
      return (
        status?.observedGeneration === metadata.generation &&
        status?.desiredNumberScheduled === 1 &&
        status.updatedNumberScheduled === 1 &&
        status.numberAvailable === 1 &&
        set
      );
    });
  }

  it('puts a pod on the node, by affinity, that puts up with trouble', async () => {
    await cluster.client.create(daemonSets, makeSet('agent'));
    const set = await settled('agent');
    const [pod, ...others] = await podsOf('agent');
    assert.equal(others.length, 0);
    assert.equal(controllerOf(pod ?? set)?.uid, set.metadata.uid);
    const terms =
      pod?.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
    assert.deepEqual(terms, [
      { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-1'] }] },
    ]);
    const keys = pod?.spec?.tolerations?.map(({ key, effect }) => `${key?.split('/')[1]}:${effect}`);
    assert.deepEqual(keys, [
      'not-ready:NoExecute',
      'unreachable:NoExecute',
      'disk-pressure:NoSchedule',
      'memory-pressure:NoSchedule',
      'pid-pressure:NoSchedule',
      'unschedulable:NoSchedule',
    ]);
    const { status } = set;
    assert.deepEqual(
      [status?.currentNumberScheduled, status?.numberReady, status?.numberMisscheduled],
      [1, 1, 0],
    );
    assert.equal(set.metadata.annotations?.['deprecated.daemonset.template.generation'], '1');
    assert.match(
      await waitForEvent(cluster, 'DaemonSet', 'agent', 'SuccessfulCreate'),
      /^Created pod: agent-\w{5}$/,
    );
  });

  it('replaces its pod on a new template, and keeps the history', async () => {
    await cluster.client.create(daemonSets, makeSet('roll'));
    await settled('roll');
    const [before] = await podsOf('roll');
    await roll('roll', 'example.com/app:2');
    await settled('roll');
    const pod = await waitFor('one pod', async () => {
      const [only, ...others] = await podsOf('roll');
      return others.length === 0 && only;
    });
    assert.notEqual(pod.metadata.uid, before?.metadata.uid);
    assert.equal(pod.spec?.containers[0]?.image, 'example.com/app:2');
    const { items } = await cluster.client.list(controllerRevisions, {
      namespace,
      labelSelector: 'app=roll',
    });
    const [first] = items.filter((revision) => revision.revision === 1);
    await cluster.client.patch(
      daemonSets,
      { namespace, name: 'roll' },
      { type: 'strategic', body: first?.data },
    );
    await settled('roll');
    await waitFor('the old template', async () => {
      const [only] = await podsOf('roll');
      return only?.spec?.containers[0]?.image === 'example.com/app:1';
    });
    assert.equal((await get('roll')).metadata.annotations?.['deprecated.daemonset.template.generation'], '3');
  });

  it('lets the new pod come before the old one goes, when it surges', async () => {
    const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
    await cluster.client.create(daemonSets, makeSet('surge', { updateStrategy }));
    await settled('surge');
    let fewestReady = 1;
    const unsubscribe = cluster.informers.for(pods).onChange(() => {
      const ready = cluster.informers
        .for(pods)
        .list({ namespace, labels: { app: 'surge' } })
        .filter(
          (pod) =>
            !pod.metadata.deletionTimestamp &&
            pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
        );
      fewestReady = Math.min(fewestReady, ready.length);
    });
    await roll('surge', 'example.com/app:2');
    await waitFor('one new pod', async () => {
      const [only, ...others] = await podsOf('surge');
      return others.length === 0 && only?.spec?.containers[0]?.image === 'example.com/app:2';
    });
    unsubscribe();
    assert.equal(fewestReady, 1);
  });

  it('replaces its pod only when it is deleted, if it is told so', async () => {
    await cluster.client.create(daemonSets, makeSet('manual', { updateStrategy: { type: 'OnDelete' } }));
    await settled('manual');
    const [before] = await podsOf('manual');
    assert.ok(before);
    await roll('manual', 'example.com/app:2');
    const { status } = await waitFor('the status', async () => {
      const set = await get('manual');
      return set.status?.observedGeneration === set.metadata.generation && set;
    });
    assert.equal(status?.updatedNumberScheduled, undefined);
    assert.equal((await podsOf('manual'))[0]?.metadata.uid, before.metadata.uid);
    await cluster.client.delete(pods, { namespace, name: before.metadata.name });
    await settled('manual');
  });

  it('replaces a pod that has failed, and says so', async () => {
    await cluster.client.create(daemonSets, makeSet('heal'));
    await settled('heal');
    const [before] = await podsOf('heal');
    assert.ok(before);
    await endPod(cluster, before, 1);
    await waitFor('another pod', async () => {
      const [pod] = await podsOf('heal');
      return pod?.status?.phase === 'Running' && pod.metadata.uid !== before.metadata.uid;
    });
    assert.equal(
      await waitForEvent(cluster, 'DaemonSet', 'heal', 'FailedDaemonPod'),
      `Found failed daemon pod default/${before.metadata.name} on node node-1, will try to kill it`,
    );
  });

  it('runs only where its selector and the taints of the node let it', async () => {
    const picky = makeSet('picky');
    const spec = picky.spec?.template.spec;
    assert.ok(spec);
    spec.nodeSelector = { disk: 'fast' };
    await cluster.client.create(daemonSets, picky);
    await waitFor('the status', async () => (await get('picky')).status?.observedGeneration === 1);
    assert.equal((await get('picky')).status?.desiredNumberScheduled, 0);
    assert.equal((await podsOf('picky')).length, 0);
    await node(null, { disk: 'fast' });
    await settled('picky');
    try {
      await node({ taints: [{ key: 'own', effect: 'NoSchedule' }] });
      const stays = await waitFor('a pod that should not be there', async () => {
        const set = await get('picky');
        return set.status?.numberMisscheduled === 1 && set;
      });
      assert.equal(stays.status?.desiredNumberScheduled, 0);
      assert.equal((await podsOf('picky')).length, 1);
      await node({ taints: [{ key: 'own', effect: 'NoExecute' }] });
      await waitFor('the pod to go', async () => (await podsOf('picky')).length === 0);
      const tolerant = makeSet('tolerant');
      const tolerantSpec = tolerant.spec?.template.spec;
      assert.ok(tolerantSpec);
      tolerantSpec.tolerations = [{ operator: 'Exists' }];
      await cluster.client.create(daemonSets, tolerant);
      await settled('tolerant');
    } finally {
      await node({ taints: null }, { disk: null });
    }
  });

  it('leaves its pod running when it is deleted alone, and takes it along otherwise', async () => {
    await cluster.client.create(daemonSets, makeSet('gone'));
    await settled('gone');
    await cluster.client.delete(daemonSets, { namespace, name: 'gone' }, { propagationPolicy: 'Orphan' });
    await waitFor('an orphan', async () => {
      const [pod] = await podsOf('gone');
      return pod && !controllerOf(pod);
    });
    await cluster.client.create(daemonSets, makeSet('gone'));
    await settled('gone');
    await cluster.client.delete(daemonSets, { namespace, name: 'gone' }, { propagationPolicy: 'Background' });
    await waitFor('everything to go', async () => (await podsOf('gone')).length === 0);
  });
});
