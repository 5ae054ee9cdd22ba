import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { events } from '../../src/api/kubernetes/events.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { condition, startTestNode, type TestNode } from './support.ts';

describe('what a pod shows', () => {
  const seen: Pod[] = [];
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process', { announce: (pod) => seen.push(pod) });
  });
  after(() => node.close());

  it('a container that waits in a pod with init containers is PodInitializing at any moment', async () => {
    const step = { image: 'script', args: ['0'] };
    await node.run('steps', {
      restartPolicy: 'Never',
      initContainers: [
        { name: 'one', ...step },
        { name: 'two', ...step },
      ],
      containers: [{ name: 'main', ...step }],
    });
    await node.until('steps', 'Succeeded', ({ status }) => status?.phase === 'Succeeded');
    const statuses = seen
      .filter(({ metadata }) => metadata.name === 'steps')
      .flatMap(({ status }) => [
        ...(status?.initContainerStatuses ?? []),
        ...(status?.containerStatuses ?? []),
      ]);
    const reasons = new Set(statuses.flatMap(({ state }) => state?.waiting?.reason ?? []));
    assert.deepEqual([...reasons], ['PodInitializing']);
  });

  it('being put on the node does not move the generation; a change of what is wanted does', async () => {
    await node.run('placed', {
      containers: [{ name: 'app', image: 'script', args: ['setInterval(()=>{},1e3)'] }],
    });
    const pod = await node.until('placed', 'Running', ({ status }) => status?.phase === 'Running');
    assert.equal(pod.spec?.nodeName, 'testnode');
    assert.equal(pod.metadata.generation, 1);
    const key = { namespace: 'default', name: 'placed' };
    const patched = await node.api.client.patch(pods, key, {
      type: 'merge',
      body: { spec: { activeDeadlineSeconds: 3000 } },
    });
    assert.equal(patched.metadata.generation, 2);
  });

  it('events tell what the scheduler says from what the kubelet says', async () => {
    const { metadata } = await node.run('told', {
      containers: [{ name: 'app', image: 'script', args: ['0'] }],
    });
    const sources = await waitFor('the events', async () => {
      const { items } = await node.api.client.list(events, { namespace: 'default' });
      const own = items.filter(({ involvedObject }) => involvedObject.uid === metadata.uid);
      const bySource = new Map(own.map(({ reason = '', source }) => [reason, source?.component]));
      return bySource.has('Scheduled') && bySource.has('Started') ? bySource : undefined;
    });
    assert.equal(sources.get('Scheduled'), 'default-scheduler');
    assert.equal(sources.get('Started'), 'kubelet');
  });

  it('a container that is being ended and says so is not ready any more', async () => {
    const script = `
      const fs = require('fs');
      process.on('SIGTERM', () => { fs.rmSync('/work/ready'); setTimeout(() => process.exit(0), 15000); });
      fs.writeFileSync('/work/ready', '');
      setInterval(() => {}, 1000);`;
    const isThere = `process.exit(require('fs').existsSync('/work/ready') ? 0 : 1)`;
    await node.run('leaving', {
      terminationGracePeriodSeconds: 20,
      volumes: [{ name: 'work', emptyDir: {} }],
      containers: [
        {
          name: 'app',
          image: 'script',
          args: [script],
          volumeMounts: [{ name: 'work', mountPath: '/work' }],
          readinessProbe: {
            exec: { command: ['node', '-e', isThere] },
            periodSeconds: 1,
            failureThreshold: 1,
            timeoutSeconds: 10,
          },
        },
      ],
    });
    await node.untilReady('leaving');
    const key = { namespace: 'default', name: 'leaving' };
    await node.api.client.delete(pods, key);
    const pod = await node.until('leaving', 'not Ready', (one) => condition(one, 'Ready') === 'False');
    assert.notEqual(pod.status?.containerStatuses?.[0]?.state?.running, undefined);
    await node.api.client.delete(pods, key, { gracePeriodSeconds: 0 });
  });

  it('a deadline that is set while the pod runs holds', async () => {
    await node.run('timed', {
      containers: [{ name: 'app', image: 'script', args: ['setInterval(()=>{},1e3)'] }],
    });
    await node.until('timed', 'Running', ({ status }) => status?.phase === 'Running');
    const key = { namespace: 'default', name: 'timed' };
    await node.api.client.patch(pods, key, { type: 'merge', body: { spec: { activeDeadlineSeconds: 1 } } });
    const pod = await node.until('timed', 'Failed', ({ status }) => status?.phase === 'Failed');
    assert.equal(pod.status?.reason, 'DeadlineExceeded');
  });

  it('files of the downward API follow labels and annotations', async () => {
    const path = '/labels/both';
    const args = [
      `const fs = require('fs'); setInterval(() => console.log(fs.readFileSync('${path}', 'utf8').trim()), 50)`,
    ];
    const field = { fieldRef: { fieldPath: 'metadata.labels' } };
    await node.run(
      'named',
      {
        volumes: [
          {
            name: 'labels',
            projected: { sources: [{ downwardAPI: { items: [{ path: 'both', ...field }] } }] },
          },
        ],
        containers: [
          { name: 'app', image: 'script', args, volumeMounts: [{ name: 'labels', mountPath: '/labels' }] },
        ],
      },
      { labels: { tier: 'old' } },
    );
    await waitFor('the old label', async () =>
      (await node.logs('named').catch(() => '')).includes('tier="old"'),
    );
    const key = { namespace: 'default', name: 'named' };
    await node.api.client.patch(pods, key, {
      type: 'merge',
      body: { metadata: { labels: { tier: 'new' } } },
    });
    await waitFor('the new label', async () => (await node.logs('named')).includes('tier="new"'));
  });
});

