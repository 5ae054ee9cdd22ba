import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import { KnapsackError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { startApiServer } from '../../../src/kube/server/api-server.ts';
import { assertStatus, configMap, configMaps, startTestServer, type TestServer } from './support.ts';

describe('API server over HTTP', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', configMaps, { body: configMap('present', { a: '1' }) });
  });
  after(() => server.close());

  describe('who may ask', () => {
    it('answers probes and the version to anyone, and nothing else', async () => {
      for (const path of ['/healthz', '/livez', '/readyz', '/readyz/ping', '/version']) {
        assert.equal((await server.call('GET', path, { identity: 'anonymous' })).status, 200, path);
      }
      for (const path of ['/', '/api', '/apis', '/openapi/v2', configMaps, '/metrics', '/healthz2']) {
        const reply = await server.call('GET', path, { identity: 'anonymous' });
        assertStatus(reply, 401, 'Unauthorized', 'Unauthorized');
      }
    });

    it('refuses a certificate of another CA', async () => {
      const other = await startTestServer();
      try {
        const reply = await server.call('GET', '/api', { identity: other.pki.admin });
        assertStatus(reply, 401, 'Unauthorized', 'Unauthorized');
      } finally {
        await other.close();
      }
    });

    it('forbids users without a grant', async () => {
      const identity = server.pki.issueClient({ commonName: 'jane', organization: 'devs' });
      const reply = await server.call('GET', configMaps, { identity });
      assertStatus(
        reply,
        403,
        'Forbidden',
        'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"',
      );
    });

    it('names the user to admission', async () => {
      const identity = server.pki.issueClient({ commonName: 'root', organization: 'system:masters' });
      const body = {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name: 'named' },
        spec: { template: { spec: { containers: [{ image: 'a' }] } } },
      };
      const path = '/apis/serving.knative.dev/v1/namespaces/default/services';
      const reply = await server.call('POST', path, { identity, body });
      const { metadata } = reply.json<{ metadata: { annotations: Record<string, string> } }>();
      assert.equal(metadata.annotations['serving.knative.dev/creator'], 'root');
    });
  });

  describe('where nothing is served', () => {
    const paths = [
      '/nothing',
      '/apis/none.example.com/v1',
      '/apis/serving.knative.dev/v1/unknowns',
      '/openapi/v3/apis/none/v1',
      '/openapi/v4',
    ];
    const ownPaths = [
      '/api/v2',
      '/apis/apps/v9',
      '/apis/apps/v1/unknowns',
      '/api/v1/namespaces/default/unknowns',
      '/api/v1/namespaces/default/namespaces/x',
      '/api/v1/namespaces/default/nodes/x',
      `${configMaps}/present/status`,
      `${configMaps}/present/data/a`,
      '/api/v1/configmaps/present',
      '/apis/apps/v1/namespaces/default/deployments/x/exec',
    ];
    for (const path of ownPaths) {
      it(`answers with a Status to ${path}, in a group of Kubernetes' own`, async () => {
        const reply = await server.call('GET', path);
        assertStatus(reply, 404, 'NotFound', 'the server could not find the requested resource');
      });
    }
    for (const path of paths) {
      it(`says 404 page not found to ${path}`, async () => {
        const reply = await server.call('GET', path);
        assert.equal(reply.status, 404);
        assert.equal(reply.body.toString(), '404 page not found\n');
        assert.match(String(reply.headers['content-type']), /^text\/plain/);
      });
    }

    it('tells a missing object from a missing resource', async () => {
      const reply = await server.call('GET', `${configMaps}/none`);
      const { details } = assertStatus(reply, 404, 'NotFound', 'configmaps "none" not found');
      assert.deepEqual(details, { name: 'none', kind: 'configmaps' });
    });
  });

  describe('methods', () => {
    const rows: [string, string][] = [
      ['POST', `${configMaps}/present`],
      ['PUT', configMaps],
      ['PATCH', configMaps],
      ['POST', '/api/v1/configmaps'],
      ['DELETE', '/api/v1/configmaps'],
      ['DELETE', '/api/v1/namespaces'],
      ['POST', '/apis'],
      ['OPTIONS', configMaps],
      ['GET', '/api/v1/namespaces/default/finalize'],
    ];
    for (const [method, path] of rows) {
      it(`does not allow ${method} ${path}`, async () => {
        const message = 'the server does not allow this method on the requested resource';
        assertStatus(await server.call(method, path), 405, 'MethodNotAllowed', message);
      });
    }
  });

  describe('options', () => {
    const rows: [string, number, string, RegExp][] = [
      [
        'dryRun=Some',
        422,
        'Invalid',
        /CreateOptions\.meta\.k8s\.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All"/,
      ],
      ['fieldValidation=Maybe', 422, 'Invalid', /fieldValidation: Unsupported value: "Maybe"/],
    ];
    for (const [query, code, reason, message] of rows) {
      it(`refuses ${query} on a write`, async () => {
        const reply = await server.call('POST', `${configMaps}?${query}`, { body: configMap('x') });
        assertStatus(reply, code, reason, message);
      });
    }

    const reads: [string, number, string, RegExp][] = [
      ['limit=many', 400, 'BadRequest', /limit: strconv\.ParseInt: parsing "many": invalid syntax/],
      ['continue=abc', 400, 'BadRequest', /continue key is not valid/],
      ['labelSelector=a%20b', 400, 'BadRequest', /unable to parse requirement: found 'b'/],
      ['fieldSelector=spec.x%3D1', 400, 'BadRequest', /field label not supported: spec\.x/],
      ['resourceVersion=abc', 400, 'BadRequest', /resourceVersion/],
      ['resourceVersion=999999', 504, 'Timeout', /Too large resource version: 999999/],
      [
        'resourceVersionMatch=Exact',
        422,
        'Invalid',
        /^ListOptions\.meta\.k8s\.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided$/,
      ],
      [
        'resourceVersion=1&resourceVersionMatch=Newer',
        422,
        'Invalid',
        /Unsupported value: "Newer": supported values: "Exact", "NotOlderThan", ""$/,
      ],
      [
        'resourceVersion=0&resourceVersionMatch=Exact',
        422,
        'Invalid',
        /resourceVersionMatch "exact" is forbidden for resourceVersion "0"/,
      ],
      [
        'resourceVersion=1&resourceVersionMatch=Exact&continue=x',
        422,
        'Invalid',
        /forbidden when continue is provided/,
      ],
      [
        'sendInitialEvents=true',
        422,
        'Invalid',
        /sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list/,
      ],
      [
        'watch=1&sendInitialEvents=true',
        422,
        'Invalid',
        /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/,
      ],
      [
        'watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan',
        422,
        'Invalid',
        /forbidden for watch unless sendInitialEvents is provided/,
      ],
      [
        'watch=1&sendInitialEvents=true&resourceVersion=1&resourceVersionMatch=Exact',
        422,
        'Invalid',
        /^ListOptions.* \[resourceVersionMatch: Forbidden: .*, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"\]$/,
      ],
      [
        'continue=abc&resourceVersion=1',
        400,
        'BadRequest',
        /specifying resource version is not allowed when using continue/,
      ],
      ['includeObject=Some', 422, 'Invalid', /includeObject: Unsupported value/],
    ];
    for (const [query, code, reason, message] of reads) {
      it(`refuses ${query} on a list`, async () => {
        assertStatus(await server.call('GET', `${configMaps}?${query}`), code, reason, message);
      });
    }

    it('pages with limit and continue', async () => {
      const path = '/api/v1/namespaces/kube-system/configmaps';
      for (const name of ['a', 'b', 'c']) await server.call('POST', path, { body: configMap(name) });
      const names: string[] = [];
      let next = '';
      do {
        const page = (await server.call('GET', `${path}?limit=2${next && `&continue=${next}`}`)).json<{
          metadata: { continue?: string; remainingItemCount?: number };
          items: { metadata: { name: string } }[];
        }>();
        names.push(...page.items.map((item) => item.metadata.name));
        next = page.metadata.continue ?? '';
        assert.equal(page.metadata.remainingItemCount, next ? 1 : undefined);
      } while (next);
      assert.deepEqual(names, ['a', 'b', 'c']);
    });

    it('says in DELETE what became of the object', async () => {
      await server.call('POST', configMaps, { body: configMap('short') });
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' };
      const reply = await server.call('DELETE', `${configMaps}/short`, { body });
      const status = reply.json<{ status: string; details: object }>();
      assert.equal(reply.status, 200);
      assert.equal(status.status, 'Success');
      const wrong = { ...body, propagationPolicy: 'Sideways' };
      const refused = await server.call('DELETE', `${configMaps}/present`, { body: wrong });
      assertStatus(refused, 422, 'Invalid', /propagationPolicy: Unsupported value: "Sideways"/);
      const held = { preconditions: { uid: 'other' } };
      const conflict = await server.call('DELETE', `${configMaps}/present`, { body: held });
      assertStatus(conflict, 409, 'Conflict', /Precondition failed: UID in precondition: other/);
    });
  });

  it('takes heads as long as those of a Go server: kubectl exec sends commands in the path', async () => {
    const reply = await server.call('GET', `/version?command=${'a'.repeat(300_000)}`);
    assert.equal(reply.status, 200);
    // The answer is lost when the connection ends while the client is still sending.
    const tooLong = server.call('GET', `/version?command=${'a'.repeat(1_100_000)}`);
    assert.equal(await tooLong.then(({ status }) => status).catch(() => 431), 431);
  });

  it('names a taken port', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const { pki, access } = server;
    const { service } = server.api;
    const options = { service, resources: [], pki, access, host: '127.0.0.1', port, log: silentLogger };
    await assert.rejects(startApiServer(options), (error: unknown) => {
      assert.ok(error instanceof KnapsackError);
      assert.equal(error.code, 'CLI_PORT_TAKEN');
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}`));
      return true;
    });
    await new Promise((resolve) => holder.close(resolve));
  });

  it('survives clients that speak no HTTP', async () => {
    for (const text of [
      'hello\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
      `GET /${'a'.repeat(40_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      await new Promise<void>((resolve, reject) => {
        const { host, port, ca } = server.tls();
        const socket = connect({ host: String(host), port: Number(port), ca });
        socket.on('secureConnect', () => socket.write(text));
        socket.on('data', () => undefined).on('close', () => resolve());
        socket.setTimeout(20_000, () => reject(new Error('the connection stays open')));
        socket.on('error', () => undefined);
      });
    }
    assert.equal((await server.call('GET', '/readyz')).status, 200);
  });
});
