import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { after, before, describe, it } from 'node:test';
import { assertStatus, configMap, configMaps, startTestServer, type TestServer } from './support.ts';

describe('bodies of requests', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', configMaps, { body: configMap('present', { a: '1' }) });
  });
  after(() => server.close());

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
      /yaml parse error: a document with aliases may have 50 of them/,
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
      /exceeded max depth/,
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

  it('names the first of very many unknown fields: an answer has a bounded head', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x${i}`, 1]));
    const body = { ...configMap('many'), ...unknown };
    const reply = await server.call('POST', `${configMaps}?dryRun=All`, { body });
    assert.equal(reply.status, 201);
    const warnings = String(reply.headers['warning']);
    assert.match(warnings, /^299 - "unknown field \\"x0\\""/);
    assert.ok(warnings.length < 10_000);
  });

  it('takes aliases of YAML, but not so many that they hold the server up', async () => {
    const post = (body: string) =>
      server.call('POST', `${configMaps}?dryRun=All`, {
        body,
        headers: { 'content-type': 'application/yaml' },
      });
    const head = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: aliases\n';
    const taken = await post(`${head}  labels: &l {a: b}\n  annotations: *l\n`);
    assert.deepEqual(taken.json<{ metadata: { annotations: unknown } }>().metadata.annotations, { a: 'b' });
    const list = (count: number, line: (i: number) => string): string =>
      Array.from({ length: count }, (_, i) => line(i)).join('');
    const began = performance.now();
    for (const text of [
      `x:\n${list(60_000, (i) => `- &a${i} x\n- *a${i}\n`)}`,
      `x:\n- &a ${'x'.repeat(2_000_000)}\n${'- *a\n'.repeat(40)}`,
      `x:\n- &a [x]\n- *a\n${'- x\n'.repeat(20_000)}`,
    ]) {
      assertStatus(await post(head + text), 400, 'BadRequest', /aliases/);
    }
    // By the square of their number it would be minutes.
    assert.ok(performance.now() - began < 30_000);
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
