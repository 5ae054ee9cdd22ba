/** Counting under fire: caches that are behind, and controllers that die before or after any write. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { jobs, type Job } from '../../src/api/kubernetes/batch.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { jobController } from '../../src/cluster/job.ts';
import { indexKey, isTracked } from '../../src/cluster/job-pods.ts';
import { ApiError } from '../../src/kube/api-error.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers } from '../../src/kube/controller/kernel.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { startFakeNode } from '../support/fake-node.ts';
import { waitFor } from '../support/wait.ts';
import { endPod, getJob, holding, makeJob, namespace, runningPods } from './workload-support.ts';

/** Numbers that look random and come again in the same order: one test, one story. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** A client whose controller dies at some writes, one in eight, before or after they took effect. */
interface Mortal {
  readonly client: Client;
  readonly isDead: () => boolean;
}

function mortal(client: Client, random: () => number): Mortal {
  let dead = false;
  const fail = (): never => {
    dead = true;
    throw new ApiError('ServiceUnavailable', 'this process is no more');
  };
  const risky = async <T>(write: () => Promise<T>): Promise<T> => {
    const fate = random();
    if (dead || fate < 1 / 16) fail();
    const result = await write();
    return fate < 2 / 16 ? fail() : result;
  };
  const wrapped: Client = {
    get: (def, key) => client.get(def, key),
    list: (def, options) => client.list(def, options),
    watch: (def, options) => client.watch(def, options),
    create: (def, object, options) => risky(() => client.create(def, object, options)),
    update: (def, object, options) => risky(() => client.update(def, object, options)),
    patch: (def, key, patch, options) => risky(() => client.patch(def, key, patch, options)),
    delete: (def, key, options) => risky(() => client.delete(def, key, options)),
  };
  return { client: wrapped, isDead: () => dead };
}

/** Watches show what happens some time after it happened, each at its own pace. */
function lagging(client: Client, random: () => number): Client {
  return {
    ...client,
    get: (def, key) => client.get(def, key),
    list: (def, options) => client.list(def, options),
    async *watch(def, options) {
      for await (const event of client.watch(def, options)) {
        await delay(random() * 15);
        yield event;
      }
    },
  };
}

interface Running {
  readonly isDead: () => boolean;
  readonly stop: () => Promise<void>;
}

/** A job controller with caches of its own. */
async function startController(api: TestApi, random: () => number): Promise<Running> {
  const source = lagging(api.client, random);
  const informers = new SharedInformers({ client: source, clock: systemClock, log: silentLogger });
  const { client, isDead } = mortal(api.client, random);
  const env = { client, informers, clock: systemClock, log: silentLogger };
  const kernel = await startControllers([jobController(env, { event: () => undefined })], env);
  return {
    isDead,
    async stop() {
      await kernel.stop();
      informers.close();
    },
  };
}

describe('the counts of a Job', () => {
  for (const completionMode of ['NonIndexed', 'Indexed']) {
    for (const seed of [1, 2, 3]) {
      it(`are exact, ${completionMode}, story ${seed}`, { timeout: 120_000 }, async () => {
        const random = makeRandom(seed * 7919);
        const api = await startTestApi();
        const own = new SharedInformers({ client: api.client, clock: systemClock, log: silentLogger });
        const node = await startFakeNode(api.client, own);
        let controller = await startController(api, random);
        let deaths = 0;
        /** What happened to each pod that came to an end while the Job still wanted to know, by uid. */
        const ends = new Map<string, { succeeded: boolean; index: string | undefined }>();
        const unsubscribe = own.for(pods).onChange(({ object }) => note(object));
        function note(pod: Pod): void {
          const { phase } = pod.status ?? {};
          if ((phase !== 'Succeeded' && phase !== 'Failed') || !isTracked(pod)) return;
          const index = pod.metadata.annotations?.[indexKey];
          ends.set(pod.metadata.uid ?? '', { succeeded: phase === 'Succeeded', index });
        }
        try {
          const spec = { completions: 15, parallelism: 4, backoffLimit: 1000, completionMode };
          await api.client.create(jobs, makeJob('story', spec));
          const done = await waitFor(
            'the end',
            async () => {
              if (controller.isDead()) {
                deaths++;
                await controller.stop();
                controller = await startController(api, random);
              }
              for (const pod of await runningPods(api, 'story')) {
                // It ended long ago, so that nothing waits for a back-off.
                if (random() < 0.5) await endPod(api, pod, random() < 0.3 ? 1 : 0, Date.now() - 700_000);
              }
              const job = await getJob(api, 'story');
              return holding(job).includes('Complete') && job;
            },
            100_000,
          );
          assert.ok(deaths > 2, `it died ${deaths} times`);
          // Changes come in order: whoever knows the last of each pod has been told of all before.
          await waitFor('the last change to be told', async () => {
            const { items } = await api.client.list(pods, { namespace });
            const known = new Set(own.for(pods).list({}).map(versionOf));
            return items.length === known.size && items.every((pod) => known.has(versionOf(pod)));
          });
          await checkCounts(api, done, ends);
        } finally {
          unsubscribe();
          await controller.stop();
          await node.stop();
          own.close();
          await api.close();
        }
      });
    }
  }
});

const versionOf = ({ metadata }: Pod): string => `${metadata.uid} ${metadata.resourceVersion}`;

async function checkCounts(
  api: TestApi,
  job: Job,
  ends: ReadonlyMap<string, { succeeded: boolean; index: string | undefined }>,
): Promise<void> {
  const all = [...ends.values()];
  const failed = all.filter((end) => !end.succeeded).length;
  const good = all.filter((end) => end.succeeded);
  const { status } = job;
  assert.equal(status?.failed ?? 0, failed, 'each failure once');
  assert.deepEqual(status?.uncountedTerminatedPods, {});
  if (job.spec?.completionMode === 'Indexed') {
    assert.equal(status?.completedIndexes, '0-14');
    assert.equal(new Set(good.map((end) => end.index)).size, 15);
    assert.equal(status?.succeeded, 15);
  } else {
    assert.equal(status?.succeeded, good.length, 'each success once');
    assert.ok(good.length >= 15);
  }
  const { items } = await api.client.list(pods, { namespace });
  assert.deepEqual(
    items.filter((pod) => isTracked(pod) && pod.status?.phase !== 'Running').map((pod) => pod.metadata.name),
    [],
    'no pod that has ended is held any more',
  );
}
