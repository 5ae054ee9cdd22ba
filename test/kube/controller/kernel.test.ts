import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ManualClock, systemClock, type Clock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { configMaps, secrets } from '../../../src/api/kubernetes/index.ts';
import { controllerRef } from '../../../src/api/object.ts';
import type { Client, ObjectKey } from '../../../src/kube/client/client.ts';
import { SharedInformers } from '../../../src/kube/client/shared-informers.ts';
import {
  TerminalError,
  watches,
  type Controller,
  type Outcome,
} from '../../../src/kube/controller/controller.ts';
import { startControllers, type Kernel } from '../../../src/kube/controller/kernel.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';
import { waitFor } from '../../support/wait.ts';

let api: TestApi;
let client: Client;
let informers: SharedInformers;
let kernel: Kernel | undefined;

beforeEach(async () => {
  api = await startTestApi();
  client = api.client;
  informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
});

afterEach(async () => {
  await kernel?.stop();
  kernel = undefined;
  informers.close();
  await api.close();
});

/** Starts one controller on ConfigMaps that records its keys. */
async function start(
  reconcile: (key: ObjectKey) => Promise<Outcome>,
  options: Partial<Controller> = {},
  clock: Clock = systemClock,
): Promise<void> {
  const controller = { name: 'test', root: configMaps, reconcile, ...options };
  kernel = await startControllers([controller], { client, informers, clock, log: silentLogger });
}

function create(name: string) {
  return client.create(configMaps, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default' },
  });
}

const outcomes = () => kernel?.stats()[0]?.outcomes;

describe('kernel', () => {
  it('reconciles what existed before it started, and what changes after', async () => {
    await create('before');
    const seen: string[] = [];
    await start(async ({ name }) => {
      seen.push(name);
    });
    await create('after');
    await waitFor('both', () => seen.includes('before') && seen.includes('after'));
  });

  it('enqueues the controlling owner of a changed child, and of a deleted one', async () => {
    const owner = await create('owner');
    let runs = 0;
    await start(
      async ({ name }) => {
        if (name === 'owner') runs++;
      },
      { owns: [secrets] },
    );
    await waitFor('the first run', () => runs === 1);
    const metadata = { name: 'child', namespace: 'default', ownerReferences: [controllerRef(owner)] };
    await client.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata });
    await waitFor('a run for the child', () => runs === 2);
    await client.delete(secrets, { namespace: 'default', name: 'child' });
    await waitFor('a run for the deletion', () => runs === 3);
  });

  it('maps changes of other resources to keys', async () => {
    const seen: string[] = [];
    await start(
      async ({ namespace, name }) => {
        seen.push(`${namespace}/${name}`);
      },
      { watches: [watches(secrets, (secret) => [`default/for-${secret.metadata.name}`])] },
    );
    await client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'default' },
    });
    await waitFor('the mapped key', () => seen.includes('default/for-s'));
  });

  it('retries a failure with back-off until it succeeds, and counts both', async () => {
    let runs = 0;
    await start(async ({ name }) => {
      if (name === 'flaky' && ++runs < 4) throw new Error('not yet');
    });
    await create('flaky');
    await waitFor('the fourth run', () => runs === 4);
    await waitFor('the counters', () => outcomes()?.error === 3 && (outcomes()?.success ?? 0) >= 1);
  });

  it('does not retry a terminal error before the next change', async () => {
    let runs = 0;
    await start(async ({ name }) => {
      if (name !== 'wrong') return;
      runs++;
      throw new TerminalError('no use');
    });
    const object = await create('wrong');
    await waitFor('the terminal error', () => outcomes()?.terminal_error === 1);
    assert.equal(runs, 1);
    await client.update(configMaps, { ...structuredClone(object), data: { a: 'b' } });
    await waitFor('a run after the change', () => runs === 2);
  });

  it('comes back after requeueAfter by the injected clock, not before', async () => {
    const clock = new ManualClock();
    let runs = 0;
    await start(
      async ({ name }) => (name === 'later' && ++runs === 1 ? { requeueAfter: 5000 } : undefined),
      {},
      clock,
    );
    await create('later');
    await waitFor('the first run', () => outcomes()?.requeue_after === 1);
    clock.advance(4999);
    assert.equal(kernel?.stats()[0]?.depth, 0);
    assert.equal(runs, 1);
    clock.advance(1);
    await waitFor('the second run', () => runs === 2);
  });

  it('aborts a run that takes too long, counts it and tries again', async () => {
    const clock = new ManualClock();
    let runs = 0;
    await start(
      ({ name }) => (name === 'stuck' && ++runs === 1 ? new Promise(() => {}) : Promise.resolve()),
      {},
      clock,
    );
    await create('stuck');
    await waitFor('the stuck run', () => runs === 1);
    clock.advance(60_000);
    await waitFor('the timeout', () => outcomes()?.timeout === 1);
    clock.advance(10);
    await waitFor('the retry', () => runs === 2);
  });

  it('lets a key rest, so that several changes become one run', async () => {
    const clock = new ManualClock();
    let runs = 0;
    await start(
      async ({ name }) => {
        if (name === 'calm') runs++;
      },
      { restMs: 50 },
      clock,
    );
    let object = await create('calm');
    for (let i = 0; i < 5; i++)
      object = await client.update(configMaps, { ...object, data: { i: String(i) } });
    await waitFor(
      'the last change',
      () => informers.for(configMaps).get('default/calm')?.data?.['i'] === '4',
    );
    assert.equal(runs, 0);
    clock.advance(50);
    await waitFor('the run', () => runs > 0);
    assert.equal(runs, 1);
  });

  it('never runs one key twice at the same time', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    await start(async ({ name }) => {
      if (name !== 'busy') return;
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      runs++;
    });
    let object = await create('busy');
    for (let i = 0; i < 20; i++)
      object = await client.update(configMaps, { ...object, data: { i: String(i) } });
    await waitFor('an idle queue', () => runs > 0 && running === 0 && kernel?.stats()[0]?.depth === 0);
    assert.equal(most, 1);
  });
});
