import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as plainRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'node:https';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket, type ClientOptions } from 'ws';
import { ManualClock } from '../../../src/base/clock.ts';
import { configMaps as configMapResource } from '../../../src/api/kubernetes/index.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { readLines } from '../../../src/kube/client/http-body.ts';
import type { Exchange } from '../../../src/kube/server/exchange.ts';
import type { LogOptions, LogSource } from '../../../src/kube/server/logs.ts';
import type { ServedEvent } from '../../../src/kube/server/service/requests.ts';
import { streamWatch } from '../../../src/kube/server/streams.ts';
import { WriteTurns } from '../../../src/kube/server/write-turns.ts';
import { startTestServer, type TestServer } from './support.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';

interface Event {
  type: string;
  object: {
    kind: string;
    code?: number;
    reason?: string;
    metadata: { name?: string; resourceVersion: string; annotations?: Record<string, string> };
    rows?: { cells: unknown[] }[];
    columnDefinitions?: unknown[];
  };
}

/** A running watch. */
class Watch {
  readonly response: IncomingMessage;
  readonly #lines: AsyncGenerator<string>;

  constructor(response: IncomingMessage) {
    this.response = response;
    this.#lines = readLines(response);
  }

  static async open(server: TestServer, path: string, headers: Record<string, string> = {}): Promise<Watch> {
    const outgoing = request({ ...server.tls(), path, headers, timeout: 20_000 });
    outgoing.on('timeout', () => outgoing.destroy(new Error('the watch is silent')));
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return new Watch(response);
  }

  async next(): Promise<Event | undefined> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : (JSON.parse(value) as Event);
  }

  async types(count: number): Promise<string[]> {
    const out: string[] = [];
    for (let i = 0; i < count; i++) {
      const event = await this.next();
      out.push(event ? `${event.type} ${event.object.metadata.name ?? ''}`.trim() : 'end');
    }
    return out;
  }

  stop(): void {
    this.response.destroy();
  }
}

describe('watches', () => {
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ clock });
  });
  after(() => server.close());

  const create = async (name: string, labels: Record<string, string> = {}): Promise<string> => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels } };
    const reply = await server.call('POST', configMaps, { body });
    assert.equal(reply.status, 201, reply.body.toString());
    return reply.json<{ metadata: { resourceVersion: string } }>().metadata.resourceVersion;
  };
  const patch = (name: string, body: object): Promise<unknown> =>
    server.call('PATCH', `${configMaps}/${name}`, {
      body,
      headers: { 'content-type': 'application/merge-patch+json' },
    });

  it('begin at once, tell what exists, then every change', async () => {
    await create('first');
    const watch = await Watch.open(server, `${configMaps}?watch=1`);
    assert.equal(watch.response.statusCode, 200);
    assert.deepEqual(await watch.types(1), ['ADDED first']);
    await create('second');
    await patch('second', { data: { a: '1' } });
    await server.call('DELETE', `${configMaps}/second`);
    assert.deepEqual(await watch.types(3), ['ADDED second', 'MODIFIED second', 'DELETED second']);
    watch.stop();
  });

  it('resume after a version without losing or repeating', async () => {
    const version = await create('resumed');
    await patch('resumed', { data: { a: '1' } });
    const watch = await Watch.open(server, `${configMaps}?watch=true&resourceVersion=${version}`);
    assert.deepEqual(await watch.types(1), ['MODIFIED resumed']);
    watch.stop();
  });

  it('show objects entering and leaving a selection', async () => {
    const watch = await Watch.open(server, `${configMaps}?watch=1&labelSelector=tier%3Dgold`);
    await create('metal', { tier: 'gold' });
    await patch('metal', { metadata: { labels: { tier: 'tin' } } });
    await patch('metal', { metadata: { labels: { tier: 'gold' } } });
    assert.deepEqual(await watch.types(3), ['ADDED metal', 'DELETED metal', 'ADDED metal']);
    watch.stop();
  });

  it('watch one object by its path', async () => {
    await create('alone');
    const watch = await Watch.open(server, `${configMaps}/alone?watch=1`);
    assert.deepEqual(await watch.types(1), ['ADDED alone']);
    watch.stop();
  });

  it('mark the end of the initial objects for informers that ask for it', async () => {
    const path =
      '/api/v1/secrets?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const watch = await Watch.open(server, path);
    const event = await watch.next();
    assert.equal(event?.type, 'BOOKMARK');
    assert.equal(event.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true');
    watch.stop();
  });

  it('send bookmarks each minute and at their end', async () => {
    const watch = await Watch.open(
      server,
      '/api/v1/secrets?watch=1&allowWatchBookmarks=true&timeoutSeconds=90&resourceVersion=0',
    );
    clock.advance(60_000);
    assert.equal((await watch.next())?.type, 'BOOKMARK');
    clock.advance(30_000);
    assert.equal((await watch.next())?.type, 'BOOKMARK');
    assert.equal(await watch.next(), undefined);
  });

  it('end without a bookmark when none is wanted', async () => {
    const watch = await Watch.open(server, '/api/v1/secrets?watch=1&timeoutSeconds=1');
    clock.advance(1000);
    assert.equal(await watch.next(), undefined);
  });

  it('answer a version that is gone with an ERROR event', async () => {
    server.api.store.table('configmaps').floor = 5;
    const watch = await Watch.open(server, `${configMaps}?watch=1&resourceVersion=2`);
    const event = await watch.next();
    assert.deepEqual(
      [event?.type, event?.object.kind, event?.object.code, event?.object.reason],
      ['ERROR', 'Status', 410, 'Expired'],
    );
    assert.equal(await watch.next(), undefined);
  });

  it('send Tables with columns and one row an event', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const watch = await Watch.open(server, `${configMaps}?watch=1&fieldSelector=metadata.name%3Dfirst`, {
      accept,
    });
    const event = await watch.next();
    assert.equal(event?.object.kind, 'Table');
    assert.deepEqual(
      event.object.rows?.map(({ cells }) => cells[0]),
      ['first'],
    );
    assert.ok((event.object.columnDefinitions?.length ?? 0) > 1);
    watch.stop();
  });

  it('send metadata alone when asked', async () => {
    const accept = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
    const watch = await Watch.open(server, `${configMaps}?watch=1`, { accept });
    assert.equal((await watch.next())?.object.kind, 'PartialObjectMetadata');
    watch.stop();
  });

  it('work on the generated definitions', async () => {
    const path =
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=1&fieldSelector=metadata.name%3Dservices.serving.knative.dev';
    const watch = await Watch.open(server, path);
    assert.deepEqual(await watch.types(1), ['ADDED services.serving.knative.dev']);
    watch.stop();
  });

  it('refuse a malformed selector with a Status', async () => {
    const reply = await server.call('GET', `${configMaps}?watch=1&labelSelector=a%20b`);
    assert.equal(reply.status, 400);
  });

  it('end quietly when their readers go away with events under way', async () => {
    const filler = { filler: 'x'.repeat(2000) };
    for (let i = 0; i < 300; i++) {
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `many-${i}` }, data: filler };
      await server.api.service.create(configMapResource, 'default', body, { user: 'test' });
    }
    for (let i = 0; i < 20; i++) {
      const watch = await Watch.open(server, `${configMaps}?watch=1`);
      if (i % 2 === 0) await watch.next();
      watch.stop();
      await server.call('DELETE', `${configMaps}/many-${i}`);
    }
    assert.equal((await server.call('GET', '/readyz')).status, 200);
  });

  it('end in order when the server closes', async () => {
    const other = await startTestServer();
    const watch = await Watch.open(other, '/api/v1/secrets?watch=1');
    const closed = other.close();
    assert.equal(await watch.next(), undefined);
    assert.equal(watch.response.complete, true);
    await closed;
  });
});

