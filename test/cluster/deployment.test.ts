import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { controllerOf, type KubeObject } from '../../src/api/object.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { deployments, replicaSets, type Deployment } from '../../src/api/kubernetes/workloads.ts';
import { makeReplicaSet } from '../../src/cluster/resources/replica-set.ts';
import { admitted } from '../api/kubernetes/support.ts';
import { waitFor } from '../support/wait.ts';
import { makeDeployment, startTestCluster, type TestCluster } from './support.ts';

describe('deployments', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster.close());

  const get = (name: string): Promise<Deployment> =>
    cluster.client.get(deployments, { namespace: 'default', name });

  async function complete(name: string): Promise<Deployment> {
    return waitFor(`deployment ${name} to complete`, async () => {
      const deployment = await get(name);
      const { status, spec, metadata } = deployment;
      const total = spec?.replicas ?? 1;
      return (
        status?.observedGeneration === metadata.generation &&
        (status?.availableReplicas ?? 0) === total &&
        (status?.updatedReplicas ?? 0) === total &&
        (status?.replicas ?? 0) === total &&
        deployment
      );
    });
  }

  async function podsOf(name: string) {
    return (await cluster.pods()).filter((pod) => pod.metadata.labels?.['app'] === name);
  }

  it('makes a ReplicaSet and its pods, and reports Available and Progressing', async () => {
    await cluster.client.create(deployments, makeDeployment('web', { replicas: 3 }));
    const done = await complete('web');
    const reasons = Object.fromEntries(
      (done.status?.conditions ?? []).map((c) => [c.type, `${c.status} ${c.reason}`]),
    );
    assert.deepEqual(reasons, {
      Available: 'True MinimumReplicasAvailable',
      Progressing: 'True NewReplicaSetAvailable',
    });
    assert.equal(done.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
    const [set] = (await cluster.client.list(replicaSets, { namespace: 'default', labelSelector: 'app=web' }))
      .items;
    const hash = set?.metadata.labels?.['pod-template-hash'];
    assert.equal(set?.metadata.name, `web-${hash}`);
    const running = await podsOf('web');
    assert.equal(running.length, 3);
    for (const pod of running) {
      assert.equal(controllerOf(pod)?.uid, set?.metadata.uid);
      assert.equal(pod.metadata.labels?.['pod-template-hash'], hash);
      assert.equal(pod.spec?.serviceAccountName, 'default');
    }
  });

  it('rolls to a new template within surge and availability, and back', async () => {
    await cluster.client.create(deployments, makeDeployment('roll', { replicas: 4 }));
    await complete('roll');
    let most = 0;
    let fewestReady = 4;
    const unsubscribe = cluster.informers.for(pods).onChange(() => {
      const all = cluster.informers.for(pods).list({ namespace: 'default', labels: { app: 'roll' } });
      const active = all.filter((pod) => !pod.metadata.deletionTimestamp);
      most = Math.max(most, active.length);
      const ready = active.filter((pod) =>
        pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
      );
      fewestReady = Math.min(fewestReady, ready.length);
    });
    const image = (value: string) => ({
      type: 'strategic' as const,
      body: { spec: { template: { spec: { containers: [{ name: 'app', image: value }] } } } },
    });
    await cluster.client.patch(
      deployments,
      { namespace: 'default', name: 'roll' },
      image('example.com/app:2'),
    );
    const second = await complete('roll');
    unsubscribe();
    assert.equal(second.metadata.annotations?.['deployment.kubernetes.io/revision'], '2');
    assert.deepEqual(
      [...new Set((await podsOf('roll')).map((pod) => pod.spec?.containers[0]?.image))],
      ['example.com/app:2'],
    );
    assert.ok(most <= 5, `at most 4 + 25 % pods, saw ${most}`);
    assert.ok(fewestReady >= 3, `at least 4 - 25 % ready, saw ${fewestReady}`);

    await cluster.client.patch(
      deployments,
      { namespace: 'default', name: 'roll' },
      image('example.com/app:1'),
    );
    const third = await complete('roll');
    assert.equal(third.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
    const sets = (await cluster.client.list(replicaSets, { namespace: 'default', labelSelector: 'app=roll' }))
      .items;
    assert.equal(sets.length, 2, 'the set of the first template is used again');
    const progressing = third.status?.conditions?.find((c) => c.type === 'Progressing');
    assert.equal(progressing?.status, 'True');
  });

  it('recreates: no new pod before the last old one has gone', async () => {
    await cluster.client.create(
      deployments,
      makeDeployment('again', { replicas: 2, strategy: { type: 'Recreate' } }),
    );
    await complete('again');
    const mixed: string[] = [];
    const unsubscribe = cluster.informers.for(pods).onChange(() => {
      const all = cluster.informers.for(pods).list({ namespace: 'default', labels: { app: 'again' } });
      const images = new Set(all.map((pod) => pod.spec?.containers[0]?.image));
      if (images.size > 1) mixed.push([...images].join(' and '));
    });
    const body = {
      spec: { template: { spec: { containers: [{ name: 'app', image: 'example.com/app:2' }] } } },
    };
    await cluster.client.patch(
      deployments,
      { namespace: 'default', name: 'again' },
      { type: 'strategic', body },
    );
    await complete('again');
    unsubscribe();
    assert.deepEqual(mixed, []);
  });

  it('scales from zero with one write a step', async () => {
    await cluster.client.create(deployments, makeDeployment('wake', { replicas: 0 }));
    await complete('wake');
    await cluster.node?.settled();
    const before = Number(cluster.service.resourceVersion);
    const seen = waitForPod('wake');
    const writes = writesTo('wake');
    const key = { namespace: 'default', name: 'wake' };
    const scaled = await cluster.client.patch(deployments, key, {
      type: 'merge',
      body: { spec: { replicas: 1 } },
    });
    const pod = await seen;
    assert.ok(Number(scaled.metadata.resourceVersion) > before);
    const [first, last] = [scaled, pod].map(({ metadata }) => Number(metadata.resourceVersion));
    const steps = writes.filter((version) => version > (first ?? 0) && version <= (last ?? 0)).length;
    // The ReplicaSet's scale, the pod; a status write of the Deployment may share the moment with the pod's.
    assert.ok(steps <= 3, `expected ReplicaSet and Pod to follow at once, ${steps} writes came`);
    await complete('wake');
  });

  /** Versions of the workload's own objects as they are written; events and other workloads write, too. */
  function writesTo(app: string): number[] {
    const versions: number[] = [];
    for (const def of [deployments, replicaSets, pods]) {
      cluster.informers.for<KubeObject>(def).onChange(({ object: { metadata } }) => {
        if (metadata.name === app || metadata.labels?.['app'] === app) {
          versions.push(Number(metadata.resourceVersion));
        }
      });
    }
    return versions;
  }

  function waitForPod(app: string) {
    return new Promise<{ metadata: { resourceVersion?: string } }>((resolve) => {
      const unsubscribe = cluster.informers.for(pods).onChange(({ type, object }) => {
        if (type !== 'added' || object.metadata.labels?.['app'] !== app) return;
        queueMicrotask(() => unsubscribe());
        resolve(object);
      });
    });
  }

  it('does not roll while paused, but scales', async () => {
    await cluster.client.create(deployments, makeDeployment('paused', { replicas: 2 }));
    await complete('paused');
    const key = { namespace: 'default', name: 'paused' };
    const template = { spec: { containers: [{ name: 'app', image: 'example.com/app:9' }] } };
    const body = { spec: { paused: true, replicas: 3, template } };
    await cluster.client.patch(deployments, key, { type: 'strategic', body });
    await waitFor('three pods', async () => (await podsOf('paused')).length === 3);
    assert.deepEqual(
      [...new Set((await podsOf('paused')).map((pod) => pod.spec?.containers[0]?.image))],
      ['example.com/app:1'],
    );
    await cluster.client.patch(deployments, key, { type: 'merge', body: { spec: { paused: null } } });
    await complete('paused');
    assert.deepEqual(
      [...new Set((await podsOf('paused')).map((pod) => pod.spec?.containers[0]?.image))],
      ['example.com/app:9'],
    );
  });

  it('says what it did in events', async () => {
    await cluster.client.create(deployments, makeDeployment('told'));
    await complete('told');
    const message = await waitFor('the event', async () => {
      const fieldSelector = 'involvedObject.name=told,involvedObject.kind=Deployment';
      const { items } = await cluster.client.list(events, { namespace: 'default', fieldSelector });
      return items[0]?.message;
    });
    assert.match(message, /^Scaled up replica set told-\w+ from 0 to 1$/);
  });

  it('takes another name when another template has its hash', async () => {
    const wanted = makeDeployment('clash', { replicas: 1 });
    const { spec } = admitted(deployments, wanted);
    assert.ok(spec);
    // A set of the name that the first would get, and that is not this Deployment's.
    const other = makeReplicaSet({ ...wanted, spec }, 0, 1n);
    const taken = makeDeployment('other', { image: 'example.com/other:1' }).spec;
    assert.ok(taken);
    await cluster.client.create(replicaSets, {
      ...other,
      metadata: { name: other.metadata.name, namespace: 'default' },
      spec: { replicas: 0, selector: taken.selector, template: taken.template },
    });
    await cluster.client.create(deployments, wanted);
    const done = await complete('clash');
    assert.equal(done.status?.collisionCount, 1);
    const labelSelector = 'app=clash';
    const { items } = await cluster.client.list(replicaSets, { namespace: 'default', labelSelector });
    assert.equal(items.length, 1);
    assert.notEqual(items[0]?.metadata.name, other.metadata.name);
  });

  it('counts on from a revision of 64 bits, of a set that it adopts', async () => {
    const wanted = makeDeployment('large', { replicas: 1 });
    const { selector, template } = admitted(deployments, wanted).spec ?? {};
    assert.ok(selector && template);
    await cluster.client.create(replicaSets, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: 'adopted',
        namespace: 'default',
        labels: { app: 'large' },
        annotations: { 'deployment.kubernetes.io/revision': '3546343826724305832' },
      },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'large', old: 'yes' } },
        template: { ...template, metadata: { name: '', labels: { app: 'large', old: 'yes' } } },
      },
    });
    await cluster.client.create(deployments, wanted);
    const done = await complete('large');
    assert.equal(done.metadata.annotations?.['deployment.kubernetes.io/revision'], '3546343826724305833');
  });

  it('hands its annotations and its patience to its newest set', async () => {
    await cluster.client.create(deployments, makeDeployment('cause'));
    await complete('cause');
    const key = { namespace: 'default', name: 'cause' };
    const annotations = { 'kubernetes.io/change-cause': 'because' };
    const body = { metadata: { annotations }, spec: { minReadySeconds: 2 } };
    await cluster.client.patch(deployments, key, { type: 'merge', body });
    const labelSelector = 'app=cause';
    const set = await waitFor('the set', async () => {
      const { items } = await cluster.client.list(replicaSets, { namespace: 'default', labelSelector });
      return items[0]?.spec?.minReadySeconds === 2 && items[0];
    });
    assert.equal(set.metadata.annotations?.['kubernetes.io/change-cause'], 'because');
    await cluster.client.patch(deployments, key, {
      type: 'strategic',
      body: { spec: { template: { metadata: { labels: { v: '2' } } } } },
    });
    const started = Date.now();
    await complete('cause');
    // Times of conditions are whole seconds: of two seconds at least one is left.
    assert.ok(Date.now() - started >= 1000, 'a pod is available only after it was ready for a while');
    // Back to the first template: its set notes which number it had before.
    await cluster.client.patch(deployments, key, {
      type: 'strategic',
      body: { spec: { template: { metadata: { labels: { v: null } } } } },
    });
    await complete('cause');
    const first = await cluster.client.get(replicaSets, { namespace: 'default', name: set.metadata.name });
    assert.equal(first.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
    assert.equal(first.metadata.annotations?.['deployment.kubernetes.io/revision-history'], '1');
  });

  it('keeps as many old ReplicaSets as the history asks for', async () => {
    await cluster.client.create(deployments, makeDeployment('history', { revisionHistoryLimit: 1 }));
    await complete('history');
    for (const tag of ['2', '3', '4']) {
      const body = {
        spec: { template: { spec: { containers: [{ name: 'app', image: `example.com/app:${tag}` }] } } },
      };
      await cluster.client.patch(
        deployments,
        { namespace: 'default', name: 'history' },
        { type: 'strategic', body },
      );
      await complete('history');
    }
    await waitFor('two ReplicaSets', async () => {
      const { items } = await cluster.client.list(replicaSets, {
        namespace: 'default',
        labelSelector: 'app=history',
      });
      return items.length === 2;
    });
  });
});

describe('a deployment that makes no progress', () => {
  it('exceeds its deadline', async () => {
    const cluster = await startTestCluster({ node: { becomesReady: () => false } });
    try {
      await cluster.client.create(deployments, makeDeployment('stuck', { progressDeadlineSeconds: 1 }));
      const condition = await waitFor('the deadline', async () => {
        const { status } = await cluster.client.get(deployments, { namespace: 'default', name: 'stuck' });
        return status?.conditions?.find((c) => c.type === 'Progressing' && c.status === 'False');
      });
      assert.equal(condition.reason, 'ProgressDeadlineExceeded');
      assert.match(condition.message ?? '', /^ReplicaSet "stuck-\w+" has timed out progressing\.$/);
    } finally {
      await cluster.close();
    }
  });
});
