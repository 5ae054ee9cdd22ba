/** Deliveries to real HTTP servers that answer late, wrongly, or not at all. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { KnapsackError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { BusMessage, Delivery } from '../../../src/eventing/buses/bus.ts';
import { Dispatcher, type DeliveryPlan } from '../../../src/eventing/dispatcher/dispatcher.ts';
import { Limiter } from '../../../src/eventing/dispatcher/limiter.ts';
import { Sender, type ResolveTransport } from '../../../src/eventing/dispatcher/sender.ts';
import { waitFor } from '../../support/wait.ts';
import { event, startSubscriber } from '../support.ts';

function makeDispatcher(resolve: ResolveTransport = () => undefined): Dispatcher & Disposable {
  const sender = new Sender(resolve);
  const dispatcher = new Dispatcher({ sender, clock: systemClock, log: silentLogger });
  return Object.assign(dispatcher, { [Symbol.dispose]: () => sender.close() });
}

function plan(url: string, changes: Partial<DeliveryPlan> = {}): () => DeliveryPlan {
  const fixed = {
    name: 'trigger default/t',
    namespace: 'default',
    subscriber: { url },
    policy: { retry: 0 },
    ...changes,
  };
  return () => fixed;
}

function delivery(changes: Partial<Delivery> = {}): Delivery {
  return {
    event: event({ knativebrokerttl: '9', datacontenttype: 'text/plain' }, 'hello'),
    headers: { 'x-request-id': 'r1' },
    appendedAt: 0,
    signal: new AbortController().signal,
    ...changes,
  };
}

const limiter = new Limiter(() => 10);
const noTtl = (headers: Record<string, unknown>): unknown => headers['ce-knativebrokerttl'];

test('attempts follow each other until one works', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber((_request, response, count) => {
    response.writeHead(count < 3 ? 503 : 200).end();
  });
  const policy = { retry: 5, backoffPolicy: 'exponential', backoffDelay: 30 } as const;
  await dispatcher.deliver(delivery(), plan(subscriber.url, { policy }), limiter);
  const times = subscriber.received.map((request) => request.at);
  assert.equal(times.length, 3);
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 25);
  assert.ok((times[2] ?? 0) - (times[1] ?? 0) >= 55);
  const [first] = subscriber.received;
  assert.equal(first?.body, 'hello');
  assert.equal(first?.headers['x-request-id'], 'r1');
  assert.equal(noTtl(first?.headers ?? {}), undefined);
});

test('an answer that says no for good is not asked again', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber((_request, response) => {
    response.writeHead(422).end('go away');
  });
  await using letters = await startSubscriber();
  const changes = { policy: { retry: 5 }, deadLetterSink: { url: letters.url } };
  await dispatcher.deliver(delivery(), plan(subscriber.url, changes), limiter);
  assert.equal(subscriber.received.length, 1);
  const [letter] = letters.received;
  assert.equal(letter?.headers['ce-knativeerrorcode'], '422');
  assert.equal(letter?.headers['ce-knativeerrordest'], subscriber.url);
  assert.equal(Buffer.from(String(letter?.headers['ce-knativeerrordata']), 'base64').toString(), 'go away');
  // A dead letter sink that is a broker must be able to end loops.
  assert.equal(noTtl(letter?.headers ?? {}), '9');
});

test('the data of an error are cut at 1024 characters of base64', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber((_request, response) => {
    response.writeHead(400).end('x'.repeat(5000));
  });
  await using letters = await startSubscriber();
  await dispatcher.deliver(
    delivery(),
    plan(subscriber.url, { deadLetterSink: { url: letters.url } }),
    limiter,
  );
  assert.equal(String(letters.received[0]?.headers['ce-knativeerrordata']).length, 1024);
});

test('nobody at the address counts as 500, and is retried', async () => {
  using dispatcher = makeDispatcher();
  const closed = await startSubscriber();
  const { url } = closed;
  await closed[Symbol.asyncDispose]();
  await using letters = await startSubscriber((_request, response, count) => {
    response.writeHead(count === 1 ? 500 : 202).end();
  });
  const changes = { policy: { retry: 1 }, deadLetterSink: { url: letters.url } };
  await dispatcher.deliver(delivery(), plan(url, changes), limiter);
  assert.equal(letters.received.length, 2, 'the dead letter sink is retried, too');
  const letter = letters.received[1];
  assert.equal(letter?.headers['ce-knativeerrorcode'], '500');
  assert.match(
    Buffer.from(String(letter?.headers['ce-knativeerrordata']), 'base64').toString(),
    /^dispatch error: .*ECONNREFUSED/,
  );
});

test('a subscriber that does not answer in time is asked again', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber((_request, response, count) => {
    if (count > 1) response.end();
  });
  await dispatcher.deliver(
    delivery(),
    plan(subscriber.url, { policy: { retry: 1, timeoutMs: 100 } }),
    limiter,
  );
  assert.equal(subscriber.received.length, 2);
});

test('a connection that breaks in the middle of an answer is a failure', async () => {
  using dispatcher = makeDispatcher();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await dispatcher.deliver(delivery(), plan(`http://127.0.0.1:${port}`, { policy: { retry: 1 } }), limiter);
  assert.equal(connections, 2);
  await new Promise((resolve) => server.close(resolve));
});

test('a connection that died while idle is replaced without counting as an attempt', async () => {
  using dispatcher = makeDispatcher();
  let requests = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let served = 0;
    socket.on('data', () => {
      requests++;
      // Looks alive, and resets the connection at the second request: what a peer with a short keep-alive does.
      if (served++ > 0) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await using letters = await startSubscriber();
  const to = plan(`http://127.0.0.1:${port}`, { deadLetterSink: { url: letters.url } });
  await dispatcher.deliver(delivery(), to, limiter);
  await dispatcher.deliver(delivery(), to, limiter);
  assert.equal(letters.received.length, 0);
  assert.equal(requests, 3);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

for (const [what, headers, body] of [
  ['text', { 'content-type': 'text/plain' }, 'Hello World'],
  ['a broken event', { 'ce-specversion': '1.0', 'ce-id': '1' }, ''],
  ['a batch', { 'content-type': 'application/cloudevents-batch+json' }, '[]'],
] as const) {
  test(`an answer with ${what} is a failure of the subscriber, 502`, async () => {
    using dispatcher = makeDispatcher();
    await using subscriber = await startSubscriber((_request, response) => {
      response.writeHead(200, headers).end(body);
    });
    await using letters = await startSubscriber();
    const changes = { policy: { retry: 1 }, deadLetterSink: { url: letters.url } };
    await dispatcher.deliver(delivery(), plan(subscriber.url, changes), limiter);
    assert.equal(subscriber.received.length, 2);
    assert.equal(letters.received[0]?.headers['ce-knativeerrorcode'], '502');
  });
}

test('an answer that is an event is appended, with the TTL of the question', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber((_request, response) => {
    const body = { specversion: '1.0', id: 'r', source: '/answer', type: 'answer', data: { n: 1 } };
    response.writeHead(200, { 'content-type': 'application/cloudevents+json', traceparent: '00-x' });
    response.end(JSON.stringify(body));
  });
  const replies: BusMessage[] = [];
  let refusals = 1;
  const reply = {
    url: 'http://broker/default/main',
    append: async (message: BusMessage) => {
      if (refusals-- > 0) throw new KnapsackError('EVENTING_LOG_FULL', 'full');
      replies.push(message);
    },
  };
  await dispatcher.deliver(delivery(), plan(subscriber.url, { reply, policy: { retry: 1 } }), limiter);
  assert.equal(subscriber.received.length, 1, 'only the append is tried again, not the subscriber');
  assert.equal(replies.length, 1);
  assert.equal(replies[0]?.event.attributes.id, 'r');
  assert.equal(replies[0]?.event.attributes['knativebrokerttl'], '9');
  assert.equal(replies[0]?.event.data.toString(), '{"n":1}');
  assert.deepEqual(replies[0]?.headers, { 'x-request-id': 'r1', traceparent: '00-x' });
});

test('cluster-local names are connected to where the gateway is, with the Host of the URL', async () => {
  await using gateway = await startSubscriber();
  using dispatcher = makeDispatcher((url) =>
    url.hostname.endsWith('.svc.cluster.local') ? { host: '127.0.0.1', port: gateway.port } : undefined,
  );
  await dispatcher.deliver(delivery(), plan('http://hello.default.svc.cluster.local/a?b=c'), limiter);
  assert.equal(gateway.received[0]?.headers.host, 'hello.default.svc.cluster.local');
  assert.equal(gateway.received[0]?.path, '/a?b=c');
});

test('structured mode when asked for', async () => {
  using dispatcher = makeDispatcher();
  await using subscriber = await startSubscriber();
  await dispatcher.deliver(
    delivery(),
    plan(subscriber.url, { policy: { retry: 0, format: 'json' } }),
    limiter,
  );
  assert.match(String(subscriber.received[0]?.headers['content-type']), /^application\/cloudevents\+json/);
  assert.equal((JSON.parse(subscriber.received[0]?.body ?? '') as { data: string }).data, 'hello');
});

test('an abort ends the wait between attempts, and the request under way', async () => {
  using dispatcher = makeDispatcher();
  await using refusing = await startSubscriber((_request, response) => {
    response.writeHead(503).end();
  });
  await using silent = await startSubscriber(() => undefined);
  for (const [subscriber, policy] of [
    [refusing, { retry: 9, backoffPolicy: 'linear', backoffDelay: 60_000 }],
    [silent, { retry: 9 }],
  ] as const) {
    const abort = new AbortController();
    const done = dispatcher.deliver(
      delivery({ signal: abort.signal }),
      plan(subscriber.url, { policy }),
      limiter,
    );
    await waitFor('an attempt', () => subscriber.received.length > 0);
    abort.abort(new Error('closing'));
    await assert.rejects(done, /closing/);
  }
});

test('requests under way are bounded; waits between attempts are not counted', async () => {
  using dispatcher = makeDispatcher();
  let active = 0;
  let most = 0;
  await using subscriber = await startSubscriber((request, response) => {
    most = Math.max(most, ++active);
    setTimeout(() => {
      active--;
      response.writeHead(request.headers['ce-fail'] ? 503 : 200).end();
    }, 15);
  });
  const two = new Limiter(() => 2);
  const to = plan(subscriber.url, {
    policy: { retry: 50, backoffPolicy: 'exponential', backoffDelay: 60_000 },
  });
  const abort = new AbortController();
  // Both slots' worth of failing events, which wait a minute for their next attempt.
  const failing = [1, 2].map(() =>
    dispatcher
      .deliver(delivery({ event: event({ fail: 'yes' }), signal: abort.signal }), to, two)
      .catch(() => undefined),
  );
  await Promise.all(Array.from({ length: 8 }, () => dispatcher.deliver(delivery(), to, two)));
  assert.equal(subscriber.received.length, 10);
  assert.ok(most <= 2);
  abort.abort();
  await Promise.all(failing);
});
