import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { makeUsage, type NodeMetrics, type PodMetrics } from '../../../src/api/kubernetes/metrics.ts';
import { nodes } from '../../../src/api/kubernetes/nodes.ts';
import { kubectlSkipReason } from '../../support/drivers.ts';
import { kubectls } from '../../support/kubectl.ts';
import { execute } from '../../support/platform.ts';
import { assertStatus, startTestServer, type TestServer } from './support.ts';

const time = { timestamp: '2026-01-02T03:04:05Z', window: '15s' };
const apiVersion = 'metrics.k8s.io/v1beta1';

function pod(namespace: string, name: string, ...cores: number[]): PodMetrics {
  const containers = cores.map((count, i) => ({ name: `c${i}`, usage: makeUsage(count, 64 * 2 ** 20) }));
  const metadata = { name, namespace, labels: { app: name } };
  return { kind: 'PodMetrics', apiVersion, metadata, ...time, containers };
}

const node: NodeMetrics = {
  kind: 'NodeMetrics',
  apiVersion,
  metadata: { name: 'machine' },
  ...time,
  usage: makeUsage(0.5, 2 ** 30),
};

describe('metrics.k8s.io', () => {
  let server: TestServer;
  before(async () => {
    const pods = [
      pod('default', 'web', 0.25, 0.05),
      pod('default', 'db', 1),
      pod('kube-system', 'dns', 0.001),
    ];
    const metrics = { pods: () => Promise.resolve(pods), nodes: () => Promise.resolve([node]) };
    server = await startTestServer({ metrics });
    await server.api.client.create(nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'machine' },
      status: { allocatable: { cpu: '2', memory: '4Gi' }, capacity: { cpu: '2', memory: '4Gi' } },
    });
  });
  after(() => server.close());

  const base = '/apis/metrics.k8s.io/v1beta1';

  it('can be read and listed, in a namespace and with selectors', async () => {
    const list = async (path: string): Promise<string[]> =>
      (await server.call('GET', base + path))
        .json<{ items: PodMetrics[] }>()
        .items.map((item) => item.metadata.name);
    assert.deepEqual(await list('/pods'), ['web', 'db', 'dns']);
    assert.deepEqual(await list('/namespaces/default/pods'), ['web', 'db']);
    assert.deepEqual(await list('/namespaces/default/pods?labelSelector=app%3Ddb'), ['db']);
    assert.deepEqual(await list('/pods?fieldSelector=metadata.name%3Ddns'), ['dns']);
    assert.deepEqual(await list('/nodes'), ['machine']);
    const one = await server.call('GET', `${base}/namespaces/default/pods/web`);
    assert.deepEqual(one.json<PodMetrics>().containers[0], {
      name: 'c0',
      usage: { cpu: '250000000n', memory: '65536Ki' },
    });
  });

  it('has no other verbs', async () => {
    const absent = await server.call('GET', `${base}/namespaces/default/pods/none`);
    assertStatus(absent, 404, 'NotFound', 'pods.metrics.k8s.io "default/none" not found');
    assert.equal((await server.call('GET', `${base}/pods?watch=1`)).status, 405);
    assert.equal((await server.call('DELETE', `${base}/nodes/machine`)).status, 405);
    const discovery = (await server.call('GET', base)).json<{
      resources: { name: string; verbs: string[] }[];
    }>();
    assert.deepEqual(
      discovery.resources.map(({ name, verbs }) => [name, verbs]),
      [
        ['nodes', ['get', 'list']],
        ['pods', ['get', 'list']],
      ],
    );
  });

  it('is not served without a source', async () => {
    const bare = await startTestServer();
    try {
      assert.equal((await bare.call('GET', `${base}/nodes`)).status, 404);
    } finally {
      await bare.close();
    }
  });

  for (const [minor, program] of kubectls()) {
    it(`is what kubectl 1.${minor} top prints`, { skip: kubectlSkipReason() ?? false }, async () => {
      const kubectl = async (...args: string[]): Promise<string[]> => {
        const env = { KUBECONFIG: server.kubeconfig, HOME: server.dir };
        const { code, stdout, stderr } = await execute(program, args, { env });
        assert.equal(code, 0, stderr);
        return stdout
          .trim()
          .split('\n')
          .map((line) => line.trim().replace(/\s+/g, ' '));
      };
      assert.deepEqual(await kubectl('top', 'pods'), [
        'NAME CPU(cores) MEMORY(bytes)',
        'db 1000m 64Mi',
        'web 300m 128Mi',
      ]);
      assert.deepEqual(await kubectl('top', 'pod', 'web', '--containers', '--no-headers'), [
        'web c0 250m 64Mi',
        'web c1 50m 64Mi',
      ]);
      assert.deepEqual(await kubectl('top', 'pods', '-A', '-l', 'app=dns', '--no-headers'), [
        'kube-system dns 1m 64Mi',
      ]);
      const [head = '', row] = await kubectl('top', 'nodes');
      assert.match(head, /^NAME CPU\(cores\) CPU/);
      assert.equal(row, 'machine 500m 25% 1024Mi 25%');
      assert.deepEqual(await kubectl('get', 'pods.metrics.k8s.io', 'db'), [
        'NAME CPU MEMORY WINDOW',
        'db 1000000000n 65536Ki 15s',
      ]);
    });
  }
});
