import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { configMaps } from '../../../src/api/kubernetes/index.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import type { Client } from '../../../src/kube/client/client.ts';
import { SharedInformers } from '../../../src/kube/client/shared-informers.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';
import { waitFor } from '../../support/wait.ts';

let api: TestApi;
let informers: SharedInformers | undefined;

beforeEach(async () => {
  api = await startTestApi();
});

afterEach(async () => {
  informers?.close();
  await api.close();
});

function informerOf(client: Client) {
  informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
  return informers.for(configMaps);
}

function create(name: string, labels: Record<string, string> = {}) {
  const metadata = { name, namespace: 'default', labels };
  return api.client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
}

describe('informer', () => {
  it('lists by namespace and labels, before and after a label moves', async () => {
    const informer = informerOf(api.client);
    await informer.synced();
    const red = await create('a', { color: 'red', size: 'big' });
    await create('b', { color: 'red' });
    await waitFor('both', () => informer.list({ labels: { color: 'red' } }).length === 2);
    assert.deepEqual(
      informer
        .list({ namespace: 'default', labels: { color: 'red', size: 'big' } })
        .map((o) => o.metadata.name),
      ['a'],
    );
    assert.deepEqual(informer.list({ namespace: 'kube-system', labels: { color: 'red' } }), []);
    await api.client.update(configMaps, { ...red, metadata: { ...red.metadata, labels: { color: 'blue' } } });
    await waitFor('the move', () => informer.list({ labels: { color: 'blue' } }).length === 1);
    assert.equal(informer.list({ labels: { color: 'red' } }).length, 1);
  });

  it('replays what exists to a new listener, then tells changes once each', async () => {
    const informer = informerOf(api.client);
    await create('first');
    await waitFor('the first', () => informer.get('default/first') !== undefined);
    const told: string[] = [];
    informer.onChange(({ type, object }) => told.push(`${type} ${object.metadata.name}`));
    assert.deepEqual(
      told.filter((line) => line.endsWith('first')),
      ['added first'],
    );
    const second = await create('second');
    await api.client.update(configMaps, { ...second, data: { a: 'b' } });
    await api.client.delete(configMaps, { namespace: 'default', name: 'second' });
    await waitFor('the deletion', () => told.includes('deleted second'));
    assert.deepEqual(
      told.filter((line) => line.endsWith('second')),
      ['added second', 'modified second', 'deleted second'],
    );
  });

  it('resumes a broken watch without repeating and lists again after 410, telling only differences', async () => {
    let watches = 0;
    let lists = 0;
    const flaky: Client = {
      ...api.client,
      list: (def, options) => {
        lists++;
        return api.client.list(def, options);
      },
      async *watch(def, options) {
        watches++;
        let left = 2;
        // The second watch expires at once, as after a long disconnection; others break after two events.
        if (watches === 2) throw new ApiError('Expired', 'too old resource version');
        for await (const event of api.client.watch(def, options)) {
          yield event;
          if (event.type !== 'BOOKMARK' && --left === 0) return;
        }
      },
    };
    const informer = informerOf(flaky);
    await informer.synced();
    const told: string[] = [];
    informer.onChange(({ type, object }) => told.push(`${type} ${object.metadata.name}`));
    const names = Array.from({ length: 9 }, (_, i) => `m${i}`);
    for (const name of names) await create(name);
    await waitFor('all of them', () => names.every((name) => informer.get(`default/${name}`)));
    assert.deepEqual(
      told.filter((line) => /added m\d/.test(line)),
      names.map((name) => `added ${name}`),
    );
    assert.ok(watches >= 3, `${watches} watches`);
    assert.equal(lists, 2);
  });
});
