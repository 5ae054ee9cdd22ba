/** When rules are applied: the real API, a clock that moves when told, and nft played by the test. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ManualClock, systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { endpointSlices, services } from '../../../src/api/kubernetes/services.ts';
import { SharedInformers } from '../../../src/kube/client/shared-informers.ts';
import { ServiceProxy } from '../../../src/network/proxy/proxy.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';
import { waitFor } from '../../support/wait.ts';
import { service, slice } from '../support.ts';

interface Parts {
  readonly api: TestApi;
  readonly clock: ManualClock;
  readonly proxy: ServiceProxy;
  /** What nft was given. */
  readonly scripts: string[];
  /** What it says to the next ones; then it takes everything. */
  readonly refusals: string[];
  /** Resolves when the proxy's caches know of a write. */
  readonly settled: () => Promise<void>;
}

async function start(t: TestContext): Promise<Parts> {
  const api = await startTestApi();
  const informers = new SharedInformers({ client: api.client, clock: systemClock, log: silentLogger });
  const clock = new ManualClock(1000);
  const [scripts, refusals]: [string[], string[]] = [[], []];
  const proxy = new ServiceProxy({
    informers,
    clock,
    log: silentLogger,
    place: { tag: 'deadbeef', range: '10.96.0.0/16', pods: undefined, open: false, redirects: [] },
    hostAddress: '127.0.0.1',
    run: (script) => {
      scripts.push(script);
      return Promise.resolve(refusals.shift());
    },
  });
  t.after(async () => {
    await proxy.close();
    informers.close();
    await api.close();
  });
  let marks = 0;
  const settled = async (): Promise<void> => {
    // Both caches follow one store in order: what came before these is known with them.
    const name = `mark-${marks++}`;
    await api.client.create(services, service(name, { clusterIP: 'None' }, { uid: '' }));
    await api.client.create(endpointSlices, slice(name, []));
    await waitFor('the caches', () => {
      const key = `default/${name}`;
      return informers.for(services).get(key) && informers.for(endpointSlices).get(`${key}-1`);
    });
  };
  return { api, clock, proxy, scripts, refusals, settled };
}

const port = [{ name: 'http', port: 80, targetPort: 8080 }];
const web = (name = 'web', labels = {}) =>
  ({ ...service(name, { ports: port }), metadata: { name, namespace: 'default', labels } }) as ReturnType<
    typeof service
  >;

/** Lets the proxy hear what nft said. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('rules of Services over time', () => {
  it('begin with everything that exists, and a table of its own', async (t) => {
    const { api, proxy, scripts } = await start(t);
    await api.client.create(services, web());
    await api.client.create(endpointSlices, slice('web', ['10.200.0.2']));
    assert.equal(await proxy.start(), undefined);
    assert.equal(scripts.length, 1);
    assert.match(
      scripts[0] ?? '',
      /^add table ip knapsack_deadbeef_services\ndelete table .*dnat to 10\.200\.0\.2:8080/s,
    );
  });

  it('take changes together, leave time between two transactions, and say only what changed', async (t) => {
    const { api, clock, proxy, scripts, settled } = await start(t);
    await proxy.start();
    clock.advance(1000);
    for (const name of ['a', 'b', 'c']) {
      await api.client.create(services, web(name));
      await api.client.create(endpointSlices, slice(name, ['10.200.0.2']));
    }
    await settled();
    assert.equal(scripts.length, 1);
    clock.advance(30);
    assert.equal(scripts.length, 2);
    const [, change = ''] = scripts;
    assert.equal(change.match(/dnat to/g)?.length, 3);
    assert.doesNotMatch(change, /table|hook/);

    await turn();
    await api.client.create(services, web('d'));
    await api.client.create(endpointSlices, slice('d', ['10.200.0.3']));
    await settled();
    clock.advance(200);
    assert.equal(scripts.length, 2);
    clock.advance(100);
    assert.equal(scripts.length, 3);
    assert.equal(scripts[2]?.match(/dnat to/g)?.length, 1);
  });

  it('do not run nft for what changes no rule: revisions, headless Services, pods that are not ready', async (t) => {
    const { api, clock, proxy, scripts, settled } = await start(t);
    await api.client.create(
      services,
      web('rev', { 'networking.internal.knative.dev/serviceType': 'Private' }),
    );
    await api.client.create(services, web('web'));
    await proxy.start();
    clock.advance(1000);
    await api.client.create(endpointSlices, slice('rev', ['10.200.0.2']));
    await api.client.create(
      endpointSlices,
      slice('web', [{ addresses: ['10.200.0.3'], conditions: { ready: false } }]),
    );
    await settled();
    clock.advance(1000);
    assert.equal(scripts.length, 1);
  });

  it('are made anew when the table is gone, and tried again when nft refuses', async (t) => {
    const { api, clock, proxy, scripts, refusals, settled } = await start(t);
    refusals.push('no such program');
    assert.equal(await proxy.start(), 'no such program');
    clock.advance(999);
    assert.equal(scripts.length, 1);
    clock.advance(1);
    assert.equal(scripts.length, 2);
    await turn();
    clock.advance(1000);
    refusals.push('No such file or directory');
    await api.client.create(services, web());
    await api.client.create(endpointSlices, slice('web', ['10.200.0.2']));
    await settled();
    clock.advance(30);
    assert.equal(scripts.length, 3);
    assert.doesNotMatch(scripts[2] ?? '', /delete table/);
    await turn();
    clock.advance(300);
    assert.equal(scripts.length, 4);
    assert.match(scripts[3] ?? '', /delete table .*dnat to 10\.200\.0\.2:8080/s);
  });

  it('go at the end', async (t) => {
    const { proxy, scripts } = await start(t);
    await proxy.start();
    await proxy.close();
    assert.equal(
      scripts.at(-1),
      'add table ip knapsack_deadbeef_services\ndelete table ip knapsack_deadbeef_services\n',
    );
    const count = scripts.length;
    await proxy.close();
    assert.equal(scripts.length, count);
  });
});
