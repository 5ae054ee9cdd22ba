import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { resources } from '../../src/api/registry.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import {
  hostPathProvisioner,
  persistentVolumeClaims,
  persistentVolumes,
  provisionedByAnnotation,
  storageClasses,
} from '../../src/api/kubernetes/storage.ts';
import type { Pod } from '../../src/api/pods.ts';
import { startCluster, type Cluster } from '../../src/cluster/index.ts';
import { makeDefaultClass } from '../../src/cluster/volumes/host-path.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { startTestNode, type TestNode } from './support.ts';

const append = `
const fs = require('node:fs');
const path = (process.env.DATA ?? '') + '/data/lines';
fs.appendFileSync(path, process.env.WORD + '\\n');
console.log('lines: ' + fs.readFileSync(path, 'utf8').trim().split('\\n').join(' '));
`;

for (const driver of ['process', 'oci'] as const) {
  const skip = driver === 'oci' ? (ociSkipReason() ?? false) : false;
  describe(`claims of pods under the ${driver} driver`, { skip }, () => {
    let node: TestNode;
    let cluster: Cluster;
    let informers: SharedInformers;
    let root: string;
    before(async () => {
      root = mkdtempSync(join(tmpdir(), 'knapsack-claims-'));
      // As a data directory is: containers under other users pass through it.
      chmodSync(root, 0o755);
      node = await startTestNode(driver);
      const { client } = node.api;
      informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
      const env = { client, informers, clock: systemClock, log: silentLogger };
      cluster = await startCluster(env, { resources, volumesDir: join(node.dataDir, 'volumes') });
      await client.create(storageClasses, makeDefaultClass());
    });
    after(async () => {
      await node.close();
      await cluster.stop();
      informers.close();
      rmSync(root, { recursive: true, force: true });
    });

    const makeSpec = (claimName: string, word: string, more: object = {}): NonNullable<Pod['spec']> => ({
      restartPolicy: 'Never',
      containers: [
        {
          name: 'app',
          image: 'script',
          args: [append],
          env: [{ name: 'WORD', value: word }],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
      ...more,
    });
    const claim = (name: string, spec: object = {}) =>
      node.api.client.create(persistentVolumeClaims, {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name, namespace: 'default' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
      });
    const unschedulable = (pod: Pod): string | undefined =>
      pod.status?.conditions?.find((one) => one.type === 'PodScheduled' && one.status === 'False')?.message;
    const succeeded = (name: string) =>
      node.until(
        name,
        'Succeeded',
        (pod) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed',
      );

    it('what one pod writes the next one reads', async () => {
      await claim('data');
      for (const [name, expected] of [
        ['first', 'lines: first\n'],
        ['second', 'lines: first second\n'],
      ] as const) {
        await node.run(name, makeSpec('data', name));
        await succeeded(name);
        assert.equal(await node.logs(name), expected);
        await node.api.client.delete(pods, { namespace: 'default', name });
        await node.gone(name);
      }
    });

    it('a user other than root may write', { skip: process.geteuid?.() !== 0 }, async () => {
      await claim('open');
      await node.run(
        'user',
        makeSpec('open', 'user', { securityContext: { runAsUser: 2020, runAsGroup: 2020 } }),
      );
      await succeeded('user');
      assert.equal(await node.logs('user'), 'lines: user\n');
    });

    it('a volume that was made here is found where the data directory is now', async () => {
      const name = 'pvc-moved';
      const path = join(node.dataDir, 'volumes', name);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'lines'), 'moved\n');
      await node.api.client.create(persistentVolumes, {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name, annotations: { [provisionedByAnnotation]: hostPathProvisioner } },
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          hostPath: { path: `/elsewhere/volumes/${name}` },
        },
      });
      await claim('moved', { storageClassName: '', volumeName: name });
      await node.run('mover', makeSpec('moved', 'mover'));
      await succeeded('mover');
      assert.equal(await node.logs('mover'), 'lines: moved mover\n');
    });

    it('a pod waits for its claim, and says for what', async () => {
      await node.run('early', makeSpec('late', 'early'));
      await node.until(
        'early',
        'missing claim',
        (pod) => unschedulable(pod) === '0/1 nodes are available: persistentvolumeclaim "late" not found.',
      );
      await claim('late', { storageClassName: '' });
      await node.until(
        'early',
        'unbound claim',
        (pod) =>
          unschedulable(pod) === '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
      );
      const path = join(root, 'hand-made');
      mkdirSync(path);
      writeFileSync(join(path, 'lines'), 'before\n');
      await node.api.client.create(persistentVolumes, {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `hand-made` },
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          local: { path },
          nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [] }] } },
        },
      });
      await succeeded('early');
      assert.equal(await node.logs('early'), 'lines: before early\n');
    });

    it('a claim to volumes that are made by hand waits for one, with its pod', async () => {
      await node.api.client.create(storageClasses, {
        ...makeDefaultClass(),
        metadata: { name: 'by-hand' },
        provisioner: 'kubernetes.io/no-provisioner',
      });
      await claim('manual', { storageClassName: 'by-hand' });
      await node.run('patient', makeSpec('manual', 'patient'));
      await node.until(
        'patient',
        'to wait',
        (pod) =>
          unschedulable(pod) ===
          "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.",
      );
      const path = join(root, 'manual');
      await node.api.client.create(persistentVolumes, {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'manual' },
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          storageClassName: 'by-hand',
          hostPath: { path },
        },
      });
      await succeeded('patient');
      assert.equal(await node.logs('patient'), 'lines: patient\n');
    });

    it('a claim of one pod at a time keeps the next one waiting', async () => {
      await claim('one', { accessModes: ['ReadWriteOncePod'] });
      const wait = { command: ['node', '-e', 'setInterval(() => {}, 1000)'] };
      const holding = makeSpec('one', 'holder');
      holding.containers = holding.containers.map((container) => ({ ...container, ...wait }));
      await node.run('holder', holding);
      await node.until('holder', 'Running', (pod) => pod.status?.phase === 'Running');
      await node.run('next', makeSpec('one', 'next'));
      await node.until('next', 'to wait', (pod) =>
        (unschedulable(pod) ?? '').includes('ReadWriteOncePod access mode'),
      );
      await node.api.client.delete(pods, { namespace: 'default', name: 'holder' });
      await succeeded('next');
      assert.equal(await node.logs('next'), 'lines: next\n');
    });

    it('a claim that is mounted read-only cannot be written', { skip: driver !== 'oci' }, async () => {
      await claim('fixed');
      const spec = makeSpec('fixed', 'word', {
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'fixed', readOnly: true } }],
      });
      await node.run('reader', spec);
      const pod = await succeeded('reader');
      assert.equal(pod.status?.phase, 'Failed');
      assert.match(await node.logs('reader'), /EROFS/);
    });
  });
}