describe('a pod on the network of this machine', { skip: ociSkipReason() ?? false }, () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('oci');
  });
  after(() => node.close());

  it("has the machine's address", async () => {
    const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
    await node.run('shared', {
      restartPolicy: 'Never',
      hostNetwork: true,
      containers: [
        {
          name: 'app',
          image: 'script',
          args: ['console.log(process.env.POD === process.env.HOST)'],
          env: [
            { name: 'POD', ...field('status.podIP') },
            { name: 'HOST', ...field('status.hostIP') },
          ],
        },
      ],
    });
    const pod = await node.until('shared', 'Succeeded', ({ status }) => status?.phase === 'Succeeded');
    assert.equal(pod.status?.podIP, pod.status?.hostIP);
    assert.equal(await node.logs('shared'), 'true\n');
  });
});

describe('a pod that shares with this machine', { skip: ociSkipReason() ?? false }, () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('oci');
  });
  after(() => node.close());

  const look = (name: string, more: object) =>
    node.run(name, {
      restartPolicy: 'Never',
      ...more,
      containers: [
        {
          name: 'app',
          image: 'script',
          args: [
            `const fs = require('fs');
            const sees = (pid) => { try { return fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8'); } catch { return ''; } };
            console.log(JSON.stringify([sees(${process.pid}), fs.readlinkSync('/proc/self/ns/ipc')]))`,
          ],
        },
      ],
    });
  const seen = async (name: string): Promise<[string, string]> => {
    await node.until(name, 'Succeeded', ({ status }) => status?.phase === 'Succeeded');
    return JSON.parse(await node.logs(name)) as [string, string];
  };

  it('sees its processes and its memory where it asks for that, and else its own', async () => {
    await Promise.all([look('host', { hostPID: true, hostIPC: true }), look('own', {})]);
    const mine = [readFileSync('/proc/self/cmdline', 'utf8'), readlinkSync('/proc/self/ns/ipc')];
    assert.deepEqual(await seen('host'), mine);
    const [process, ipc] = await seen('own');
    assert.notEqual(process, mine[0]);
    assert.notEqual(ipc, mine[1]);
  });
});

describe('a pod that gets another image', () => {
  let node: TestNode;
  before(async () => {
    node = await startTestNode('process');
    node.images.add('other', { Entrypoint: ['node', '-e'] }, {}, false);
  });
  after(() => node.close());

  const change = (name: string, image: string) =>
    node.api.client.patch(
      pods,
      { namespace: 'default', name },
      { type: 'strategic', body: { spec: { containers: [{ name: 'app', image }] } } },
    );

  it('has its container replaced while it runs, whatever its policy is', async () => {
    const args = ['setInterval(() => {}, 1000)'];
    await node.run('swapped', {
      restartPolicy: 'Never',
      containers: [{ name: 'app', image: 'script', args }],
    });
    await node.until('swapped', 'Running', ({ status }) => status?.phase === 'Running');
    await change('swapped', 'other');
    const pod = await node.until('swapped', 'the other image', ({ status }) => {
      const [app] = status?.containerStatuses ?? [];
      return app?.image === 'other' && app.restartCount === 1 && app.state?.running !== undefined;
    });
    assert.equal(pod.status?.phase, 'Running');
    assert.match(pod.status?.containerStatuses?.[0]?.imageID ?? '', /^other@/);
  });

  it('tries that one at once, without the wait that the wrong one has earned', async () => {
    await node.run('mended', {
      restartPolicy: 'Never',
      containers: [{ name: 'app', image: 'wrong:1', args: ['0'] }],
    });
    await node.until('mended', 'ImagePullBackOff', ({ status }) => {
      return status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff';
    });
    await change('mended', 'other');
    await node.until('mended', 'Succeeded', ({ status }) => status?.phase === 'Succeeded', 8000);
  });
});
