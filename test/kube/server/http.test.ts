import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import * as fc from 'fast-check';
import { KnapsackError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { startApiServer } from '../../../src/kube/server/api-server.ts';
import { startTestServer, type Reply, type TestServer } from './support.ts';

interface Status {
  kind: string;
  apiVersion: string;
  status: string;
  reason: string;
  message: string;
  code: number;
  details?: { causes?: { field?: string; reason?: string }[]; name?: string; kind?: string };
}

function assertStatus(reply: Reply, code: number, reason: string, message: RegExp | string): Status {
  const status = reply.json<Status>();
  assert.equal(reply.status, code, reply.body.toString());
  assert.deepEqual(
    [status.kind, status.apiVersion, status.status, status.code, status.reason],
    ['Status', 'v1', 'Failure', code, reason],
  );
  if (typeof message === 'string') assert.equal(status.message, message);
  else assert.match(status.message, message);
  return status;
}

const configMaps = '/api/v1/namespaces/default/configmaps';
const configMap = (name: string, data: Record<string, string> = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});

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

    it('forbids users who are not of system:masters', async () => {
      const identity = server.pki.issueClient({ commonName: 'jane', organization: 'devs' });
      const reply = await server.call('GET', configMaps, { identity });
      assertStatus(reply, 403, 'Forbidden', `forbidden: User "jane" cannot get path "${configMaps}"`);
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
      '/apis/apps/v9',
      '/apis/apps/v1/unknowns',
      '/api/v1/namespaces/default/unknowns',
      '/api/v1/namespaces/default/namespaces/x',
      '/api/v1/namespaces/default/nodes/x',
      `${configMaps}/present/status`,
      `${configMaps}/present/data/a`,
      '/api/v1/configmaps/present',
      '/openapi/v3/apis/none/v1',
      '/openapi/v4',
      '/apis/apps/v1/namespaces/default/deployments/x/exec',
    ];
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
      ['POST', '/apis'],
      ['OPTIONS', configMaps],
      ['GET', '/api/v1/namespaces/default/finalize'],
      ['POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'],
      ['DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/services.serving.knative.dev'],
    ];
    for (const [method, path] of rows) {
      it(`does not allow ${method} ${path}`, async () => {
        const message = 'the server does not allow this method on the requested resource';
        assertStatus(await server.call(method, path), 405, 'MethodNotAllowed', message);
      });
    }
  });

  describe('bodies', () => {
    const rows: [string, string | Buffer, string | undefined, number, string, RegExp][] = [
      [
        'half an object',
        '{"a":',
        undefined,
        400,
        'BadRequest',
        /must be of type ConfigMap\): couldn't get version\/kind; json parse error: .* \(7b2261223a\)/,
      ],
      ['nothing', '', 'application/json', 400, 'BadRequest', /json parse error/],
      ['a list', '[]', undefined, 400, 'BadRequest', /must be of type ConfigMap/],
      ['a word', 'null', undefined, 400, 'BadRequest', /must be of type ConfigMap/],
      [
        'bytes that are not UTF-8',
        Buffer.from([0x7b, 0xff, 0x7d]),
        undefined,
        400,
        'BadRequest',
        /not valid UTF-8/,
      ],
      ['malformed YAML', 'a: b: c', 'application/yaml', 400, 'BadRequest', /yaml parse error/],
      [
        'a YAML bomb',
        yamlBomb(),
        'application/yaml',
        400,
        'BadRequest',
        /yaml parse error: Excessive alias count/,
      ],
      [
        'something else',
        '{}',
        'text/html',
        415,
        'UnsupportedMediaType',
        /accepted media types include: application\/json, application\/yaml, application\/vnd\.kubernetes\.protobuf/,
      ],
      [
        'no protobuf',
        '{}',
        'application/vnd.kubernetes.protobuf',
        400,
        'BadRequest',
        /does not appear to be a protobuf message/,
      ],
      [
        'cut protobuf',
        Buffer.from('k8s\0\x0a\x50'),
        'application/vnd.kubernetes.protobuf',
        400,
        'BadRequest',
        /unexpected EOF/,
      ],
      [
        'another kind',
        '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}',
        undefined,
        400,
        'BadRequest',
        /the kind in the data \(Secret\) does not match the expected kind \(ConfigMap\)/,
      ],
      [
        'another version',
        '{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"x"}}',
        undefined,
        400,
        'BadRequest',
        /does not match the expected API version \(v1\)/,
      ],
      [
        'a wrong type',
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":[1]}',
        undefined,
        400,
        'BadRequest',
        /ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array/,
      ],
      [
        'a deep tree',
        `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`,
        undefined,
        400,
        'BadRequest',
        /nested deeper/,
      ],
      [
        'a prototype',
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"__proto__":{"a":1}}',
        undefined,
        400,
        'BadRequest',
        /__proto__/,
      ],
      [
        'no name',
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}',
        undefined,
        422,
        'Invalid',
        /name or generateName is required/,
      ],
      [
        'another namespace',
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}',
        undefined,
        400,
        'BadRequest',
        /the namespace of the provided object does not match the namespace sent on the request/,
      ],
    ];
    for (const [what, body, type, code, reason, message] of rows) {
      it(`refuses ${what}`, async () => {
        const headers = { 'content-type': type ?? 'application/json' };
        assertStatus(await server.call('POST', configMaps, { body, headers }), code, reason, message);
      });
    }

    it('refuses a protobuf body for a custom kind', async () => {
      const path = '/apis/serving.knative.dev/v1/namespaces/default/services';
      const headers = { 'content-type': 'application/vnd.kubernetes.protobuf' };
      const reply = await server.call('POST', path, { body: 'k8s\0', headers });
      assertStatus(reply, 415, 'UnsupportedMediaType', /application\/json, application\/yaml$/);
    });

    it('takes YAML by the rules of YAML 1.1', async () => {
      const body =
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml, labels: {day: 2020-01-01}}\nimmutable: yes\n';
      const reply = await server.call('POST', configMaps, {
        body,
        headers: { 'content-type': 'application/yaml' },
      });
      const object = reply.json<{ immutable: unknown; metadata: { labels: unknown } }>();
      assert.equal(reply.status, 201, reply.body.toString());
      assert.deepEqual([object.immutable, object.metadata.labels], [true, { day: '2020-01-01' }]);
    });

    it('refuses more than 3 MiB and keeps serving', async () => {
      const body = JSON.stringify(configMap('large', { a: 'x'.repeat(3 * 1024 * 1024) }));
      const reply = await server.call('POST', configMaps, { body });
      assertStatus(reply, 413, 'RequestEntityTooLarge', 'Request entity too large: limit is 3145728');
      assert.equal((await server.call('GET', `${configMaps}/present`)).status, 200);
    });

    it('refuses more than 3 MiB without a declared length', async () => {
      const reply = await new Promise<number>((resolve, reject) => {
        const outgoing = httpsRequest({ ...server.tls(), method: 'POST', path: configMaps }, (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        });
        outgoing.on('error', reject);
        for (let i = 0; i < 64; i++) outgoing.write(Buffer.alloc(64 * 1024, 0x20));
        outgoing.end();
      });
      assert.equal(reply, 413);
    });

    it('refuses a compressed body', async () => {
      const reply = await server.call('POST', configMaps, {
        body: 'x',
        headers: { 'content-encoding': 'gzip' },
      });
      assertStatus(reply, 415, 'UnsupportedMediaType', /content encoding "gzip" is not accepted/);
    });

    it('warns of unknown fields, refuses them under Strict, is silent under Ignore', async () => {
      const body = { ...configMap('fields'), dato: { x: 'ü"\\\r\n' } };
      const warned = await server.call('POST', `${configMaps}?dryRun=All`, { body });
      assert.equal(warned.status, 201);
      assert.equal(warned.headers['warning'], String.raw`299 - "unknown field \"dato\""`);
      const strict = await server.call('POST', `${configMaps}?fieldValidation=Strict`, { body });
      assertStatus(strict, 400, 'BadRequest', /strict decoding error: unknown field "dato"/);
      const ignored = await server.call('POST', `${configMaps}?fieldValidation=Ignore&dryRun=All`, { body });
      assert.equal(ignored.headers['warning'], undefined);
      const odd = { ...configMap('fields'), 'd\u00fc\r\nx': 1 };
      const safe = await server.call('POST', `${configMaps}?dryRun=All`, { body: odd });
      assert.equal(safe.status, 201);
      assert.match(String(safe.headers['warning']), /^299 - "unknown field [^\r\n]*"$/);
    });

    it('keeps nothing of a dry run', async () => {
      assert.equal(
        (await server.call('POST', `${configMaps}?dryRun=All`, { body: configMap('dry') })).status,
        201,
      );
      assert.equal((await server.call('GET', `${configMaps}/dry`)).status, 404);
      assert.equal((await server.call('DELETE', `${configMaps}/present?dryRun=All`)).status, 200);
      assert.equal((await server.call('GET', `${configMaps}/present`)).status, 200);
    });
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
        400,
        'BadRequest',
        /resourceVersionMatch is forbidden unless resourceVersion is provided/,
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

  describe('forms of answers', () => {
    const rows: [string, RegExp, RegExp][] = [
      ['application/json', /^application\/json$/, /^\{"apiVersion":"v1"/],
      ['application/yaml', /^application\/yaml$/, /^apiVersion: v1\n/],
      ['application/vnd.kubernetes.protobuf,application/json', /^application\/json$/, /"kind":"ConfigMap"/],
      ['text/html;q=0.9,*/*;q=0.1', /^application\/json$/, /"kind":"ConfigMap"/],
      [
        'application/json;as=Table;v=v1;g=meta.k8s.io',
        /^application\/json$/,
        /^\{"kind":"Table","apiVersion":"meta\.k8s\.io\/v1"/,
      ],
      [
        'application/json;as=Table;v=v1beta1;g=meta.k8s.io',
        /^application\/json$/,
        /"apiVersion":"meta\.k8s\.io\/v1beta1"/,
      ],
      [
        'application/json;as=Table;v=v9;g=meta.k8s.io,application/json',
        /^application\/json$/,
        /"kind":"ConfigMap"/,
      ],
      [
        'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
        /^application\/json$/,
        /^\{"kind":"PartialObjectMetadata","apiVersion":"meta\.k8s\.io\/v1","metadata":\{"name":"present"/,
      ],
    ];
    for (const [accept, type, body] of rows) {
      it(`serves ${accept}`, async () => {
        const reply = await server.call('GET', `${configMaps}/present`, { headers: { accept } });
        assert.equal(reply.status, 200);
        assert.match(String(reply.headers['content-type']), type);
        assert.match(reply.body.toString(), body);
      });
    }

    it('refuses what it cannot serve', async () => {
      for (const accept of [
        'application/vnd.kubernetes.protobuf',
        'text/html',
        'application/json;as=Table;v=v9;g=meta.k8s.io',
      ]) {
        const reply = await server.call('GET', `${configMaps}/present`, { headers: { accept } });
        assertStatus(
          reply,
          406,
          'NotAcceptable',
          'only the following media types are accepted: application/json, application/yaml',
        );
      }
    });

    it('fills Tables as asked with includeObject', async () => {
      const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
      const rowOf = async (include: string): Promise<{ cells: unknown[]; object?: { kind: string } }> => {
        const path = `${configMaps}?includeObject=${include}&fieldSelector=metadata.name%3Dpresent`;
        const table = (await server.call('GET', path, { headers })).json<{
          rows: { cells: unknown[]; object?: { kind: string } }[];
        }>();
        const [row] = table.rows;
        assert.ok(row);
        return row;
      };
      assert.equal((await rowOf('None')).object, undefined);
      assert.equal((await rowOf('Metadata')).object?.kind, 'PartialObjectMetadata');
      assert.equal((await rowOf('Object')).object?.kind, 'ConfigMap');
      assert.deepEqual((await rowOf('None')).cells.slice(0, 2), ['present', 1]);
    });

    it('answers HEAD without a body', async () => {
      const reply = await server.call('HEAD', `${configMaps}/present`);
      assert.deepEqual([reply.status, reply.body.length], [200, 0]);
    });
  });

  describe('discovery', () => {
    it('has the legacy and the aggregated form', async () => {
      const legacy = (await server.call('GET', '/apis')).json<{ kind: string; groups: { name: string }[] }>();
      assert.equal(legacy.kind, 'APIGroupList');
      assert.ok(legacy.groups.every(({ name }) => name !== ''));
      for (const version of ['v2', 'v2beta1']) {
        const parameters = `g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        const reply = await server.call('GET', '/api', {
          headers: { accept: `application/json;${parameters},application/json` },
        });
        assert.equal(reply.headers['content-type'], `application/json;${parameters}`);
        const list = reply.json<{
          apiVersion: string;
          items: {
            metadata: { name: string };
            versions: { resources: { resource: string; subresources?: { subresource: string }[] }[] }[];
          }[];
        }>();
        assert.equal(list.apiVersion, `apidiscovery.k8s.io/${version}`);
        assert.deepEqual(
          list.items.map((item) => item.metadata.name),
          [''],
        );
        const pods = list.items[0]?.versions[0]?.resources.find(({ resource }) => resource === 'pods');
        assert.deepEqual(
          pods?.subresources?.map(({ subresource }) => subresource),
          ['log', 'status'],
        );
      }
    });

    it('lists subresources and their kinds', async () => {
      const { resources } = (await server.call('GET', '/apis/apps/v1')).json<{
        resources: { name: string; kind: string; group?: string }[];
      }>();
      const scale = resources.find(({ name }) => name === 'deployments/scale');
      assert.deepEqual([scale?.kind, scale?.group], ['Scale', 'autoscaling']);
      const crds = (await server.call('GET', '/apis/apiextensions.k8s.io/v1')).json<{
        resources: { verbs: string[] }[];
      }>();
      assert.deepEqual(
        crds.resources.map(({ verbs }) => verbs),
        [['get', 'list', 'watch']],
      );
    });

    it('shows custom kinds as CRDs that can be selected by label', async () => {
      const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
      const all = (await server.call('GET', path)).json<{
        kind: string;
        items: { metadata: { name: string } }[];
      }>();
      assert.equal(all.kind, 'CustomResourceDefinitionList');
      const selected = await server.call(
        'GET',
        `${path}?labelSelector=duck.knative.dev%2Faddressable%3Dtrue`,
      );
      const names = selected
        .json<{ items: { metadata: { name: string } }[] }>()
        .items.map((item) => item.metadata.name);
      assert.ok(
        names.includes('services.serving.knative.dev') && names.length < all.items.length,
        names.join(),
      );
    });
  });

  it('revalidates OpenAPI documents by ETag', async () => {
    const first = await server.call('GET', '/openapi/v3/apis/apps/v1');
    const etag = String(first.headers['etag']);
    const again = await server.call('GET', '/openapi/v3/apis/apps/v1', {
      headers: { 'if-none-match': etag },
    });
    assert.deepEqual([first.status, again.status, again.body.length], [200, 304, 0]);
  });

  it('names a taken port', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const { service } = server.api;
    const options = { service, resources: [], pki: server.pki, host: '127.0.0.1', port, log: silentLogger };
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

  describe('any input', () => {
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
      const bytes = fc
        .uint8Array({ maxLength: 200 })
        .map((raw) => Buffer.concat([Buffer.from('k8s\0'), raw]));
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
        fc.asyncProperty(
          fc.constantFrom('GET', 'DELETE', 'POST'),
          path,
          query,
          async (method, path, query) => {
            // Deleting whole collections would empty the server that the other tests use.
            const safe = method === 'DELETE' ? `${path}/x` : path;
            const reply = await server.call(method, `${safe}?${new URLSearchParams(query).toString()}`);
            if (reply.status !== 504) isAnswered(reply);
          },
        ),
        { numRuns: 300 },
      );
    });
  });
});

/** Each level names the one before nine times. */
function yamlBomb(): string {
  const lines = ['a0: &a0 [x,x,x,x,x,x,x,x,x]'];
  for (let i = 1; i < 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(',')}]`,
    );
  return lines.join('\n');
}
