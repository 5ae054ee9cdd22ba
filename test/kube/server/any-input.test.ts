import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  configMap,
  configMaps,
  startTestServer,
  type Reply,
  type Status,
  type TestServer,
} from './support.ts';

describe('any input', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', configMaps, { body: configMap('present', { a: '1' }) });
  });
  after(() => server.close());

  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  const types = [
    'application/json',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/merge-patch+json',
    'application/json-patch+json',
    'application/strategic-merge-patch+json',
  ];
  /** 404 of the path router is text, everything else that fails is a Status. */
  const isAnswered = (reply: Reply): void => {
    assert.ok(
      reply.status >= 200 && reply.status < 500 && reply.status !== 401,
      `${reply.status} ${reply.body.toString()}`,
    );
    if (reply.status < 400 || reply.body.toString() === '404 page not found\n') return;
    assert.equal(reply.json<Status>().kind, 'Status');
  };

  it('gets an answer: bodies', async () => {
    const json = fc.json({ depthSize: 'medium' });
    const object = fc
      .record({
        metadata: fc.anything({ maxDepth: 2 }),
        data: fc.anything({ maxDepth: 3 }),
        spec: fc.anything(),
      })
      .map((rest) => {
        const named = { apiVersion: 'v1', kind: 'ConfigMap', ...rest };
        return (
          JSON.stringify(named, (_key, value: unknown) =>
            typeof value === 'bigint' ? String(value) : value,
          ) ?? ''
        );
      });
    const bytes = fc.uint8Array({ maxLength: 200 }).map((raw) => Buffer.concat([Buffer.from('k8s\0'), raw]));
    const body = fc.oneof(json, object, fc.string(), bytes);
    const path = fc.constantFrom(
      configMaps,
      `${configMaps}/present`,
      '/apis/apps/v1/namespaces/default/deployments',
      '/apis/apps/v1/namespaces/default/deployments/x/scale',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...methods.slice(1, 4)),
        path,
        body,
        fc.constantFrom(...types),
        async (method, path, body, type) => {
          isAnswered(await server.call(method, path, { body, headers: { 'content-type': type } }));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gets an answer: paths and queries', async () => {
    const segment = fc.oneof(
      fc.constantFrom(
        'api',
        'apis',
        'v1',
        'namespaces',
        'default',
        'pods',
        'apps',
        'configmaps',
        'log',
        'scale',
        'openapi',
        '%2f',
        '%zz',
        '..',
        '',
      ),
      fc.webSegment(),
    );
    const path = fc.array(segment, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`);
    const query = fc.dictionary(
      fc.constantFrom(
        'limit',
        'continue',
        'labelSelector',
        'fieldSelector',
        'resourceVersion',
        'resourceVersionMatch',
        'dryRun',
        'fieldValidation',
        'includeObject',
        'container',
        'tailLines',
        'gracePeriodSeconds',
      ),
      fc.oneof(fc.string(), fc.constantFrom('1', '-1', 'a=b', 'a in (b', '!a', 'metadata.name=x', 'All')),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'DELETE', 'POST'), path, query, async (method, path, query) => {
        // Deleting whole collections would empty the server that the other tests use.
        const safe = method === 'DELETE' ? `${path}/x` : path;
        const reply = await server.call(method, `${safe}?${new URLSearchParams(query).toString()}`);
        if (reply.status !== 504) isAnswered(reply);
      }),
      { numRuns: 300 },
    );
  });
});