describe('a reader that does not keep up', () => {
  const offered = 2000;
  let taken = 0;
  async function* events(): AsyncGenerator<ServedEvent> {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } };
    const filler = 'x'.repeat(64 * 1024);
    const line = Buffer.from(`${JSON.stringify({ type: 'ADDED', object, filler })}\n`);
    for (; taken < offered; taken++) yield { type: 'ADDED', object, line };
  }

  /** A watch over all events whose answer nobody reads yet, once the source has come to rest. */
  async function openUnread(): Promise<IncomingMessage> {
    taken = 0;
    const outgoing = plainRequest({ host: '127.0.0.1', port, agent: false });
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const progress = async (): Promise<number> => {
      const before = taken;
      const until = performance.now() + 100;
      while (performance.now() < until) await new Promise(setImmediate);
      return taken === 0 ? 1 : taken - before;
    };
    while ((await progress()) > 0);
    assert.ok(taken < offered / 2, `${taken} events were taken from the source`);
    return response;
  }

  let port = 0;
  const server = createServer((request, response) => {
    const exchange = { request, response } as unknown as Exchange;
    void streamWatch(
      exchange,
      () => Promise.resolve(events()),
      (event) => event.line,
      new WriteTurns(),
    );
  });
  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
  });
  after(() => {
    server.close();
  });

  it('stops the source instead of filling memory, and gets everything once it reads on', async () => {
    const response = await openUnread();
    let read = 0;
    for await (const _line of readLines(response)) read++;
    assert.equal(read, offered);
  });

  it('is cut off after half a minute', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const response = await openUnread();
    t.mock.timers.tick(30_000);
    let read = 0;
    await assert.rejects(
      async () => {
        for await (const _line of readLines(response)) read++;
      },
      { code: 'ECONNRESET' },
    );
    assert.ok(read < offered, `${read} events were read`);
  });
});

