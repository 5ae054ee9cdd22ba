import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { sysctlsOf, whyRejected } from '../../src/node/pod-admission.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { condition, startTestNode, type TestNode } from './support.ts';

type Spec = NonNullable<Pod['spec']>;

function podWith(spec: Partial<Spec>): Pod {
  const metadata = { name: 'p', namespace: 'default' };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'c' }], ...spec } };
}

const setting = (name: string): Partial<Spec> => ({ securityContext: { sysctls: [{ name, value: '1' }] } });

describe('pods that a node takes and cannot run', () => {
  it('kernel parameters that reach beyond the pod are forbidden', () => {
    assert.equal(whyRejected(podWith(setting('kernel.shm_rmid_forced')), 'linux'), undefined);
    assert.equal(whyRejected(podWith(setting('kernel/shm_rmid_forced')), 'linux'), undefined);
    assert.deepEqual(whyRejected(podWith(setting('kernel.msgmax')), 'linux'), {
      reason: 'SysctlForbidden',
      message: 'forbidden sysctl: "kernel.msgmax" not allowlisted',
    });
    const shared = podWith({ ...setting('net.ipv4.tcp_syncookies'), hostNetwork: true });
    assert.match(whyRejected(shared, 'linux')?.message ?? '', /not allowed with host net enabled$/);
  });

  it('names with slashes are read as sysctl reads them', () => {
    assert.deepEqual(sysctlsOf(podWith(setting('net/ipv4/conf/eno2.100/rp_filter'))), [
      ['net.ipv4.conf.eno2/100.rp_filter', '1'],
    ]);
    assert.deepEqual(sysctlsOf(podWith(setting('net.ipv4.conf.eno2/100.rp_filter'))), [
      ['net.ipv4.conf.eno2/100.rp_filter', '1'],
    ]);
  });

  it('a pod for another operating system is refused', () => {
    assert.equal(whyRejected(podWith({ os: { name: 'linux' } }), 'linux'), undefined);
    assert.equal(whyRejected(podWith({ os: { name: 'linux' } }), 'darwin'), undefined);
    assert.equal(whyRejected(podWith({ os: { name: 'windows' } }), 'linux')?.reason, 'PodOSNotSupported');
  });
});

describe('pods that a node takes and cannot run, in the API', () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process');
  });
  after(() => node.close());

  it('such a pod fails, says why, and starts nothing', async () => {
    await node.run('unsafe', {
      ...setting('kernel.msgmax'),
      containers: [{ name: 'app', image: 'script', args: ['0'] }],
    });
    const pod = await node.until('unsafe', 'Failed', ({ status }) => status?.phase === 'Failed');
    assert.equal(pod.status?.reason, 'SysctlForbidden');
    assert.equal(pod.status?.containerStatuses?.[0]?.state?.waiting?.reason, 'ContainerCreating');
    assert.equal(pod.status?.podIP, undefined);
  });

  it('a pod that waits for room and is bound all the same fails, and says why', async () => {
    const resources = { requests: { cpu: '1000000' } };
    await node.run('huge', { containers: [{ name: 'app', image: 'script', args: ['0'], resources }] });
    await node.until('huge', 'to wait', (pod) => condition(pod, 'PodScheduled') === 'False');
    const key = { namespace: 'default', name: 'huge' };
    const body = { spec: { nodeName: 'testnode' } };
    await node.api.client.patch(pods, key, { type: 'merge', body });
    const pod = await node.until('huge', 'Failed', ({ status }) => status?.phase === 'Failed');
    assert.equal(pod.status?.reason, 'OutOfcpu');
    assert.equal(condition(pod, 'PodScheduled'), 'True');
  });

  it('names that are no kernel parameters are refused by the API', async () => {
    const containers = [{ name: 'app', image: 'script', args: ['0'] }];
    await assert.rejects(node.run('foo', { ...setting('foo-'), containers }), /Invalid value: "foo-"/);
    await assert.rejects(node.run('bar', { ...setting('bar..'), containers }), /Invalid value: "bar\.\."/);
    const twice = [1, 2].map(() => ({ name: 'kernel.shm_rmid_forced', value: '1' }));
    const spec = { securityContext: { sysctls: twice }, containers };
    await assert.rejects(node.run('twice', spec), /Duplicate value: "kernel\.shm_rmid_forced"/);
  });
});

describe('kernel parameters of containers', { skip: ociSkipReason() ?? false }, () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('oci');
  });
  after(() => node.close());

  it('a container finds those that its pod sets', async () => {
    const read = (path: string): string => `require('fs').readFileSync('/proc/sys/${path}', 'utf8').trim()`;
    const args = [`console.log(${read('kernel/shm_rmid_forced')}, ${read('net/ipv4/ping_group_range')})`];
    await node.run('set', {
      restartPolicy: 'Never',
      securityContext: {
        sysctls: [
          { name: 'kernel/shm_rmid_forced', value: '1' },
          { name: 'net.ipv4.ping_group_range', value: '7 8' },
        ],
      },
      containers: [{ name: 'app', image: 'script', args }],
    });
    await node.until('set', 'Succeeded', ({ status }) => status?.phase === 'Succeeded');
    assert.equal(await node.logs('set'), '1 7\t8\n');
  });
});
