import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { events } from '../../src/api/kubernetes/events.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { compareQuantities } from '../../src/api/kubernetes/quantity.ts';
import {
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '../../src/api/kubernetes/storage.ts';
import type { Pod } from '../../src/api/pods.ts';
import { makeDefaultClass } from '../../src/cluster/volumes/host-path.ts';
import { findVolume, mismatch } from '../../src/cluster/volumes/match.ts';
import { hasReason, isNotFound } from '../../src/kube/api-error.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

type ClaimSpec = NonNullable<PersistentVolumeClaim['spec']>;
type VolumeSpec = NonNullable<PersistentVolume['spec']>;

function makeClaim(name: string, spec: Partial<ClaimSpec> = {}, size = '1Gi'): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } }, ...spec },
  };
}

function makeVolume(name: string, spec: Partial<VolumeSpec> = {}, size = '1Gi'): PersistentVolume {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: size },
      accessModes: ['ReadWriteOnce'],
      hostPath: { path: `/tmp/none/${name}` },
      ...spec,
    },
  };
}

function makePod(name: string, claimName: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      containers: [{ name: 'app', image: 'app', volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
    },
  };
}

describe('volumes that suit a claim', () => {
  const available = (volume: PersistentVolume): PersistentVolume => ({
    ...volume,
    status: { phase: 'Available' },
  });
  const none = { storageClassName: '' };

  it('the smallest that is large enough, of the class, the modes and the labels', () => {
    const claim = makeClaim('c', none, '2Gi');
    const labelled = available(makeVolume('labelled', {}, '4Gi'));
    labelled.metadata.labels = { tier: 'fast' };
    const volumes = [
      available(makeVolume('small')),
      available(makeVolume('big', {}, '10Gi')),
      available(makeVolume('right', {}, '3Gi')),
      available(makeVolume('classy', { storageClassName: 'x' }, '2Gi')),
      available(makeVolume('block', { volumeMode: 'Block' }, '2Gi')),
      available(makeVolume('read', { accessModes: ['ReadOnlyMany'] }, '2Gi')),
      labelled,
    ];
    assert.equal(findVolume(volumes, claim)?.metadata.name, 'right');
    const selector = { matchLabels: { tier: 'fast' } };
    assert.equal(findVolume(volumes, makeClaim('c', { ...none, selector }))?.metadata.name, 'labelled');
    assert.equal(findVolume(volumes, makeClaim('c', none, '20Gi')), undefined);
  });

  it('the one that is reserved for it before any other', () => {
    const reserved = makeVolume('reserved', { claimRef: { namespace: 'default', name: 'c' } }, '50Gi');
    const other = makeVolume('other', { claimRef: { namespace: 'default', name: 'd' } }, '1Gi');
    const volumes = [available(makeVolume('free')), other, reserved];
    assert.equal(findVolume(volumes, makeClaim('c', none))?.metadata.name, 'reserved');
  });

  it('property: never one that mismatches, and none when all do', () => {
    const size = fc.integer({ min: 1, max: 9 }).map((n) => `${n}Gi`);
    const mode = fc.subarray(['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany'], { minLength: 1 });
    const volume = fc.tuple(size, mode, fc.constantFrom('', 'a'));
    fc.assert(
      fc.property(fc.array(volume), size, mode, (specs, wanted, accessModes) => {
        const volumes = specs.map(([capacity, offered, storageClassName], i) =>
          available(makeVolume(`v${i}`, { accessModes: offered, storageClassName }, capacity)),
        );
        const claim = makeClaim('c', { accessModes, storageClassName: 'a' }, wanted);
        const suitable = volumes.filter((one) => mismatch(one, claim) === undefined);
        const found = findVolume(volumes, claim);
        assert.equal(found === undefined, suitable.length === 0);
        if (!found) return;
        assert.ok(suitable.includes(found));
        const capacity = (one: PersistentVolume): string => one.spec?.capacity?.['storage'] ?? '';
        assert.ok(suitable.every((one) => compareQuantities(capacity(found), capacity(one)) <= 0));
      }),
    );
  });
});

