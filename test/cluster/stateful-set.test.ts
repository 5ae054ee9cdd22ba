import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { controllerOf, timestamp } from '../../src/api/object.ts';
import { persistentVolumeClaims } from '../../src/api/kubernetes/storage.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { controllerRevisions, statefulSets, type StatefulSet } from '../../src/api/kubernetes/workloads.ts';
import type { Pod } from '../../src/api/pods.ts';
import { planStatefulSet } from '../../src/cluster/stateful-set-decisions.ts';
import { makeStatefulPod } from '../../src/cluster/resources/stateful-set-pod.ts';
import { templateHash } from '../../src/cluster/resources/template-hash.ts';
import { admitted } from '../api/kubernetes/support.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';
import { endPod, makeTemplate, namespace, waitForEvent } from './workload-support.ts';

type Spec = NonNullable<StatefulSet['spec']>;

function makeSet(name: string, spec: Partial<Spec> = {}): StatefulSet {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace },
    spec: {
      replicas: 3,
      serviceName: `${name}-headless`,
      selector: { matchLabels: labels },
      template: makeTemplate(labels),
      ...spec,
    },
  };
}

const image = (value: string) => ({
  type: 'strategic' as const,
  body: { spec: { template: { spec: { containers: [{ name: 'app', image: value }] } } } },
});

