/** Watches as clients of Kubernetes count on them, over HTTPS: readers that stop, keep-alive, gzip, client-node's informer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';
import { waitFor } from '../../support/wait.ts';
import { configMap, configMaps, startTestServer, type TestServer } from './support.ts';

/** Passes connections on to the API, and cuts them all when told to, as a network does. */
async function startRelay(target: number): Promise<{ port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const relay = createServer((client) => {
    const upstream = connectTcp(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream).pipe(client);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (relay.address() as AddressInfo).port,
    cut,
    close: () => {
      cut();
      relay.close();
    },
  };
}

describe('watches over HTTPS', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const create = async (name: string, data = {}): Promise<void> => {
    const reply = await server.call('POST', configMaps, { body: configMap(name, data) });
    assert.equal(reply.status, 201, reply.body.toString());
  };

  /** Opens a watch by hand, so that the test decides what is read. */
  async function rawWatch(query: string): Promise<TLSSocket> {
    const { host, port, ca, cert, key } = server.tls() as Required<RequestOptions> & { port: number };
    const socket = connect({ host: host ?? '', port, ca, cert, key });
    await once(socket, 'secureConnect');
    socket.write(`GET ${configMaps}?watch=1&${query} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return socket;
  }

  it('a reader that stops is cut off, and costs the others nothing', async () => {
    const { resourceVersion } = server.api.service;
    const stalled = await Promise.all(
      Array.from({ length: 10 }, () => rawWatch(`resourceVersion=${resourceVersion}`)),
    );
    for (const socket of stalled) {
      await once(socket, 'data');
      socket.pause();
    }
    const reader = await rawWatch(`resourceVersion=${resourceVersion}`);
    let seen = 0;
    reader.on('data', (chunk: Buffer) => {
      for (let at = chunk.indexOf('"type":"ADDED"'); at >= 0; at = chunk.indexOf('"type":"ADDED"', at + 1))
        seen++;
    });
    const payload = 'x'.repeat(100_000);
    const before = process.memoryUsage();
    const total = 480;
    for (let i = 0; i < total; i += 30) {
      await Promise.all(Array.from({ length: 30 }, (_, j) => create(`big-${i + j}`, { payload })));
    }
    await waitFor('the reader to see all', () => seen >= total - 5);
    const grown = process.memoryUsage().rss - before.rss;
    // 48 MB of objects stay in the store; ten stalled readers must not hold them ten times over.
    assert.ok(grown < 500e6, `memory grew by ${Math.round(grown / 1e6)} MB`);
    await server.call('DELETE', configMaps);
    for (const socket of stalled) {
      // What it meets when it reads on: what was in the pipe, then the end, long before all 480.
      let bytes = 0;
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        text = (text + chunk.toString('latin1')).slice(-2000);
      });
      socket.on('error', () => undefined);
      socket.resume();
      await waitFor('the end of a stalled watch', () => text.includes('"code":410') || socket.destroyed);
      assert.ok(bytes < total * 100_000, `${bytes} bytes`);
      socket.destroy();
    }
    reader.destroy();
  });

  it('one connection carries a watch that ends, then the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const get = async (path: string): Promise<{ body: string; reused: boolean }> => {
      const call = request({ ...server.tls(), agent, path });
      call.end();
      const [response] = (await once(call, 'response')) as [IncomingMessage];
      let body = '';
      for await (const chunk of response as AsyncIterable<Buffer>) body += chunk.toString();
      return { body, reused: call.reusedSocket };
    };
    await get('/version');
    const watched = await get(`${configMaps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true`);
    assert.match(watched.body, /"type":"BOOKMARK"/, 'a last bookmark before the end');
    const next = await get('/version');
    assert.deepEqual([watched.reused, next.reused], [true, true]);
    agent.destroy();
  });

  it('answers of 128 KiB and more are compressed for those who take it', async () => {
    for (let i = 0; i < 3; i++) await create(`zip-${i}`, { payload: 'y'.repeat(60_000) });
    const list = (accept: string, query = '') =>
      server.call('GET', `${configMaps}?${query}`, { headers: { 'accept-encoding': accept } });
    const packed = await list('gzip, deflate');
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(packed.headers['vary'], 'Accept-Encoding');
    const plain = await list('identity');
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.deepEqual(gunzipSync(packed.body), plain.body);
    assert.ok(packed.body.length < plain.body.length / 20);
    for (const reply of [await list('gzip;q=0'), await list('gzip', 'limit=1'), await list('br')]) {
      assert.equal(reply.headers['content-encoding'], undefined);
    }
    await server.call('DELETE', configMaps);
  });

  it('an expired continue token comes with one that goes on', async () => {
    for (const name of ['p1', 'p2', 'p3']) await create(name);
    const forgotten = Buffer.from(
      JSON.stringify({ id: '00000000-0000-4000-8000-000000000000', offset: 1, key: 'default/p1' }),
    ).toString('base64url');
    const reply = await server.call('GET', `${configMaps}?limit=1&continue=${forgotten}`);
    const status = reply.json<{ code: number; reason: string; metadata: { continue: string } }>();
    assert.deepEqual([reply.status, status.code, status.reason], [410, 410, 'Expired']);
    const rest = await server.call('GET', `${configMaps}?continue=${status.metadata.continue}`);
    const { items } = rest.json<{ items: { metadata: { name: string } }[] }>();
    assert.deepEqual(
      items.map(({ metadata }) => metadata.name),
      ['p2', 'p3'],
    );
    await server.call('DELETE', configMaps);
  });

  it("client-node's informer lists, follows, and goes on after its connection was cut", async (t) => {
    const config = new KubeConfig();
    config.loadFromFile(server.kubeconfig);
    const relay = await startRelay(server.server.port);
    const [cluster] = config.clusters;
    assert.ok(cluster);
    config.clusters = [{ ...cluster, server: `https://127.0.0.1:${relay.port}` }];
    const api = config.makeApiClient(CoreV1Api);
    await create('before');
    const informer = makeInformer(config, '/api/v1/namespaces/default/configmaps', () =>
      api.listNamespacedConfigMap({ namespace: 'default' }),
    );
    let stopped = false;
    t.after(async () => {
      stopped = true;
      await informer.stop();
      relay.close();
    });
    const log: string[] = [];
    const note = (verb: string) => (object: V1ConfigMap) => {
      if (object.metadata?.name !== 'kube-root-ca.crt') log.push(`${verb} ${object.metadata?.name}`);
    };
    informer.on('add', note('add'));
    informer.on('update', note('update'));
    informer.on('delete', note('delete'));
    const failures: unknown[] = [];
    informer.on('error', (error: unknown) => {
      failures.push(error);
      if (!stopped) void informer.start();
    });
    await informer.start();
    await create('later');
    await server.call('PATCH', `${configMaps}/later`, {
      body: { data: { a: '1' } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    await server.call('DELETE', `${configMaps}/before`);
    await waitFor('the first events', () => log.length === 4);
    assert.deepEqual(log, ['add before', 'add later', 'update later', 'delete before']);

    relay.cut();
    await create('meanwhile');
    await server.call('DELETE', `${configMaps}/later`);
    await waitFor(
      'what happened meanwhile',
      () => log.includes('add meanwhile') && log.includes('delete later'),
    );
    assert.deepEqual(log.slice(4).sort(), ['add meanwhile', 'delete later'], String(failures));
    assert.deepEqual(
      informer.list().map(({ metadata }) => metadata?.name),
      ['meanwhile'],
    );
  });
});
