import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HOST,
  RawClient,
  answering,
  backendOf,
  get,
  hostRule,
  ok,
  rawApp,
  routeTo,
  startRig,
  statuses,
  transports,
} from './support.ts';

for (const transport of transports) {
  test(`${transport}: unknown hosts, paths and local hosts on the public side are 404, also as JSON`, async () => {
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport);
    const backend = backendOf([app.port]);
    rig.engine.apply(
      {
        hosts: {
          [HOST]: hostRule(backend.key, {
            paths: [{ prefix: '/a', splits: [{ backend: backend.key, percent: 100 }] }],
          }),
          'local.example.com': hostRule(backend.key, { visibility: 'local' }),
        },
        backends: { [backend.key]: backend },
      },
      {},
    );
    using client = new RawClient(rig.port);
    client.write(get('/ab') + get('/a/b') + get('/a').replace(HOST, 'LOCAL.example.com:80'));
    await client.until(({ text }) => statuses(text).length === 3);
    assert.deepEqual(statuses(client.text), [404, 200, 404]);
    client.write(get('/', 'Accept: application/json\r\n').replace(HOST, 'nobody'));
    const text = await client.has('"remedy"');
    assert.match(text, /X-Knapsack-Error: GATEWAY_NO_ROUTE/);
    assert.match(text, /"message":"no route has the host name nobody"/);
    using local = new RawClient(rig.localPort);
    local.write(get('/a').replace(HOST, 'Local.Example.com.:80') + get('/a'));
    await local.until(({ text: all }) => statuses(all).length === 2);
    assert.deepEqual(statuses(local.text), [200, 200]);
  });

  test(`${transport}: a rule sets headers over the client's and rewrites the host`, async () => {
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport);
    const backend = backendOf([app.port]);
    rig.engine.apply(
      {
        hosts: {
          [HOST]: {
            visibility: 'public',
            paths: [
              {
                prefix: '/',
                headers: { 'X-Tag': 'blue' },
                rewriteHost: 'inner.svc',
                setHeaders: { 'X-A': 'rule', 'X-B': 'rule' },
                splits: [{ backend: backend.key, percent: 100, setHeaders: { 'x-b': 'split' } }],
              },
              { prefix: '/', splits: [{ backend: backend.key, percent: 100 }] },
            ],
          },
        },
        backends: { [backend.key]: backend },
      },
      {},
    );
    using client = new RawClient(rig.port);
    client.write(get('/1', 'x-tag: blue\r\nx-a: client\r\nX-B: client\r\n') + get('/2', 'X-Tag: green\r\n'));
    await client.until(({ text }) => statuses(text).length === 2);
    const [first = '', second = ''] = (app.received[0] ?? '').split('GET ').slice(1);
    assert.match(first, /Host: inner\.svc\r\n/);
    assert.match(first, /X-A: rule\r\nx-b: split\r\n/);
    assert.doesNotMatch(first, /client|app\.example/);
    assert.match(second, new RegExp(`Host: ${HOST}\r\nX-Tag: green\r\n`));
    assert.doesNotMatch(second, /X-A|x-b/);
  });

  test(`${transport}: network probes are answered here`, async () => {
    await using rig = await startRig(transport);
    const backend = backendOf([]);
    const splits = [{ backend: backend.key, percent: 100 }];
    rig.engine.apply(
      {
        hosts: {
          [HOST]: {
            visibility: 'public',
            paths: [
              {
                prefix: '/',
                headers: { 'K-Network-Hash': 'override' },
                setHeaders: { 'K-Network-Hash': 'abc' },
                splits,
              },
              { prefix: '/', splits },
            ],
          },
        },
        backends: { [backend.key]: backend },
      },
      {},
    );
    using client = new RawClient(rig.port);
    client.write(get('/healthz', 'K-Network-Probe: probe\r\nK-Network-Hash: override\r\n'));
    assert.match(await client.has('probe'), /^HTTP\/1\.1 200[^]*K-Network-Hash: abc\r\n/);
    client.write(get('/healthz', 'K-Network-Probe: other\r\n'));
    await client.has('HTTP/1.1 400');
    client.write(get('/healthz', 'K-Network-Probe: probe\r\n').replace(HOST, 'nobody'));
    await client.has('HTTP/1.1 404');
    assert.deepEqual(rig.wakes, []);
  });

  test(`${transport}: an h2c backend is refused with its code`, async () => {
    await using rig = await startRig(transport);
    routeTo(rig, [1], { protocol: 'h2c' });
    using client = new RawClient(rig.port);
    client.write(get());
    assert.match(await client.has('GATEWAY_H2C_NOT_SERVED'), /^HTTP\/1\.1 502/);
  });
}
