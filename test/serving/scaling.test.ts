import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { podAutoscalers } from '../../src/api/autoscaling/index.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { deployments } from '../../src/api/kubernetes/workloads.ts';
import { findCondition } from '../../src/api/knative/conditions.ts';
import { knativeServices, revisions } from '../../src/api/serving/index.ts';
import { waitFor } from '../support/wait.ts';
import { makeKsvc, ready, startServing, type ServingPlatform } from './support.ts';

/** Thirty times as fast: a stable window of 6 s passes in 200 ms. */
const speed = 30;
const window = { 'autoscaling.knative.dev/window': '6s' };

let platform: ServingPlatform;
before(async () => {
  platform = await startServing({ speed });
});
after(() => platform.close());

async function create(name: string, options: Parameters<typeof makeKsvc>[1] = {}): Promise<void> {
  const annotations = { ...window, ...options.annotations };
  await platform.client.create(knativeServices, makeKsvc(name, { ...options, annotations }));
  await platform.until(knativeServices, name, 'ready', ready);
}

async function podsOf(name: string): Promise<number> {
  return (await platform.list(pods)).filter(({ metadata }) => metadata.name.startsWith(`${name}-00001`))
    .length;
}

/** Keeps reporting load until the check holds. */
async function underLoad<T>(
  key: string,
  load: number,
  what: string,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const timer = setInterval(() => platform.path.report(key, load), 1000 / speed);
  try {
    return await waitFor(what, check);
  } finally {
    clearInterval(timer);
  }
}

test('without traffic the pods go, after the gateway let go of them; the next request wakes one', async () => {
  await create('sleepy');
  const [pod] = await platform.list(pods);
  await waitFor('no pods', async () => (await podsOf('sleepy')) === 0);
  const key = 'default/sleepy-00001';
  const { journal } = platform.path;
  const idle = journal.indexOf(`idle ${pod?.metadata.uid}`);
  assert.ok(idle >= 0, 'the last answers were waited for');
  assert.equal(
    journal.slice(0, idle).findLast((line) => line.startsWith(key)),
    `${key} 0`,
  );
  const autoscaler = await platform.until(podAutoscalers, 'sleepy-00001', 'inactive', ({ status }) => {
    return findCondition(status?.conditions, 'Active')?.status === 'False' && status?.actualScale === 0;
  });
  assert.equal(findCondition(autoscaler.status?.conditions, 'Active')?.reason, 'NoTraffic');
  const revision = await platform.until(revisions, 'sleepy-00001', 'inactive', ({ status }) => {
    return findCondition(status?.conditions, 'Active')?.status === 'False';
  });
  assert.ok(ready(revision), 'a revision at zero is still ready');
  assert.ok(ready(await platform.get(knativeServices, 'sleepy')));

  assert.equal(platform.path.backends.get(key)?.wakes, true);
  platform.path.wake(key);
  await waitFor('endpoint in the gateway', () => platform.path.endpoints(key) === 1);
  await platform.until(podAutoscalers, 'sleepy-00001', 'active', ({ status }) => {
    return findCondition(status?.conditions, 'Active')?.status === 'True';
  });
});

test('load adds pods within max-scale, and they go again with it', async () => {
  await create('busy', { concurrency: 10, annotations: { 'autoscaling.knative.dev/max-scale': '4' } });
  const key = 'default/busy-00001';
  await underLoad(key, 70, 'four pods', async () => (await podsOf('busy')) === 4);
  await waitFor('endpoints', () => platform.path.endpoints(key) === 4);
  assert.equal(platform.path.backends.get(key)?.containerConcurrency, 10);
  await waitFor('no pods', async () => (await podsOf('busy')) === 0);
});

test('min-scale holds pods while a route names the revision, and is dropped when none does', async () => {
  await create('kept', { annotations: { 'autoscaling.knative.dev/min-scale': '2' } });
  await waitFor('two pods', async () => (await podsOf('kept')) === 2);
  await platform.client.patch(
    knativeServices,
    { namespace: 'default', name: 'kept' },
    { type: 'merge', body: makeKsvc('kept', { target: 'other', annotations: window }) },
  );
  await waitFor('old pods gone', async () => (await podsOf('kept')) === 0);
});

test('initial-scale pods must be ready before the service is', async () => {
  await create('three', { annotations: { 'autoscaling.knative.dev/initial-scale': '3' } });
  const first = platform.path.journal.find((line) => line.startsWith('default/three-00001 '));
  assert.equal(first, 'default/three-00001 3');
});

test('pods without load go by halves, one step a tick', async () => {
  const replicas = new Set<number>();
  const stop = new AbortController();
  const watch = platform.client.watch(deployments, { namespace: 'default', signal: stop.signal });
  const watching = (async () => {
    for await (const { type, object } of watch) {
      if (type === 'BOOKMARK' || object.metadata.name !== 'halves-00001-deployment') continue;
      replicas.add(object.spec?.replicas ?? 0);
      if (object.spec?.replicas === 0) return;
    }
  })();
  await create('halves', { annotations: { 'autoscaling.knative.dev/initial-scale': '8' } });
  await watching;
  stop.abort();
  assert.deepEqual([...replicas], [8, 4, 2, 1, 0]);
});

test('a request during retirement calls it off', async () => {
  await create('reprieved');
  const key = 'default/reprieved-00001';
  const untilIdle = platform.path.untilIdle.bind(platform.path);
  let woken = 0;
  platform.path.untilIdle = async (id) => {
    if (platform.path.endpoints(key) === 0 && woken === 0) {
      woken++;
      platform.path.wake(key);
    }
    await untilIdle(id);
  };
  await waitFor('a wake-up during retirement', () => woken === 1);
  assert.equal(platform.path.endpoints(key), 1, 'the pod serves again at once');
  assert.equal(await podsOf('reprieved'), 1);
});
