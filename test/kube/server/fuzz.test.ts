/**
 * Whatever bytes arrive, every request is answered or its connection closed, never with 500, and the next good request works.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import * as fc from 'fast-check';
import { configMap, configMaps, startTestServer, type TestServer } from './support.ts';

/** Longest silence that is waited for: a connection that is neither answered nor closed by then hangs. */
const answerMs = 8000;

describe('any bytes', () => {
  let server: TestServer;
  let before0: number;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', configMaps, { body: configMap('present', { a: '1' }) });
    before0 = process.memoryUsage.rss();
  });
  after(() => server.close());

  /** Sends bytes as they are and ends; gives what came back until the server closed. */
  async function exchange(bytes: Buffer): Promise<string> {
    const socket: TLSSocket = connect(server.tls() as ConnectionOptions);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    // A reset is an end as good as any.
    socket.on('error', () => undefined);
    try {
      await new Promise<void>((resolve, reject) => {
        const shown = JSON.stringify(bytes.toString('latin1').slice(0, 300));
        const timer = setTimeout(() => reject(new Error(`neither answered nor closed: ${shown}`)), answerMs);
        socket.on('close', () => {
          clearTimeout(timer);
          resolve();
        });
        socket.on('secureConnect', () => socket.end(bytes));
      });
      return Buffer.concat(chunks).toString('latin1');
    } finally {
      socket.destroy();
    }
  }

  function check(answer: string, sent: string): void {
    for (const [, status = ''] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
      assert.notEqual(status, '500', `${sent.slice(0, 500)}\n${answer.slice(0, 800)}`);
    }
  }

  async function works(): Promise<void> {
    const reply = await server.call('GET', `${configMaps}/present`);
    assert.equal(reply.status, 200, reply.body.toString());
    assert.ok(process.memoryUsage.rss() - before0 < 500e6, 'memory does not grow without bound');
  }

  const method = fc.oneof(
    fc.constantFrom(
      'GET',
      'POST',
      'PUT',
      'PATCH',
      'HEAD',
      'OPTIONS',
      'TRACE',
      'CONNECT',
      'get',
      'PROPFIND',
      'M-SEARCH',
    ),
    fc.string({ minLength: 1, maxLength: 8 }),
  );
  const segment = fc.oneof(
    fc.constantFrom(
      'api',
      'apis',
      'v1',
      'namespaces',
      'default',
      'configmaps',
      'present',
      'pods',
      'x',
      'log',
      'exec',
      'status',
      'scale',
      'openapi',
      'v2',
      'v3',
      'apps',
      'deployments',
      'proxy',
      'knapsack',
      'snapshot',
      '%00',
      '%2e%2e',
      '%ff',
      '%',
      '..',
      '',
      '*',
      'constructor',
      '__proto__',
    ),
    fc.webSegment(),
    fc.string({ maxLength: 6 }),
  );
  const query = fc
    .array(
      fc.tuple(
        fc.constantFrom(
          'watch',
          'limit',
          'continue',
          'labelSelector',
          'fieldSelector',
          'resourceVersion',
          'resourceVersionMatch',
          'sendInitialEvents',
          'dryRun',
          'fieldManager',
          'force',
          'fieldValidation',
          'includeObject',
          'propagationPolicy',
          'pretty',
          'command',
          'container',
          'stdin',
          'tailLines',
          'sinceTime',
          '__proto__',
        ),
        fc.oneof(
          fc.string(),
          fc.constantFrom(
            '1',
            '0',
            'true',
            '-1',
            '99999999999999999999',
            'NaN',
            'a in (b',
            '\\',
            'eyJrZXkiOiJhIn0',
            'eyJrZXkiOjF9',
            'metadata.name=x',
            'All',
            'Exact',
            'NotOlderThan',
          ),
        ),
      ),
      { maxLength: 4 },
    )
    .map((pairs) =>
      pairs.length === 0
        ? ''
        : `?timeoutSeconds=1&${pairs.map(([k, v]) => `${k}=${encodeURIComponent(v.toWellFormed())}`).join('&')}`,
    );
  const path = fc
    .tuple(fc.array(segment, { maxLength: 8 }), query)
    .map(([parts, q]) => `/${parts.join('/')}${q}`);
  const header = fc.oneof(
    fc.constantFrom(
      'Accept: application/json;as=Table;v=v1;g=meta.k8s.io',
      'Accept: application/vnd.kubernetes.protobuf',
      'Accept: ;;;,q=,*/*;q=x',
      'Accept-Encoding: gzip;q=0.0001, *',
      'Content-Type: application/json; charset=',
      'Content-Type: application/apply-patch+yaml',
      'Content-Type: application/vnd.kubernetes.protobuf',
      'Content-Type: ,',
      'Content-Encoding: gzip',
      'Content-Length: 5',
      'Content-Length: -1',
      'Content-Length: 99999999999',
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: gzip, chunked',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Upgrade: SPDY/3.1',
      'Sec-WebSocket-Key: x',
      'Sec-WebSocket-Protocol: v5.channel.k8s.io',
      'X-Stream-Protocol-Version: v4.channel.k8s.io',
      'Authorization: Bearer x',
      'Authorization: Basic eDp5',
      'Impersonate-User: ',
      'Impersonate-User: \xff',
      'Impersonate-Extra-%zz: x',
      'Expect: 100-continue',
      'Expect: nonsense',
    ),
    fc.string({ maxLength: 40 }),
    fc.integer({ min: 1, max: 30 }).map((kilobytes) => `X-Long: ${'y'.repeat(kilobytes * 1024)}`),
  );
  const body = fc.oneof(
    fc.constant(''),
    fc.json(),
    fc.string(),
    fc.constantFrom(
      '5\r\nhello\r\n0\r\n\r\n',
      'zz\r\n',
      'ffffffffffff\r\n',
      'a: &x [*x]',
      '{"a":1,"a":2}',
      `[${'['.repeat(5000)}`,
      `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`,
      'k8s\0\x0a',
    ),
  );

  it('as requests: methods, paths, headers and bodies that nobody should send', async () => {
    await fc.assert(
      fc.asyncProperty(
        method,
        path,
        fc.array(header, { maxLength: 5 }),
        body,
        async (verb, target, headers, content) => {
          const text = `${verb} ${target} HTTP/1.1\r\nHost: x\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${content}`;
          check(await exchange(Buffer.from(text, 'latin1')), text);
        },
      ),
      { numRuns: 400 },
    );
    await works();
  });

  it('as no requests at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        check(await exchange(Buffer.concat([Buffer.from(bytes), Buffer.from('\r\n\r\n')])), 'bytes');
      }),
      { numRuns: 60 },
    );
    await works();
  });

  it('as bodies that were good before they were changed', async () => {
    const bodies: [string, string, string, Buffer][] = [];
    const object = { ...configMap('present', { a: '1', b: 'two' }) };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }] },
    };
    const yaml =
      'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: present\ndata: {a: "1", <<: &x {b: "2"}}\n';
    for (const [verb, where, type, content] of [
      ['PUT', `${configMaps}/present`, 'application/json', JSON.stringify(object)],
      ['POST', '/api/v1/namespaces/default/pods?dryRun=All', 'application/json', JSON.stringify(pod)],
      ['PATCH', `${configMaps}/present`, 'application/merge-patch+json', '{"data":{"a":null,"c":"3"}}'],
      [
        'PATCH',
        `${configMaps}/present`,
        'application/strategic-merge-patch+json',
        '{"data":{"$patch":"replace","c":"3"},"metadata":{"$deleteFromPrimitiveList/finalizers":["x"]}}',
      ],
      [
        'PATCH',
        `${configMaps}/present`,
        'application/json-patch+json',
        '[{"op":"add","path":"/data/x","value":"1"},{"op":"move","from":"/data/x","path":"/data/y"}]',
      ],
      ['PATCH', `${configMaps}/present?fieldManager=f&force=true`, 'application/apply-patch+yaml', yaml],
      ['PUT', `${configMaps}/present`, 'application/yaml', yaml],
    ] as const) {
      bodies.push([verb, where, type, Buffer.from(content)]);
    }
    const change = fc.record({
      which: fc.nat(bodies.length - 1),
      edits: fc.array(
        fc.record({
          at: fc.nat(400),
          byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('{}[]":,\\*&!|>-'))),
          keep: fc.integer({ min: 0, max: 6 }),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ which, edits }) => {
        const [verb = '', where = '', type = '', good = Buffer.alloc(0)] = bodies[which] ?? [];
        let bad = good;
        for (const { at, byte, keep } of edits) {
          const from = at % (bad.length + 1);
          bad = Buffer.concat([
            bad.subarray(0, from),
            Buffer.of(byte),
            bad.subarray(Math.min(bad.length, from + keep)),
          ]);
        }
        const reply = await server.call(verb, where, { body: bad, headers: { 'content-type': type } });
        assert.ok(
          reply.status < 500,
          `${reply.status} to ${verb} ${where} ${JSON.stringify(bad.toString('latin1'))}: ${reply.body.toString()}`,
        );
      }),
      { numRuns: 700 },
    );
    await server.call('PUT', `${configMaps}/present`, { body: configMap('present') });
    await works();
  });
});
