import assert from 'node:assert/strict';
import { createServer, get as httpGet } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { test } from 'node:test';
import type { BackendStats } from '../../src/api/routing.ts';
import { KnapsackError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import { mergeStats, startGateway, type Gateway } from '../../src/gateway/gateway.ts';
import {
  HOST,
  RawClient,
  answering,
  backendOf,
  eventually,
  get,
  hostRule,
  listening,
  ok,
  rawApp,
  statuses,
  transports,
} from './support.ts';

const loopback = { host: '127.0.0.1', port: 0 };
const KEY = 'default/app-00001';

function apply(gateway: Gateway, ports: readonly number[], changes = {}): Promise<void> {
  const backend = backendOf(ports, changes);
  return gateway.apply({ hosts: { [HOST]: hostRule(KEY) }, backends: { [KEY]: backend } });
}

for (const transport of transports) {
  test(`${transport}: a worker thread serves, wakes, reports and drains`, async () => {
    await using app = await rawApp(answering(() => ok('hello')));
    const gateway = await startGateway({ public: loopback, local: loopback, log: silentLogger, transport });
    try {
      assert.equal(gateway.transport, transport);
      assert.notEqual(gateway.publicAddress.port, 0);
      assert.notEqual(gateway.localAddress?.port, gateway.publicAddress.port);
      const stats: BackendStats[] = [];
      const wakes: string[] = [];
      gateway.onStats((some) => stats.push(...some));
      gateway.onWake((key) => wakes.push(key));
      await apply(gateway, []);
      using client = new RawClient(gateway.publicAddress.port);
      client.write(get());
      await eventually(() => wakes.length > 0 && stats.length > 0, 'the wake-up and the first report');
      assert.equal(wakes[0], KEY);
      assert.deepEqual(
        [stats[0]?.key, stats[0]?.queued, stats[0]?.inFlight, stats[0]?.arrived],
        [KEY, 1, 0, 1],
      );
      await apply(gateway, [app.port]);
      await client.has('hello');
      client.write(get().repeat(50));
      await client.until(({ text }) => statuses(text).length === 51);
      await eventually(
        () => stats.reduce((sum, one) => sum + one.arrived, 0) === 51,
        'all arrivals in reports',
      );
      await gateway.drain(`pod-${app.port}`, 5000);
      client.write(get());
      await eventually(() => wakes.length > 1, 'a drained pod is as good as none');
    } finally {
      await gateway.close(0);
    }
  });
}

test('a taken port is an error that names it', async () => {
  const server = createNetServer();
  const port = await listening(server);
  for (const transport of transports) {
    await assert.rejects(
      startGateway({ public: { host: '127.0.0.1', port }, log: silentLogger, transport }),
      (error: unknown) =>
        error instanceof KnapsackError &&
        error.code === 'CLI_PORT_TAKEN' &&
        error.message.includes(`127.0.0.1:${port}`),
    );
  }
  await new Promise((resolve) => server.close(resolve));
});

test('by default the raw handles are used where they work, without a warning', async () => {
  const warnings: string[] = [];
  const listener = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', listener);
  const gateway = await startGateway({ public: loopback, log: silentLogger });
  assert.equal(gateway.transport, 'handles');
  await gateway.close(0);
  process.removeListener('warning', listener);
  assert.deepEqual(warnings, []);
});

test('close finishes what runs, accepts no more and cuts off what takes too long', async () => {
  let answer: (() => void) | undefined;
  await using app = await rawApp((socket, all) => {
    if (all.includes('/slow')) answer = () => socket.write(ok('slow but done'));
  });
  const gateway = await startGateway({ public: loopback, log: silentLogger });
  await apply(gateway, [app.port]);
  const { port } = gateway.publicAddress;
  using slow = new RawClient(port);
  using stuck = new RawClient(port);
  using resting = new RawClient(port);
  slow.write(get('/slow'));
  stuck.write(get('/stuck'));
  resting.write(get().replace(HOST, 'nobody'));
  await resting.has('404');
  await eventually(
    () => answer !== undefined && app.received.join('').includes('/stuck'),
    'the requests at the app',
  );
  const closed = gateway.close(500);
  await resting.end();
  answer?.();
  assert.match(await slow.has('slow but done'), /Connection: close/);
  await closed;
  await stuck.until((client) => client.closed || client.ended, 'the cut');
  using late = new RawClient(port);
  await late.until((client) => client.failed !== undefined, 'the refusal');
});

test('rules that would break a request are not accepted', async () => {
  const gateway = await startGateway({ public: loopback, log: silentLogger });
  const rule = (headers: Record<string, string>) => ({
    hosts: { [HOST]: hostRule(KEY, { paths: [{ prefix: '/', setHeaders: headers, splits: [] }] }) },
  });
  await assert.rejects(gateway.apply(rule({ 'X-A': 'b\r\nX-C: d' })), /cannot be set/);
  await assert.rejects(gateway.apply(rule({ 'X A': 'b' })), /cannot be set/);
  await assert.rejects(gateway.apply(rule({ 'Content-Length': '1' })), /cannot be set/);
  await assert.rejects(
    gateway.apply({
      hosts: { [HOST]: hostRule(KEY, { paths: [{ prefix: '/', rewriteHost: 'a\nb', splits: [] }] }) },
    }),
    /not a host name/,
  );
  await gateway.close(0);
});

test('several workers share ports, the limit of a pod and one report', async () => {
  let running = 0;
  let most = 0;
  const server = createServer((_request, response) => {
    running++;
    most = Math.max(most, running);
    setImmediate(() => {
      running--;
      response.end('ok');
    });
  });
  const appPort = await listening(server);
  const gateway = await startGateway({ public: loopback, workers: 2, log: silentLogger });
  try {
    const stats: BackendStats[] = [];
    gateway.onStats((some) => stats.push(...some));
    await apply(gateway, [appPort], { containerConcurrency: 2 });
    const one = (): Promise<number> =>
      new Promise((resolve, reject) => {
        httpGet(
          { host: '127.0.0.1', port: gateway.publicAddress.port, headers: { host: HOST }, agent: false },
          (message) => {
            message.resume();
            message.on('end', () => resolve(message.statusCode ?? 0));
          },
        ).on('error', reject);
      });
    const results: number[] = [];
    await Promise.all(
      Array.from({ length: 30 }, async () => {
        for (let i = 0; i < 10; i++) results.push(await one());
      }),
    );
    assert.deepEqual([...new Set(results)], [200]);
    assert.ok(most <= 2, `${most} at once`);
    await eventually(
      () => stats.reduce((sum, some) => sum + some.arrived, 0) === 300,
      'all arrivals in reports',
    );
  } finally {
    await gateway.close(0);
    server.closeAllConnections();
    server.close();
  }
});

test('reports of several workers are summed by backend', () => {
  const one = { intervalMs: 1000, averageConcurrency: 1.5, queued: 1, inFlight: 2, arrived: 3 };
  assert.deepEqual(
    mergeStats([
      { key: 'a', ...one },
      { key: 'b', ...one },
      { key: 'a', ...one, intervalMs: 1010 },
    ]),
    [
      { key: 'a', intervalMs: 1010, averageConcurrency: 3, queued: 2, inFlight: 4, arrived: 6 },
      { key: 'b', ...one },
    ],
  );
});

test('a worker that dies is replaced and serves the same routing on the same port', async () => {
  await using app = await rawApp(answering((head) => (head.includes('/hang') ? undefined : ok('alive'))));
  const worker = new URL('./crashing-worker.ts', import.meta.url);
  const gateway = await startGateway({ public: loopback, log: silentLogger }, worker);
  const channel = new BroadcastChannel('gateway-test-crash');
  try {
    await apply(gateway, [app.port]);
    const { port } = gateway.publicAddress;
    using lost = new RawClient(port);
    lost.write(get('/hang'));
    await eventually(() => app.received.join('').includes('/hang'), 'the request at the app');
    const drained = gateway.drain(`pod-${app.port}-other`, 20_000);
    channel.postMessage('crash');
    await lost.until((client) => client.closed || client.ended, 'the end of the connection');
    await drained;
    let answer = '';
    await eventually(() => {
      const client = new RawClient(port);
      client.write(get());
      client.socket.on('close', () => {
        answer += client.text;
      });
      setTimeout(() => client[Symbol.dispose](), 200);
      return answer.includes('alive');
    }, 'an answer of the new worker');
  } finally {
    channel.close();
    await gateway.close(0);
  }
});

test('cluster-local names are served at further addresses, also by a worker that had to be started again', async () => {
  await using app = await rawApp(answering(() => ok('hello')));
  const worker = new URL('./crashing-worker.ts', import.meta.url);
  const gateway = await startGateway({ public: loopback, local: loopback, log: silentLogger }, worker);
  const channel = new BroadcastChannel('gateway-test-crash');
  try {
    const { port } = await gateway.listenLocal(loopback);
    assert.notEqual(port, gateway.localAddress?.port);
    await assert.rejects(
      gateway.listenLocal({ ...loopback, port }),
      (error: unknown) => error instanceof KnapsackError && error.code === 'CLI_PORT_TAKEN',
    );
    await gateway.apply({
      hosts: { [HOST]: hostRule(KEY, { visibility: 'local' }) },
      backends: { [KEY]: backendOf([app.port]) },
    });
    using client = new RawClient(port);
    client.write(get());
    await client.has('hello');
    channel.postMessage('crash');
    await client.until(({ closed, ended }) => closed || ended, 'the end of the connection');
    let answers = '';
    await eventually(() => {
      const next = new RawClient(port);
      next.write(get());
      next.socket.on('close', () => (answers += next.text));
      setTimeout(() => next[Symbol.dispose](), 200);
      return answers.includes('hello');
    }, 'an answer of the new worker');
  } finally {
    channel.close();
    await gateway.close(0);
  }
});