describe('stateful sets', () => {
  let cluster: TestCluster;
  /** Names of pods that do not become ready. */
  const stuck = new Set<string>();
  before(async () => {
    cluster = await startTestCluster({
      node: { becomesReady: (pod) => !stuck.has(`${pod.metadata.name} ${pod.spec?.containers[0]?.image}`) },
    });
  });
  after(() => cluster.close());

  const get = (name: string): Promise<StatefulSet> => cluster.client.get(statefulSets, { namespace, name });
  const patch = (name: string, body: object): Promise<StatefulSet> =>
    cluster.client.patch(statefulSets, { namespace, name }, { type: 'merge', body });
  const roll = (name: string, value: string): Promise<StatefulSet> =>
    cluster.client.patch(statefulSets, { namespace, name }, image(value));

  async function podsOf(name: string): Promise<Pod[]> {
    const { items } = await cluster.client.list(pods, { namespace, labelSelector: `app=${name}` });
    return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  const names = async (name: string): Promise<string[]> =>
    (await podsOf(name)).map((pod) => pod.metadata.name);

  async function settled(name: string, replicas: number): Promise<StatefulSet> {
    return waitFor(`${name} to have ${replicas} updated and ready pods`, async () => {
      const set = await get(name);
      const { status, metadata } = set;
      return (
        status?.observedGeneration === metadata.generation &&
        status?.replicas === replicas &&
        (status.readyReplicas ?? 0) === replicas &&
        (status.updatedReplicas ?? 0) === replicas &&
        status.currentRevision === status.updateRevision &&
        set
      );
    });
  }

  it('makes pods one after the other, each with a name, a host name and labels of its own', async () => {
    const order: string[] = [];
    const unsubscribe = cluster.informers.for(pods).onChange(({ type, object, old }) => {
      if (object.metadata.labels?.['app'] !== 'web') return;
      const ready = (pod: Pod | undefined): boolean =>
        pod?.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
      if (type === 'added') order.push(`${object.metadata.name} made`);
      else if (ready(object) && !ready(old)) order.push(`${object.metadata.name} ready`);
    });
    await cluster.client.create(statefulSets, makeSet('web'));
    const set = await settled('web', 3);
    unsubscribe();
    assert.deepEqual(
      order,
      ['web-0', 'web-1', 'web-2'].flatMap((name) => [`${name} made`, `${name} ready`]),
    );
    const [, second] = await podsOf('web');
    assert.equal(second?.spec?.hostname, 'web-1');
    assert.equal(second.spec.subdomain, 'web-headless');
    assert.equal(second.metadata.labels?.['statefulset.kubernetes.io/pod-name'], 'web-1');
    assert.equal(second.metadata.labels?.['apps.kubernetes.io/pod-index'], '1');
    assert.equal(second.metadata.labels?.['controller-revision-hash'], set.status?.updateRevision);
    assert.equal(controllerOf(second)?.uid, set.metadata.uid);
    assert.equal(set.status?.availableReplicas, 3);
    assert.equal(set.status?.currentReplicas, 3);
    assert.equal(
      await waitForEvent(cluster, 'StatefulSet', 'web', 'SuccessfulCreate'),
      'create Pod web-0 in StatefulSet web successful',
    );
  });

  it('scales down from the highest ordinal, and begins where it is told to', async () => {
    await cluster.client.create(statefulSets, makeSet('offset', { replicas: 2, ordinals: { start: 5 } }));
    await settled('offset', 2);
    assert.deepEqual(await names('offset'), ['offset-5', 'offset-6']);
    await patch('offset', { spec: { replicas: 1 } });
    await waitFor('one pod', async () => (await names('offset')).join() === 'offset-5');
  });

  it('makes all at once when it is parallel', async () => {
    stuck.add('burst-0 example.com/app:1');
    await cluster.client.create(statefulSets, makeSet('burst', { podManagementPolicy: 'Parallel' }));
    await waitFor('three pods', async () => (await names('burst')).length === 3);
  });

  it('waits for a pod that does not come', async () => {
    stuck.add('wait-1 example.com/app:1');
    await cluster.client.create(statefulSets, makeSet('wait'));
    await waitFor('the second pod', async () => (await names('wait')).length === 2);
    const status = await waitFor('a status', async () => {
      const set = await get('wait');
      return set.status?.replicas === 2 && set.status.readyReplicas === 1 && set.status;
    });
    assert.equal(status.availableReplicas, 1);
    assert.deepEqual(await names('wait'), ['wait-0', 'wait-1']);
  });

  it('makes claims and keeps them', async () => {
    const volumeClaimTemplates = [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      },
    ];
    await cluster.client.create(statefulSets, makeSet('disk', { replicas: 2, volumeClaimTemplates }));
    await settled('disk', 2);
    const [first] = await podsOf('disk');
    assert.deepEqual(
      first?.spec?.volumes?.find((volume) => volume.name === 'data')?.persistentVolumeClaim?.claimName,
      'data-disk-0',
    );
    const claims = async (): Promise<string[]> =>
      (await cluster.client.list(persistentVolumeClaims, { namespace, labelSelector: 'app=disk' })).items
        .map((claim) => claim.metadata.name)
        .sort();
    assert.deepEqual(await claims(), ['data-disk-0', 'data-disk-1']);
    await patch('disk', { spec: { replicas: 0 } });
    await waitFor('no pods', async () => (await names('disk')).length === 0);
    assert.deepEqual(await claims(), ['data-disk-0', 'data-disk-1']);

    const persistentVolumeClaimRetentionPolicy = { whenScaled: 'Delete', whenDeleted: 'Delete' };
    await patch('disk', { spec: { replicas: 2, persistentVolumeClaimRetentionPolicy } });
    await settled('disk', 2);
    await patch('disk', { spec: { replicas: 1 } });
    await waitFor('the claim to go with its pod', async () => (await claims()).join() === 'data-disk-0');
    await patch('disk', { spec: { replicas: 2 } });
    await settled('disk', 2);
    assert.deepEqual(await claims(), ['data-disk-0', 'data-disk-1']);
    await cluster.client.delete(
      statefulSets,
      { namespace, name: 'disk' },
      { propagationPolicy: 'Background' },
    );
    await waitFor('the claims to go with the set', async () => (await claims()).length === 0);
  });

  it('makes the claim anew that a waiting pod has lost', async (t) => {
    // Nothing schedules the pod.
    const bare = await startTestCluster({ node: false });
    t.after(() => bare.close());
    const volumeClaimTemplates = [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      },
    ];
    await bare.client.create(statefulSets, makeSet('lost', { replicas: 1, volumeClaimTemplates }));
    await waitFor('the pod', async () => (await bare.pods()).length === 1);
    const key = { namespace, name: 'data-lost-0' };
    const { metadata } = await bare.client.get(persistentVolumeClaims, key);
    await bare.client.delete(persistentVolumeClaims, key);
    await waitFor('another claim', async () => {
      const { items } = await bare.client.list(persistentVolumeClaims, { namespace });
      const [claim] = items.filter(({ metadata: { name } }) => name === key.name);
      return claim !== undefined && claim.metadata.uid !== metadata.uid;
    });
  });

  it('rolls from the highest ordinal to the partition, and back by its history', async () => {
    const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 2 } };
    await cluster.client.create(statefulSets, makeSet('roll', { updateStrategy }));
    const before = await settled('roll', 3);
    await roll('roll', 'example.com/app:2');
    const partly = await waitFor('one new pod', async () => {
      const set = await get('roll');
      const { status } = set;
      return status?.updatedReplicas === 1 && status.readyReplicas === 3 && set;
    });
    assert.notEqual(partly.status?.updateRevision, partly.status?.currentRevision);
    assert.equal(partly.status?.currentRevision, before.status?.currentRevision);
    assert.equal(partly.status?.currentReplicas, 2);
    const images = async (): Promise<(string | undefined)[]> =>
      (await podsOf('roll')).map((pod) => pod.spec?.containers[0]?.image);
    assert.deepEqual(await images(), ['example.com/app:1', 'example.com/app:1', 'example.com/app:2']);
    // A pod below the partition comes back as it was.
    await cluster.client.delete(pods, { namespace, name: 'roll-0' });
    await waitFor('the pod again', async () => (await get('roll')).status?.readyReplicas === 3);
    assert.equal((await images())[0], 'example.com/app:1');

    await patch('roll', { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } });
    await settled('roll', 3);
    assert.deepEqual(new Set(await images()), new Set(['example.com/app:2']));

    const history = async () =>
      (await cluster.client.list(controllerRevisions, { namespace, labelSelector: 'app=roll' })).items;
    const [first] = (await history()).filter((revision) => revision.revision === 1);
    // What `kubectl rollout undo` sends.
    await cluster.client.patch(
      statefulSets,
      { namespace, name: 'roll' },
      { type: 'strategic', body: first?.data },
    );
    await settled('roll', 3);
    assert.deepEqual(new Set(await images()), new Set(['example.com/app:1']));
    const numbers = (await history()).map((revision) => revision.revision).sort((a, b) => a - b);
    assert.deepEqual(numbers, [2, 3], 'the first revision is the third now');
  });

  it('replaces pods only when they are deleted, if it is told so', async () => {
    await cluster.client.create(
      statefulSets,
      makeSet('manual', { replicas: 2, updateStrategy: { type: 'OnDelete' } }),
    );
    await waitFor('two pods', async () => (await get('manual')).status?.readyReplicas === 2);
    await roll('manual', 'example.com/app:2');
    await waitFor('the new revision', async () => {
      const { status, metadata } = await get('manual');
      return status?.observedGeneration === metadata.generation && (status?.updatedReplicas ?? 0) === 0;
    });
    await cluster.client.delete(pods, { namespace, name: 'manual-0' });
    await waitFor('the new pod', async () => {
      const { status } = await get('manual');
      return status?.updatedReplicas === 1 && status.readyReplicas === 2;
    });
    const images = (await podsOf('manual')).map((pod) => pod.spec?.containers[0]?.image);
    assert.deepEqual(images, ['example.com/app:2', 'example.com/app:1']);
  });

  it('begins a pod that has ended anew, under its name', async () => {
    await cluster.client.create(statefulSets, makeSet('again', { replicas: 1 }));
    await settled('again', 1);
    const [first] = await podsOf('again');
    assert.ok(first);
    await endPod(cluster, first, 1);
    const second = await waitFor('another pod', async () => {
      const [pod] = await podsOf('again');
      return pod?.status?.phase === 'Running' && pod.metadata.uid !== first.metadata.uid && pod;
    });
    assert.equal(second.metadata.name, 'again-0');
    assert.match(
      await waitForEvent(cluster, 'StatefulSet', 'again', 'RecreatingFailedPod'),
      /^StatefulSet default\/again is recreating failed Pod again-0$/,
    );
  });

  it('lets the name of a pod rest before the next one takes it, for those who wait for its end', async () => {
    await cluster.client.create(statefulSets, makeSet('rest', { replicas: 1 }));
    await settled('rest', 1);
    const times: { type: string; at: number }[] = [];
    cluster.informers.for(pods).onChange(({ type, object }) => {
      if (object.metadata.name === 'rest-0' && type !== 'modified') times.push({ type, at: Date.now() });
    });
    const begin = times.length;
    await cluster.client.delete(pods, { namespace, name: 'rest-0' });
    await waitFor('the next pod', () => times.length === begin + 2);
    const [gone, back] = times.slice(begin);
    assert.deepEqual([gone?.type, back?.type], ['deleted', 'added']);
    assert.ok((back?.at ?? 0) - (gone?.at ?? 0) >= 200);
  });

  it('takes another name for a revision when something else has its hash', async () => {
    const set = makeSet('clash', { replicas: 1 });
    const template = admitted(statefulSets, set).spec?.template;
    const hash = templateHash(template, 0);
    await cluster.client.create(controllerRevisions, {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: { name: `clash-${hash}`, namespace },
      revision: 1,
      data: { spec: {} },
    });
    await cluster.client.create(statefulSets, set);
    const { status } = await settled('clash', 1);
    assert.equal(status?.collisionCount, 1);
    assert.equal(status?.updateRevision, `clash-${templateHash(template, 1)}`);
  });

  it('keeps as many revisions as its history asks for, and all that pods have', async () => {
    await cluster.client.create(statefulSets, makeSet('history', { replicas: 1, revisionHistoryLimit: 1 }));
    await settled('history', 1);
    for (const tag of [2, 3, 4]) {
      await roll('history', `example.com/app:${tag}`);
      await settled('history', 1);
    }
    const numbers = await waitFor('two revisions', async () => {
      const labelSelector = 'app=history';
      const { items } = await cluster.client.list(controllerRevisions, { namespace, labelSelector });
      return items.length === 2 && items.map((item) => item.revision).sort((a, b) => a - b);
    });
    assert.deepEqual(numbers, [3, 4]);
  });

  it('leaves its pods running when it is deleted alone, and adopts them again', async () => {
    await cluster.client.create(statefulSets, makeSet('adopt', { replicas: 2 }));
    await settled('adopt', 2);
    const before = (await podsOf('adopt')).map((pod) => pod.metadata.uid);
    await cluster.client.delete(statefulSets, { namespace, name: 'adopt' }, { propagationPolicy: 'Orphan' });
    await waitFor('orphans', async () => (await podsOf('adopt')).every((pod) => !controllerOf(pod)));
    await cluster.client.create(statefulSets, makeSet('adopt', { replicas: 2 }));
    await settled('adopt', 2);
    assert.deepEqual(
      (await podsOf('adopt')).map((pod) => pod.metadata.uid),
      before,
      'the same pods',
    );
  });
});

