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

for (const transport of transports) {
  test(`${transport}: wildcards cover one label, names come first, exact paths are meant to the letter`, async () => {
    const named = async (name: string) => rawApp(answering(() => ok(name)));
    await using one = await named('one');
    await using wild = await named('wild');
    await using any = await named('any');
    await using exact = await named('exact');
    await using rig = await startRig(transport);
    const backends = [one, wild, any, exact].map((app, i) => ({ ...backendOf([app.port]), key: `b${i}` }));
    const to = (i: number) => [{ backend: `b${i}`, percent: 100 }];
    rig.engine.apply(
      {
        hosts: {
          'one.example.com': {
            visibility: 'public',
            paths: [
              { prefix: '/only', exact: true, splits: to(3) },
              { prefix: '/', splits: to(0) },
            ],
          },
          '*.example.com': hostRule('b1'),
          '*': hostRule('b2'),
          'inside.example.com': hostRule('b0', { visibility: 'local' }),
        },
        backends: Object.fromEntries(backends.map((backend) => [backend.key, backend])),
      },
      {},
    );
    const ask = async (host: string, path = '/', local = false): Promise<string> => {
      using client = new RawClient(local ? rig.localPort : rig.port);
      client.write(get(path).replace(HOST, host));
      await client.until(({ text }) => statuses(text).length === 1 && /\r\n\r\n./s.test(text));
      return /^HTTP\/1.1 404/.test(client.text)
        ? '404'
        : client.text.slice(client.text.indexOf('\r\n\r\n') + 4);
    };
    assert.equal(await ask('one.example.com'), 'one');
    assert.equal(await ask('two.example.com'), 'wild');
    assert.equal(await ask('a.two.example.com'), 'any');
    assert.equal(await ask('example.com'), 'any');
    assert.equal(await ask('127.0.0.1'), 'any');
    assert.equal(await ask('one.example.com', '/only'), 'exact');
    assert.equal(await ask('one.example.com', '/only?x=1'), 'exact');
    assert.equal(await ask('one.example.com', '/only/'), 'one');
    // A name that somebody has is no wildcard's, and inside there are no wildcards.
    assert.equal(await ask('inside.example.com'), '404');
    assert.equal(await ask('two.example.com', '/', true), '404');
    rig.engine.apply({ hosts: { '*': null, '*.example.com': null } }, {});
    assert.equal(await ask('two.example.com'), '404');
  });
}