describe('logs', () => {
  const pods = '/api/v1/namespaces/default/pods';
  let server: TestServer;
  let asked: [string, string, LogOptions] | undefined;
  const logs: LogSource = {
    open(namespace, pod, options) {
      asked = [namespace, pod, options];
      return lines(pod, options);
    },
  };

  async function* lines(pod: string, options: LogOptions): AsyncGenerator<Buffer> {
    if (pod === 'waiting') {
      throw new ApiError(
        'BadRequest',
        `container "${options.container}" in pod "${pod}" is waiting to start: ContainerCreating`,
      );
    }
    yield Buffer.from('one\n');
    if (!options.follow) return;
    yield Buffer.from('two\n');
    await once(options.signal, 'abort');
    ended.resolve();
  }
  let ended = Promise.withResolvers<void>();

  before(async () => {
    server = await startTestServer({ logs });
    const pod = (name: string, containers: string[]): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: containers.map((container) => ({ name: container, image: 'x' })) },
    });
    for (const body of [pod('one', ['app']), pod('two', ['app', 'side']), pod('waiting', ['app'])]) {
      assert.equal((await server.call('POST', pods, { body })).status, 201);
    }
  });
  after(() => server.close());

  it('stream as text, of the only container', async () => {
    const reply = await server.call('GET', `${pods}/one/log?tailLines=10&timestamps=true&sinceSeconds=60`);
    assert.deepEqual(
      [reply.status, reply.headers['content-type'], reply.body.toString()],
      [200, 'text/plain', 'one\n'],
    );
    const [namespace, pod, options] = asked ?? [];
    assert.deepEqual(
      [
        namespace,
        pod,
        options?.container,
        options?.tailLines,
        options?.timestamps,
        options?.sinceSeconds,
        options?.follow,
      ],
      ['default', 'one', 'app', 10, true, 60, false],
    );
  });

  it('follow until the reader goes away', async () => {
    ended = Promise.withResolvers();
    const outgoing = request({ ...server.tls(), path: `${pods}/two/log?container=side&follow=true` });
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const read = readLines(response);
    assert.deepEqual([(await read.next()).value, (await read.next()).value], ['one', 'two']);
    response.destroy();
    await Promise.race([
      ended.promise,
      delay(20_000, undefined, { ref: false }).then(() => assert.fail('the source was not told')),
    ]);
  });

  const messages = async (path: string, protocols: string[]): Promise<[Buffer[], number]> => {
    const url = `${server.server.url.replace(/^http/, 'ws')}${pods}/${path}`;
    const { ca, cert, key } = server.tls() as ClientOptions;
    const socket = new WebSocket(url, protocols, { ca, cert, key });
    const read: Buffer[] = [];
    socket.on('message', (message: Buffer) => read.push(message));
    const [code] = (await once(socket, 'close')) as [number];
    assert.equal(socket.protocol, protocols[0] ?? '');
    return [read, code];
  };

  it('stream as messages to those who read over WebSocket', async () => {
    assert.deepEqual(await messages('one/log', ['binary.k8s.io']), [[Buffer.from('one\n')], 1000]);
    assert.deepEqual(await messages('one/log', []), [[Buffer.from('one\n')], 1000]);
    const text = Buffer.from(Buffer.from('one\n').toString('base64'));
    assert.deepEqual(await messages('one/log', ['base64.binary.k8s.io']), [[text], 1000]);
  });

  it('refuse a reader over WebSocket in words of HTTP', async () => {
    await assert.rejects(messages('waiting/log', ['binary.k8s.io']), /400/);
    await assert.rejects(messages('one/log', ['something.else']), /403/);
  });

  it('ignore the wish for another protocol', async () => {
    const reply = await server.call('GET', `${pods}/one/log`, {
      headers: { connection: 'Upgrade', upgrade: 'h2c' },
    });
    assert.deepEqual([reply.status, reply.body.toString()], [200, 'one\n']);
  });

  const rows: [string, number, RegExp][] = [
    ['two/log', 400, /^a container name must be specified for pod two, choose one of: \[app side\]$/],
    ['one/log?container=none', 400, /^container none is not valid for pod one$/],
    ['none/log', 404, /^pods "none" not found$/],
    ['waiting/log', 400, /^container "app" in pod "waiting" is waiting to start: ContainerCreating$/],
    ['one/log?tailLines=-1', 422, /PodLogOptions "" is invalid: tailLines: Invalid value: -1/],
    ['one/log?sinceSeconds=0', 422, /sinceSeconds: Invalid value: 0: must be greater than 0/],
    ['one/log?sinceTime=yesterday', 400, /not an RFC 3339 time/],
    ['one/log?sinceTime=2026-01-01T00:00:00Z&sinceSeconds=1', 422, /at most one of/],
  ];
  for (const [path, code, message] of rows) {
    it(`refuse ${path}`, async () => {
      const reply = await server.call('GET', `${pods}/${path}`);
      assert.equal(reply.status, code, reply.body.toString());
      assert.match(reply.json<{ message: string }>().message, message);
    });
  }

  it('are not available without a node agent', async () => {
    const other = await startTestServer();
    try {
      const body = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p' },
        spec: { containers: [{ name: 'a', image: 'x' }] },
      };
      await other.call('POST', pods, { body });
      assert.equal((await other.call('GET', `${pods}/p/log`)).status, 503);
    } finally {
      await other.close();
    }
  });
});