describe('what a stateful set does next', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');

  interface Given {
    readonly revision: 'old' | 'new';
    readonly state: 'ready' | 'unready' | 'failed' | 'going' | 'absent';
  }

  function podOf(set: StatefulSet, ordinal: number, { revision, state }: Given): Pod | undefined {
    if (state === 'absent') return undefined;
    const pod = makeStatefulPod(set, ordinal, { name: revision, template: set.spec?.template ?? {} });
    const ready = { type: 'Ready', status: 'True', lastTransitionTime: timestamp(now - 60_000) };
    return {
      ...pod,
      metadata: {
        ...pod.metadata,
        uid: pod.metadata.name,
        ...(state === 'going' ? { deletionTimestamp: timestamp(now) } : {}),
      },
      status: {
        phase: state === 'failed' ? 'Failed' : 'Running',
        conditions: state === 'ready' || state === 'going' ? [ready] : [],
      },
    };
  }

  const given = fc.array(
    fc.record({
      revision: fc.constantFrom('old' as const, 'new' as const),
      state: fc.constantFrom('ready', 'unready', 'failed', 'going', 'absent' as const),
    }),
    { maxLength: 8 },
  );

  const run = (set: StatefulSet, states: readonly Given[]) =>
    planStatefulSet({
      set,
      pods: states.map((state, i) => podOf(set, i, state)).filter((pod) => pod !== undefined),
      current: 'old',
      update: 'new',
      isDeleted: () => false,
      now,
    }).actions;

  it('takes down no more available pods than allowed, and never makes a pod that is there', () => {
    const spec = fc.record({
      replicas: fc.nat(8),
      parallel: fc.boolean(),
      partition: fc.nat(4),
      maxUnavailable: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(given, spec, (states, { replicas, parallel, partition, maxUnavailable }) => {
        const set = makeSet('p', {
          replicas,
          podManagementPolicy: parallel ? 'Parallel' : 'OrderedReady',
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition, maxUnavailable } },
        });
        const actions = run(set, states);
        if (!parallel) assert.ok(actions.filter((a) => a.type === 'create').length <= 1);
        let taken = 0;
        for (const action of actions) {
          if (action.type === 'create') {
            assert.equal(states[action.ordinal]?.state ?? 'absent', 'absent');
            assert.equal(action.revision, action.ordinal < partition ? 'old' : 'new');
          }
          if (action.type === 'delete' && action.why === 'outdated') {
            const ordinal = Number(action.pod.metadata.name.slice(2));
            assert.ok(ordinal >= partition && ordinal < replicas);
            assert.equal(states[ordinal]?.revision, 'old');
            if (states[ordinal]?.state === 'ready') taken++;
          }
        }
        const down = Array.from({ length: replicas }, (_, i) => states[i]?.state).filter(
          (s) => s !== 'ready',
        );
        assert.ok(taken === 0 || taken + down.length <= maxUnavailable);
      }),
    );
  });

  it('comes to rest: with every action carried out there is nothing left to do', () => {
    fc.assert(
      fc.property(given, fc.nat(6), fc.boolean(), (states, replicas, parallel) => {
        const set = makeSet('p', { replicas, podManagementPolicy: parallel ? 'Parallel' : 'OrderedReady' });
        set.spec = { ...(set.spec as Spec), updateStrategy: { type: 'RollingUpdate', rollingUpdate: {} } };
        const world: Given[] = Array.from(
          { length: 8 },
          (_, i) => states[i] ?? { revision: 'new', state: 'absent' },
        );
        for (let step = 0; step < 200; step++) {
          const actions = run(set, world);
          const moves = world.some(({ state }) => state === 'going' || state === 'unready');
          if (actions.length === 0 && !moves) break;
          // Time passes: what goes is gone, what starts is ready.
          world.forEach((pod, i) => {
            if (pod.state === 'going') world[i] = { ...pod, state: 'absent' };
            else if (pod.state === 'unready') world[i] = { ...pod, state: 'ready' };
          });
          for (const action of actions) {
            if (action.type === 'create') {
              world[action.ordinal] = { revision: action.revision as 'new', state: 'unready' };
            } else if (action.type === 'delete') {
              const ordinal = Number(action.pod.metadata.name.slice(2));
              world[ordinal] = { ...(world[ordinal] as Given), state: 'going' };
            }
          }
        }
        const expected = world.map((_, i) => (i < replicas ? 'new ready' : 'absent'));
        const found = world.map((pod) =>
          pod.state === 'absent' ? 'absent' : `${pod.revision} ${pod.state}`,
        );
        assert.deepEqual(found, expected);
      }),
    );
  });
});
