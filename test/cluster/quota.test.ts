/** What quotas say of their use, and how kubectl shows it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { configMaps, limitRanges, pods, resourceQuotas } from '../../src/api/kubernetes/index.ts';
import { kubectls } from '../support/kubectl.ts';
import { waitFor } from '../support/wait.ts';
import { startServerWithCluster } from '../kube/server/pod-actions/support.ts';
import type { TestServer } from '../kube/server/support.ts';

describe('status of quotas', () => {
  let server: TestServer;
  before(async () => {
    server = await startServerWithCluster();
  });
  after(() => server.close());

  const used = (wanted: object) =>
    waitFor(`use of ${JSON.stringify(wanted)}`, async () => {
      const { status } = await server.api.client.get(resourceQuotas, { namespace: 'default', name: 'q' });
      assert.deepEqual(status?.used, wanted);
      return status;
    });

  it('follows what comes and goes', async () => {
    const { client } = server.api;
    const hard = {
      pods: '5',
      'requests.memory': '1Gi',
      'count/configmaps': '10',
      'limits.cpu': '2',
      'x.example.com/odd': '1',
    };
    const maps = (await client.list(configMaps, { namespace: 'default' })).items.length;
    await client.create(resourceQuotas, {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'q', namespace: 'default' },
      spec: { hard },
    });
    const counts = { 'count/configmaps': String(maps), 'limits.cpu': '0', pods: '0', 'requests.memory': '0' };
    const status = await used(counts);
    assert.deepEqual(status.hard, hard);
    const resources = { requests: { memory: '512Mi' }, limits: { cpu: '1' } };
    const spec = { containers: [{ name: 'app', image: 'example.com/app', resources }] };
    await client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'default' },
      spec,
    });
    await used({ ...counts, 'limits.cpu': '1', pods: '1', 'requests.memory': '512Mi' });
    await client.delete(pods, { namespace: 'default', name: 'p' });
    await used(counts);
  });

  it('is what kubectl shows', async () => {
    const { client } = server.api;
    await client.create(limitRanges, {
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name: 'l', namespace: 'default' },
      spec: {
        limits: [{ type: 'Container', default: { cpu: '1', memory: '64Mi' }, max: { memory: '1Gi' } }],
      },
    });
    const [program] = kubectls().values();
    if (!program) return;
    const run = promisify(execFile);
    const env = { ...process.env, KUBECONFIG: server.kubeconfig, HOME: server.dir };
    const kubectl = async (...args: string[]): Promise<string> =>
      (await run(program, args, { env, timeout: 30_000 })).stdout;
    const table = await kubectl('get', 'quota');
    assert.match(table, /^NAME +REQUEST +LIMIT +AGE\n/);
    assert.match(table, /pods: 0\/5, requests\.memory: 0\/1Gi/);
    assert.match(table, / limits\.cpu: 0\/2 /);
    assert.match(
      await kubectl('describe', 'quota', 'q'),
      /Resource +Used +Hard\n[-\s]+\n[^]*limits\.cpu +0 +2\n/,
    );
    assert.match(await kubectl('describe', 'limits', 'l'), /Container +memory +- +1Gi +64Mi +64Mi +-/);
    assert.match(
      await kubectl('describe', 'namespace', 'default'),
      /Resource Quotas?\n[^]*Resource Limits\n/,
    );
    await kubectl('create', 'quota', 'made', '--hard=pods=1,requests.cpu=2', '--scopes=NotTerminating');
    await kubectl('create', 'priorityclass', 'made', '--value=5', '--description=d');
    await kubectl('create', 'poddisruptionbudget', 'made', '--selector=app=x', '--min-available=50%');
    assert.match(await kubectl('get', 'pdb', 'made'), /made +50% +N\/A +0 /);
    assert.match(await kubectl('get', 'priorityclass', 'made'), /made +5 +false /);
  });
});