describe('PersistentVolumeClaims', () => {
  let cluster: TestCluster;
  let volumesDir: string;
  beforeEach(async () => {
    volumesDir = mkdtempSync(join(tmpdir(), 'knapsack-volumes-'));
    cluster = await startTestCluster({ volumesDir, node: false });
    await cluster.client.create(storageClasses, makeDefaultClass());
  });
  afterEach(async () => {
    await cluster.close();
    rmSync(volumesDir, { recursive: true, force: true });
  });

  const at = (name: string) => ({ namespace: 'default', name });
  const claimIs = (name: string, phase: string) =>
    waitFor(`${name} ${phase}`, async () => {
      const claim = await cluster.client.get(persistentVolumeClaims, at(name));
      return claim.status?.phase === phase && claim;
    });
  const volumeIs = (name: string, phase: string) =>
    waitFor(`${name} ${phase}`, async () => {
      const volume = await cluster.client.get(persistentVolumes, { name });
      return volume.status?.phase === phase && volume;
    });
  const event = (about: string, reason: string, message: string | RegExp) =>
    waitFor(`${reason} of ${about}`, async () => {
      const { items } = await cluster.client.list(events, { namespace: 'default' });
      return items.some(
        (one) =>
          one.involvedObject.name === about &&
          one.reason === reason &&
          (typeof message === 'string' ? one.message === message : message.test(one.message ?? '')),
      );
    });
  const gone = (def: typeof persistentVolumeClaims | typeof persistentVolumes, key: { name: string }) =>
    waitFor(`${key.name} to go`, () =>
      cluster.client.get(def as typeof persistentVolumes, key).then(
        () => false,
        (error: unknown) => isNotFound(error),
      ),
    );
  const makeClass = (name: string, more: Partial<StorageClass> = {}) =>
    cluster.client.create(storageClasses, {
      ...makeDefaultClass(),
      metadata: { name },
      volumeBindingMode: 'Immediate',
      ...more,
    });

  it('get the default class, wait for a pod, and then a directory', async () => {
    const made = await cluster.client.create(persistentVolumeClaims, makeClaim('data'));
    assert.equal(made.spec?.storageClassName, 'standard');
    assert.deepEqual(made.metadata.finalizers, ['kubernetes.io/pvc-protection']);
    await event('data', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding');
    assert.equal((await claimIs('data', 'Pending')).spec?.volumeName, undefined);
    await cluster.client.create(pods, makePod('app', 'data'));
    const claim = await claimIs('data', 'Bound');
    const name = `pvc-${claim.metadata.uid}`;
    assert.equal(claim.spec?.volumeName, name);
    assert.deepEqual(claim.status, {
      phase: 'Bound',
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '1Gi' },
    });
    const volume = await volumeIs(name, 'Bound');
    assert.equal(volume.spec?.claimRef?.uid, claim.metadata.uid);
    assert.equal(volume.spec?.hostPath?.path, join(volumesDir, name));
    assert.ok(existsSync(join(volumesDir, name)));
    await event('data', 'ProvisioningSucceeded', `Successfully provisioned volume ${name}`);
  });

  it('are kept while a pod uses them; their data goes with them', async () => {
    await makeClass('now');
    await cluster.client.create(persistentVolumeClaims, makeClaim('data', { storageClassName: 'now' }));
    const { metadata } = await claimIs('data', 'Bound');
    const directory = join(volumesDir, `pvc-${metadata.uid}`);
    writeFileSync(join(directory, 'file'), 'content');
    const pod = makePod('app', 'data');
    const containers = pod.spec?.containers ?? [];
    await cluster.client.create(pods, { ...pod, spec: { ...pod.spec, containers, nodeName: 'n' } });
    await waitFor('the pod to be known', () => cluster.informers.for(pods).get('default/app') !== undefined);
    await cluster.client.delete(persistentVolumeClaims, at('data'));
    const leaving = await cluster.client.get(persistentVolumeClaims, at('data'));
    assert.ok(leaving.metadata.deletionTimestamp);
    assert.ok(existsSync(join(directory, 'file')));
    await cluster.client.delete(pods, at('app'), { gracePeriodSeconds: 0 });
    await gone(persistentVolumeClaims, at('data'));
    await gone(persistentVolumes, { name: `pvc-${metadata.uid}` });
    assert.ok(!existsSync(directory));
  });

  it('go, when they are deleted, although a pod wants them that is on no node', async () => {
    await makeClass('now');
    await cluster.client.create(persistentVolumeClaims, makeClaim('data', { storageClassName: 'now' }));
    await claimIs('data', 'Bound');
    const pod = makePod('app', 'data');
    const schedulingGates = [{ name: 'example.com/later' }];
    await cluster.client.create(pods, {
      ...pod,
      spec: { ...pod.spec, containers: pod.spec?.containers ?? [], schedulingGates },
    });
    await waitFor('the pod to be known', () => cluster.informers.for(pods).get('default/app') !== undefined);
    await cluster.client.delete(persistentVolumeClaims, at('data'));
    await gone(persistentVolumeClaims, at('data'));
    await cluster.client.delete(pods, at('app'), { gracePeriodSeconds: 0 });
  });

  it('leave their volume when it is to be retained', async () => {
    await makeClass('keep', { reclaimPolicy: 'Retain' });
    await cluster.client.create(persistentVolumeClaims, makeClaim('data', { storageClassName: 'keep' }));
    const { spec } = await claimIs('data', 'Bound');
    const name = spec?.volumeName ?? '';
    await cluster.client.delete(persistentVolumeClaims, at('data'));
    await volumeIs(name, 'Released');
    assert.ok(existsSync(join(volumesDir, name)));
    // Another claim does not get what the first has written.
    await cluster.client.create(persistentVolumeClaims, makeClaim('other', { storageClassName: 'keep' }));
    assert.notEqual((await claimIs('other', 'Bound')).spec?.volumeName, name);
    await cluster.client.delete(persistentVolumes, { name });
    await gone(persistentVolumes, { name });
    assert.ok(existsSync(join(volumesDir, name)), 'only the object goes');
  });

  it('are bound to hand-made volumes: by size, by name, by reservation', async () => {
    for (const [name, size] of [
      ['large', '9Gi'],
      ['medium', '5Gi'],
    ] as const) {
      await cluster.client.create(persistentVolumes, makeVolume(name, {}, size));
    }
    const reserved = makeVolume('reserved', { claimRef: { namespace: 'default', name: 'chosen' } }, '1Gi');
    await cluster.client.create(persistentVolumes, reserved);
    for (const name of ['large', 'medium', 'reserved']) await volumeIs(name, 'Available');
    const none = { storageClassName: '' };
    await cluster.client.create(persistentVolumeClaims, makeClaim('some', none, '2Gi'));
    assert.equal((await claimIs('some', 'Bound')).spec?.volumeName, 'medium');
    assert.equal((await claimIs('some', 'Bound')).status?.capacity?.['storage'], '5Gi');
    await cluster.client.create(persistentVolumeClaims, makeClaim('named', { ...none, volumeName: 'large' }));
    await claimIs('named', 'Bound');
    await cluster.client.create(persistentVolumeClaims, makeClaim('chosen', none));
    assert.equal((await claimIs('chosen', 'Bound')).spec?.volumeName, 'reserved');
    await cluster.client.create(persistentVolumeClaims, makeClaim('late', none));
    const words = 'no persistent volumes available for this claim and no storage class is set';
    await event('late', 'FailedBinding', words);
    await cluster.client.create(persistentVolumes, makeVolume('new'));
    assert.equal((await claimIs('late', 'Bound')).spec?.volumeName, 'new');
    await cluster.client.create(persistentVolumeClaims, makeClaim('rival', { ...none, volumeName: 'new' }));
    await event('rival', 'FailedBinding', 'volume "new" already bound to a different claim.');
  });

  it('are bound to what is reserved for them, whatever the class and before any pod wants it', async () => {
    await makeClass('later', { volumeBindingMode: 'WaitForFirstConsumer' });
    for (const name of ['one', 'two']) {
      const claimRef = { namespace: 'default', name };
      await cluster.client.create(persistentVolumes, makeVolume(`for-${name}`, { claimRef }));
      await volumeIs(`for-${name}`, 'Available');
    }
    const later = { storageClassName: 'later' };
    const named = makeClaim('one', { ...later, volumeName: 'for-one' });
    await cluster.client.create(persistentVolumeClaims, named);
    await claimIs('one', 'Bound');
    await cluster.client.create(persistentVolumeClaims, makeClaim('two', later));
    assert.equal((await claimIs('two', 'Bound')).spec?.volumeName, 'for-two');
  });

  it('never share a volume, however many come at once', async () => {
    const count = 12;
    const numbers = Array.from({ length: count }, (_, i) => i);
    const none = { storageClassName: '' };
    await Promise.all([
      ...numbers.map((i) => cluster.client.create(persistentVolumes, makeVolume(`v${i}`))),
      ...numbers.map((i) => cluster.client.create(persistentVolumeClaims, makeClaim(`c${i}`, none))),
    ]);
    const bound = await Promise.all(numbers.map((i) => claimIs(`c${i}`, 'Bound')));
    assert.equal(new Set(bound.map((claim) => claim.spec?.volumeName)).size, count);
  });

  it('a volume is kept while it is bound; a claim without its volume is lost', async () => {
    await cluster.client.create(persistentVolumes, makeVolume('v'));
    await cluster.client.create(persistentVolumeClaims, makeClaim('data', { storageClassName: '' }));
    await claimIs('data', 'Bound');
    await cluster.client.delete(persistentVolumes, { name: 'v' });
    const leaving = await cluster.client.get(persistentVolumes, { name: 'v' });
    assert.ok(leaving.metadata.deletionTimestamp);
    const body = { metadata: { finalizers: [] } };
    await cluster.client.patch(persistentVolumes, { name: 'v' }, { type: 'merge', body });
    await claimIs('data', 'Lost');
    await event('data', 'ClaimLost', /^Bound claim has lost its PersistentVolume/);
  });

  it('tell what is missing: the class, or somebody else who makes the volume', async () => {
    await cluster.client.create(persistentVolumeClaims, makeClaim('a', { storageClassName: 'absent' }));
    await event('a', 'ProvisioningFailed', 'storageclass.storage.k8s.io "absent" not found');
    await makeClass('elsewhere', { provisioner: 'example.com/disks' });
    await cluster.client.create(persistentVolumeClaims, makeClaim('b', { storageClassName: 'elsewhere' }));
    await event('b', 'ExternalProvisioning', /external provisioner 'example.com\/disks'/);
    const claim = await cluster.client.get(persistentVolumeClaims, at('b'));
    assert.equal(
      claim.metadata.annotations?.['volume.kubernetes.io/storage-provisioner'],
      'example.com/disks',
    );
    // The class that was missing comes.
    await makeClass('absent');
    await claimIs('a', 'Bound');
  });

  it('grow where their class allows it, and nothing else of them changes', async () => {
    await makeClass('now');
    await makeClass('rigid', { allowVolumeExpansion: false });
    await cluster.client.create(persistentVolumeClaims, makeClaim('data', { storageClassName: 'now' }));
    await cluster.client.create(persistentVolumeClaims, makeClaim('stiff', { storageClassName: 'rigid' }));
    await claimIs('data', 'Bound');
    await claimIs('stiff', 'Bound');
    const patch = (name: string, spec: object) =>
      cluster.client.patch(persistentVolumeClaims, at(name), { type: 'merge', body: { spec } });
    const size = (storage: string) => ({ resources: { requests: { storage } } });
    await patch('data', size('3Gi'));
    await waitFor(
      'growth',
      async () => (await claimIs('data', 'Bound')).status?.capacity?.['storage'] === '3Gi',
    );
    const refuse = (name: string, spec: object, words: RegExp) =>
      assert.rejects(
        patch(name, spec),
        (error: Error) => hasReason(error, 'Invalid') && words.test(error.message),
      );
    await refuse('data', size('1Gi'), /field can not be less than status.capacity/);
    await refuse('stiff', size('3Gi'), /only dynamically provisioned pvc can be resized/);
    await refuse('data', { accessModes: ['ReadWriteMany'] }, /spec is immutable after creation/);
    await refuse('data', { volumeName: 'x' }, /spec is immutable after creation/);
  });

  it('of generic ephemeral volumes are made and go with their pod', async () => {
    const pod = makePod('app', 'unused');
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    if (pod.spec) pod.spec.volumes = [{ name: 'data', ephemeral: { volumeClaimTemplate: { spec } } }];
    await cluster.client.create(pods, pod);
    const claim = await claimIs('app-data', 'Bound');
    assert.equal(claim.metadata.ownerReferences?.[0]?.kind, 'Pod');
    await cluster.client.delete(pods, at('app'), { gracePeriodSeconds: 0 });
    await gone(persistentVolumeClaims, at('app-data'));
  });

  it('are refused when they make no sense', async () => {
    const refuse = (claim: PersistentVolumeClaim, words: RegExp) =>
      assert.rejects(cluster.client.create(persistentVolumeClaims, claim), words);
    await refuse(
      makeClaim('a', { accessModes: ['Sometimes'] }),
      /spec.accessModes: Unsupported value: "Sometimes"/,
    );
    await refuse(
      makeClaim('a', { accessModes: ['ReadWriteOncePod', 'ReadWriteOnce'] }),
      /may not use ReadWriteOncePod with other access modes/,
    );
    await refuse(makeClaim('a', {}, '0'), /must be greater than zero/);
    const broken = makeVolume('v', { nfs: { server: 's', path: '/' } });
    await assert.rejects(
      cluster.client.create(persistentVolumes, broken),
      /may not specify more than 1 volume type/,
    );
    const local = makeVolume('v', { local: { path: '/x' } });
    delete local.spec?.hostPath;
    await assert.rejects(
      cluster.client.create(persistentVolumes, local),
      /Local volume requires node affinity/,
    );
    await makeClass('fixed');
    const body = { provisioner: 'example.com/other' };
    await assert.rejects(
      cluster.client.patch(storageClasses, { name: 'fixed' }, { type: 'merge', body }),
      /provisioner: Forbidden: updates to provisioner are forbidden/,
    );
  });
});
