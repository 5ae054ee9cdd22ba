import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
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
  routeTo,
  settle,
  startRig,
  statuses,
  transports,
  type Rig,
} from './support.ts';

const KEY = 'default/app-00001';

function backend(rig: Rig) {
  const state = rig.engine.backends.get(KEY);
  assert.ok(state);
  return state;
}

/** A port that refuses connections. */
async function closedPort(): Promise<number> {
  const app = await rawApp(() => {});
  await app[Symbol.asyncDispose]();
  return app.port;
}

for (const transport of transports) {
  test(`${transport}: requests wait at zero, are counted at once and served in order when a pod comes`, async () => {
    await using app = await rawApp(answering((head, body) => ok(`${/^\S+ (\S+)/.exec(head)?.[1]}${body}`)));
    await using rig = await startRig(transport);
    routeTo(rig, [], { containerConcurrency: 1 });
    const clients: RawClient[] = [];
    for (let i = 0; i < 5; i++) {
      const client = new RawClient(rig.port);
      clients.push(client);
      client.write(`POST /n${i} HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\n\r\n-body`);
      await eventually(() => backend(rig).queuedCount === i + 1, 'the request in the queue');
    }
    assert.deepEqual(rig.wakes, [KEY], 'one wake-up within 100 ms or few: all came at once');
    assert.equal(rig.firsts.length, 1);
    assert.equal(rig.firsts[0]?.arrived, 1);
    assert.equal(rig.firsts[0]?.queued, 1);
    assert.equal(rig.firsts[0]?.averageConcurrency, 1);
    routeTo(rig, [app.port], { containerConcurrency: 1 });
    await Promise.all(clients.map((client, i) => client.has(`/n${i}-body`)));
    const order = [...app.received.join('').matchAll(/POST \/n(\d)/g)].map((match) => match[1]);
    assert.deepEqual(order, ['0', '1', '2', '3', '4']);
    assert.equal(app.sockets.length, 1);
    for (const client of clients) client[Symbol.dispose]();
  });

  test(`${transport}: a full queue and a backend that does not wake answer 503 at once`, async () => {
    await using rig = await startRig(transport, { options: { queueLimit: 2 } });
    routeTo(rig, []);
    using a = new RawClient(rig.port);
    using b = new RawClient(rig.port);
    a.write(get());
    b.write(get());
    await eventually(() => backend(rig).queuedCount === 2, 'the full queue');
    using c = new RawClient(rig.port);
    c.write(get());
    assert.match(await c.has('GATEWAY_QUEUE_FULL'), /^HTTP\/1\.1 503[^]*Retry-After/);
    routeTo(rig, [], { wakes: false });
    c.write(get());
    await c.has('GATEWAY_NO_ENDPOINT');
  });

  test(`${transport}: no pod gets more than containerConcurrency, and the least loaded is taken`, async () => {
    const running = new Map<number, number>();
    let most = 0;
    const make = (index: number) =>
      rawApp(
        answering((_head, _body, socket) => {
          const now = (running.get(index) ?? 0) + 1;
          running.set(index, now);
          most = Math.max(most, now);
          setImmediate(() => {
            running.set(index, (running.get(index) ?? 0) - 1);
            socket.write(ok('done'));
          });
          return undefined;
        }),
      );
    await using one = await make(1);
    await using two = await make(2);
    await using rig = await startRig(transport);
    routeTo(rig, [one.port, two.port], { containerConcurrency: 3 });
    const clients = Array.from({ length: 20 }, () => new RawClient(rig.port));
    for (let round = 1; round <= 5; round++) {
      for (const client of clients) client.write(get());
      await Promise.all(clients.map((client) => client.until(({ text }) => statuses(text).length === round)));
    }
    assert.ok(most <= 3, `${most} at once`);
    const counts = [one, two].map((app) => app.received.join('').split('GET ').length - 1);
    assert.equal((counts[0] ?? 0) + (counts[1] ?? 0), 100);
    assert.ok(Math.min(...counts) > 25, `uneven: ${counts.join()}`);
    for (const client of clients) client[Symbol.dispose]();
  });

  test(`${transport}: a pod that refuses is left alone, the request goes to another`, async () => {
    const port = await closedPort();
    await using app = await rawApp(answering((_head, body) => ok(`pod${body}`)));
    await using rig = await startRig(transport);
    routeTo(rig, [port, app.port]);
    for (let i = 0; i < 6; i++) {
      using client = new RawClient(rig.port);
      client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 3\r\n\r\n${i}${i}${i}`);
      await client.has(`pod${i}${i}${i}`);
    }
  });

  test(`${transport}: where pods can wake, a refused request waits for one that accepts`, async () => {
    const port = await closedPort();
    await using rig = await startRig(transport);
    routeTo(rig, [port]);
    using client = new RawClient(rig.port);
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\n\r\nkept`);
    await eventually(() => rig.wakes.length > 0, 'the wake-up');
    assert.equal(client.text, '');
    await using app = await rawApp(answering((_head, body) => ok(body)));
    routeTo(rig, [app.port]);
    await client.has('\r\n\r\nkept');
  });

  test(`${transport}: a pod that opens its port late is found without an update`, async () => {
    const port = await closedPort();
    await using rig = await startRig(transport);
    routeTo(rig, [port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => rig.wakes.length > 0, 'the wake-up');
    await using app = await rawApp(
      answering(() => ok('late')),
      { port },
    );
    await client.has('late');
    assert.equal(app.port, port);
  });

  test(`${transport}: pods that refuse for too long are 502, at once where nothing wakes`, async () => {
    const port = await closedPort();
    await using rig = await startRig(transport, { options: { refusedTimeoutMs: 60 } });
    routeTo(rig, [port]);
    using client = new RawClient(rig.port);
    client.write(get());
    assert.match(await client.has('GATEWAY_CONNECT_FAILED'), /^HTTP\/1\.1 502[^]*ECONNREFUSED/);
    routeTo(rig, [port], { wakes: false });
    client.write(get());
    await client.until(({ text }) => text.split('X-Knapsack-Error: GATEWAY_CONNECT_FAILED').length === 3);
  });

  test(`${transport}: a removed backend answers those who wait`, async () => {
    await using rig = await startRig(transport);
    routeTo(rig, []);
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => backend(rig).queuedCount === 1, 'the queue');
    rig.engine.apply({ backends: { [KEY]: null } }, {});
    assert.match(await client.has('GATEWAY_BACKEND_REMOVED'), /^HTTP\/1\.1 503/);
    client.write(get());
    await client.has('GATEWAY_NO_ENDPOINT');
  });

  test(`${transport}: drain waits for what runs and sends nothing new`, async () => {
    await using app = await rawApp(() => {});
    await using other = await rawApp(answering(() => ok('other')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => (app.received[0] ?? '') !== '', 'the request at the app');
    let drained = false;
    rig.engine.drain(`pod-${app.port}`, () => {
      drained = true;
    });
    using next = new RawClient(rig.port);
    next.write(get('/next'));
    await eventually(() => backend(rig).queuedCount === 1, 'the next one waits');
    assert.equal(drained, false);
    routeTo(rig, [app.port, other.port]);
    await next.has('other');
    app.sockets[0]?.write(ok('finished'));
    await client.has('finished');
    await eventually(() => drained, 'the end of the drain');
    await eventually(() => app.sockets[0]?.destroyed === true, 'the pooled connection is closed');
    let again = false;
    rig.engine.drain('unknown-pod', () => {
      again = true;
    });
    assert.equal(again, true);
  });

  test(`${transport}: requests that were refused together are all tried again`, async () => {
    const port = await closedPort();
    await using rig = await startRig(transport);
    routeTo(rig, []);
    using first = new RawClient(rig.port);
    using second = new RawClient(rig.port);
    first.write(get('/first'));
    second.write(get('/second'));
    await eventually(() => backend(rig).queuedCount === 2, 'both wait');
    // Both get the endpoint before either hears that it refuses.
    routeTo(rig, [port]);
    assert.equal(backend(rig).queuedCount, 0);
    await eventually(() => backend(rig).queuedCount === 2, 'both were refused');
    const server = createServer((request, response) => response.end(`served ${request.url}`));
    await listening(server, port);
    try {
      await Promise.all([first.has('served /first'), second.has('served /second')]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test(`${transport}: an endpoint that was only waited for serves again when it comes back`, async () => {
    await using app = await rawApp(answering(() => ok('served')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await client.has('served');
    // What a retirement does that a request calls off.
    routeTo(rig, []);
    await new Promise<void>((resolve) => rig.engine.untilIdle(`pod-${app.port}`, resolve));
    using late = new RawClient(rig.port);
    late.write(get('/late'));
    await eventually(() => backend(rig).queuedCount === 1, 'the late one waits');
    routeTo(rig, [app.port]);
    await late.has('served');
  });

  test(`${transport}: a revision keeps its share of the traffic`, async () => {
    let state = 1;
    const random = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    await using blue = await rawApp(answering(() => ok('blue')));
    await using green = await rawApp(answering(() => ok('green')));
    await using rig = await startRig(transport, { random });
    const splits = [
      { backend: 'd/blue', percent: 90 },
      { backend: 'd/green', percent: 10 },
    ];
    rig.engine.apply(
      {
        hosts: { [HOST]: hostRule('', { paths: [{ prefix: '/', splits }] }) },
        backends: {
          'd/blue': backendOf([blue.port], { key: 'd/blue' }),
          'd/green': backendOf([green.port], { key: 'd/green' }),
        },
      },
      {},
    );
    using client = new RawClient(rig.port);
    client.write(get().repeat(500));
    await client.until(({ text }) => statuses(text).length === 500);
    const greens = client.text.split('green').length - 1;
    assert.ok(greens > 30 && greens < 75, `${greens} of 500`);
  });

  test(`${transport}: not one request is lost while the only pod comes and goes under load`, async () => {
    await using rig = await startRig(transport);
    routeTo(rig, []);
    const stop = new AbortController();
    const results: string[] = [];
    const load = Array.from({ length: 8 }, async (_, n) => {
      using client = new RawClient(rig.port);
      for (let i = 1; !stop.signal.aborted; i++) {
        // Half of them must not be repeated once they were sent.
        const body = `${n}-${i}`;
        client.write(
          n % 2
            ? get(`/${body}`)
            : `POST /${body} HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        );
        client.text = '';
        await client.has(`/${body};`);
        results.push(client.text.slice(9, 12));
      }
    });
    let served = 0;
    for (let cycle = 0; cycle < 12; cycle++) {
      const before = served;
      const server = createServer((request, response) => {
        request.resume();
        request.on('end', () => {
          served++;
          response.end(`${request.url};`);
        });
      });
      const port = await listening(server);
      routeTo(rig, [port], { containerConcurrency: cycle % 3 });
      await eventually(() => served > before + 20, 'requests served by this pod');
      // The order of a scale-down: nothing new, wait, stop.
      await new Promise<void>((resolve) => rig.engine.drain(`pod-${port}`, resolve));
      if (cycle % 2) routeTo(rig, []);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await settle(5);
    }
    stop.abort();
    await using last = await rawApp(answering((head) => ok(`${/^\S+ (\S+)/.exec(head)?.[1]};`)));
    routeTo(rig, [last.port]);
    await Promise.all(load);
    assert.ok(results.length > 200);
    assert.deepEqual([...new Set(results)], ['200']);
    assert.equal(backend(rig).account.current, 0);
  });

  test(`${transport}: repeatable requests survive pods that stop without a word`, async () => {
    await using rig = await startRig(transport);
    routeTo(rig, []);
    const stop = new AbortController();
    const results: string[] = [];
    const load = Array.from({ length: 8 }, async (_, n) => {
      using client = new RawClient(rig.port);
      for (let i = 1; !stop.signal.aborted; i++) {
        client.text = '';
        client.write(get(`/${n}-${i}`));
        await client.has(`;`);
        results.push(client.text.slice(9, 12));
      }
    });
    let served = 0;
    for (let cycle = 0; cycle < 12; cycle++) {
      const before = served;
      const server = createServer((request, response) => {
        served++;
        response.end(`${request.url};`);
      });
      const port = await listening(server);
      routeTo(rig, [port]);
      await eventually(() => served > before + 20, 'requests served by this pod');
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await closed;
    }
    stop.abort();
    await using last = await rawApp(answering((head) => ok(`${/^\S+ (\S+)/.exec(head)?.[1]};`)));
    routeTo(rig, [last.port]);
    await Promise.all(load);
    assert.deepEqual([...new Set(results)], ['200']);
  });
}
