import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { configMaps, deployments, pods, type ConfigMap } from '../../../src/api/kubernetes/index.ts';
import { ApiError, hasReason, isConflict, isNotFound } from '../../../src/kube/api-error.ts';
import { httpClient, type HttpClient } from '../../../src/kube/client/http.ts';
import { readLines } from '../../../src/kube/client/http-body.ts';
import type { WatchEvent } from '../../../src/kube/client/client.ts';
import { startTestServer, type TestServer } from '../server/support.ts';

const configMap = (name: string, data: Record<string, string> = {}, namespace = 'default'): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data,
});

async function take<T>(events: AsyncIterable<T>, count: number): Promise<T[]> {
  const out: T[] = [];
  for await (const event of events) {
    out.push(event);
    if (out.length === count) break;
  }
  return out;
}

const named = (events: readonly WatchEvent<ConfigMap>[]): string[] =>
  events.map(({ type, object }) => `${type} ${object.metadata.name}`);

describe('HTTP client against the API server', () => {
  let server: TestServer;
  let client: HttpClient;
  before(async () => {
    server = await startTestServer();
    client = httpClient({ server: server.server.url, ca: server.pki.ca.cert, ...server.pki.admin });
  });
  after(async () => {
    client.close();
    await server.close();
  });

  it('creates, reads, replaces, patches and deletes', async () => {
    const created = await client.create(configMaps, configMap('life', { a: '1' }));
    assert.ok(created.metadata.uid && Object.isFrozen(created.metadata));
    const key = { namespace: 'default', name: 'life' };
    assert.deepEqual(await client.get(configMaps, key), created);
    const updated = await client.update(configMaps, { ...structuredClone(created), data: { a: '2' } });
    assert.equal(updated.data?.['a'], '2');
    await assert.rejects(client.update(configMaps, { ...structuredClone(created), data: {} }), isConflict);
    const patched = await client.patch(configMaps, key, { type: 'merge', body: { data: { b: '3' } } });
    assert.deepEqual(patched.data, { a: '2', b: '3' });
    const body = [{ op: 'remove', path: '/data/a' }];
    assert.deepEqual((await client.patch(configMaps, key, { type: 'json', body })).data, { b: '3' });
    await client.delete(configMaps, key, { propagationPolicy: 'Background' });
    await assert.rejects(client.get(configMaps, key), isNotFound);
    await assert.rejects(client.delete(configMaps, key), isNotFound);
  });

  it('writes subresources and dry runs', async () => {
    const deployment = await client.create(deployments, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { name: '', labels: { app: 'web' } },
          spec: { containers: [{ name: 'a', image: 'b' }] },
        },
      },
    });
    const status = { ...structuredClone(deployment), status: { replicas: 3 } };
    assert.equal((await client.update(deployments, status, { subresource: 'status' })).status?.replicas, 3);
    const key = { namespace: 'default', name: 'web' };
    const patch = { type: 'merge', body: { spec: { replicas: 4 } } } as const;
    await client.patch(deployments, key, patch, { subresource: 'scale' });
    assert.equal((await client.get(deployments, key)).spec?.replicas, 4);
    await client.patch(
      deployments,
      key,
      { type: 'strategic', body: { spec: { replicas: 9 } } },
      { dryRun: true },
    );
    assert.equal((await client.get(deployments, key)).spec?.replicas, 4);
  });

  it('lists with selectors, in pages', async () => {
    const namespace = 'kube-system';
    for (const name of ['a', 'b', 'c']) await client.create(configMaps, configMap(name, {}, namespace));
    const first = await client.list(configMaps, { namespace, limit: 2 });
    assert.deepEqual(
      first.items.map(({ metadata }) => metadata.name),
      ['a', 'b'],
    );
    assert.ok(first.continue);
    const second = await client.list(configMaps, { namespace, limit: 2, continue: first.continue });
    assert.deepEqual(
      [second.items.map(({ metadata }) => metadata.name), second.continue],
      [['c'], undefined],
    );
    const selected = await client.list(configMaps, { namespace, fieldSelector: 'metadata.name=b' });
    assert.deepEqual(
      selected.items.map(({ kind }) => kind),
      ['ConfigMap'],
    );
    assert.deepEqual((await client.list(pods)).items, []);
  });

  it('watches until told to stop', async () => {
    const { resourceVersion } = await client.list(configMaps);
    const abort = new AbortController();
    const events = client.watch(configMaps, { resourceVersion, allowBookmarks: true, signal: abort.signal });
    const seen: WatchEvent<ConfigMap>[] = [];
    const reading = (async () => {
      for await (const event of events) {
        seen.push(event);
        if (seen.length === 2) abort.abort();
      }
    })();
    await client.create(configMaps, configMap('watched'));
    await client.delete(configMaps, { namespace: 'default', name: 'watched' });
    await reading;
    assert.deepEqual(named(seen), ['ADDED watched', 'DELETED watched']);
    assert.ok(Object.isFrozen(seen[0]?.object));
  });

  it('gets the initial state with its end marked', async () => {
    await client.create(configMaps, configMap('initial'));
    const watch = client.watch(configMaps, {
      namespace: 'default',
      sendInitialEvents: true,
      allowBookmarks: true,
    });
    const events = await take(watch, 2);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['ADDED', 'BOOKMARK'],
    );
  });

  it('throws 410 when a watch cannot be resumed', async () => {
    server.api.store.table('configmaps').floor = 6;
    const watch = client.watch(configMaps, { resourceVersion: '1' });
    await assert.rejects(take(watch, 1), (error) => hasReason(error, 'Expired'));
  });

  it('refuses a server whose certificate is not of the CA', async () => {
    const other = await startTestServer();
    const wrong = httpClient({ server: other.server.url, ca: server.pki.ca.cert, ...other.pki.admin });
    await assert.rejects(wrong.list(configMaps), (error) => hasReason(error, 'ServiceUnavailable'));
    wrong.close();
    await other.close();
  });

  it('keeps being known on resumed TLS sessions', async () => {
    for (let i = 0; i < 5; i++) {
      const fresh = httpClient({ server: server.server.url, ca: server.pki.ca.cert, ...server.pki.admin });
      await Promise.all(Array.from({ length: 4 }, () => fresh.list(configMaps)));
      fresh.close();
    }
  });
});

describe('HTTP client against any server', () => {
  let server: Server;
  let url = '';
  let answer: (
    path: string,
    attempt: number,
  ) => { code: number; body: string; headers?: Record<string, string> };
  let attempts = 0;
  let lastHeaders: NodeJS.Dict<string | string[]> = {};
  before(async () => {
    server = createServer((request, response) => {
      lastHeaders = request.headers;
      const { code, body, headers } = answer(request.url ?? '', attempts++);
      response.writeHead(code, { 'content-type': 'application/json', ...headers });
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const key = { namespace: 'default', name: 'x' };

  it('fills in the type that kube-apiserver leaves out of list items', async () => {
    answer = () => ({
      code: 200,
      body: '{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"x"}}]}',
    });
    const client = httpClient({ server: url, token: () => 'secret' });
    const { items } = await client.list(configMaps);
    assert.deepEqual([items[0]?.apiVersion, items[0]?.kind], ['v1', 'ConfigMap']);
    assert.equal(lastHeaders['authorization'], 'Bearer secret');
    client.close();
  });

  it('repeats a call that the server puts off', async () => {
    attempts = 0;
    answer = (_path, attempt) =>
      attempt === 0
        ? {
            code: 429,
            body: '{"kind":"Status","reason":"TooManyRequests","code":429}',
            headers: { 'retry-after': '1' },
          }
        : { code: 200, body: '{"metadata":{"name":"x"}}' };
    const client = httpClient({ server: url });
    assert.equal((await client.get(configMaps, key)).metadata.name, 'x');
    client.close();
  });

  const failures: [string, number, string, string, RegExp][] = [
    ['a page', 404, '404 page not found\n', 'NotFound', /404 page not found/],
    ['nothing', 403, '', 'Forbidden', /the server answered 403/],
    [
      'an unknown reason',
      500,
      '{"kind":"Status","reason":"Odd","code":500,"message":"m"}',
      'InternalError',
      /^m$/,
    ],
    [
      'a status',
      409,
      '{"kind":"Status","reason":"AlreadyExists","code":409,"message":"there"}',
      'AlreadyExists',
      /^there$/,
    ],
    ['no JSON', 200, '<html>', 'ServiceUnavailable', /the answer is not JSON/],
    ['a number', 200, '7', 'InternalError', /the server's answer is not a ConfigMap/],
  ];
  for (const [what, code, body, reason, message] of failures) {
    it(`throws an ApiError for ${what}`, async () => {
      answer = () => ({ code, body });
      const client = httpClient({ server: url });
      await assert.rejects(client.get(configMaps, key), (error: unknown) => {
        assert.ok(error instanceof ApiError, String(error));
        assert.equal(error.reason, reason);
        assert.match(error.message, message);
        return true;
      });
      client.close();
    });
  }

  it('names the server that cannot be reached', async () => {
    const client = httpClient({ server: 'http://127.0.0.1:1' });
    await assert.rejects(client.list(configMaps), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      return /The API server http:\/\/127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED/.test(error.message);
    });
    client.close();
  });
});

describe('lines of a stream', () => {
  async function collect(chunks: readonly Buffer[], limit?: number): Promise<string[]> {
    const out: string[] = [];
    for await (const line of readLines(stream(chunks), limit)) out.push(line);
    return out;
  }
  async function* stream(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
    yield* chunks;
  }

  it('are the same however the bytes are cut', async () => {
    const text = fc.array(
      fc
        .string({ unit: 'grapheme', minLength: 1 })
        .filter((line) => line.trim() !== '' && !line.includes('\n')),
    );
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat(20), { maxLength: 40 }), async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(bytes.subarray(at));
        assert.deepEqual(await collect(chunks), lines);
      }),
    );
  });

  it('may not grow without end, and a cut one is dropped', async () => {
    assert.deepEqual(await collect([Buffer.from('a\n\nb')]), ['a']);
    const long = Array.from({ length: 20 }, () => Buffer.alloc(10, 0x61));
    await assert.rejects(collect(long, 100), /larger than 100 bytes/);
    await assert.rejects(collect([Buffer.from(`${'a'.repeat(101)}\n`)], 100), /larger than 100 bytes/);
  });
});
