/** Bodies as Kubernetes decodes them: what repeats, what would lose digits, what is nested without end. */
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import * as fc from 'fast-check';
import { countMembers, inspectJson, repeatedMembers } from '../../../src/kube/server/json-text.ts';
import { startTestServer, type Reply, type TestServer } from './support.ts';

test('members are counted in the text as in the value, when none repeats', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      const parsed: unknown = JSON.parse(text);
      assert.equal(inspectJson(Buffer.from(text)).members, countMembers(parsed));
      assert.deepEqual(repeatedMembers(text), []);
    }),
  );
});

test('members that repeat are named by their path', () => {
  const named: readonly (readonly [string, readonly string[]])[] = [
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":1,"c":2,"b":3},"b":1}', ['a.b']],
    ['{"l":[{"n":1},{"n":1,"n":2}],"m":[[{"x":1,"x":1}]]}', ['l[1].n', 'm[0][0].x']],
    [String.raw`{"a\"":1,"a\u0022":2,"{":{"}":1}}`, ['a"']],
    ['{"a":1,"a":2,"a":3}', ['a']],
    [String.raw`{"a":"\\","b":"x:\"y\"","b":0}`, ['b']],
  ];
  for (const [text, paths] of named) {
    assert.deepEqual(repeatedMembers(text), paths, text);
    assert.ok(inspectJson(Buffer.from(text)).members > countMembers(JSON.parse(text)), text);
  }
});

test('integers keep their digits or are refused; floats are floats', () => {
  for (const text of [
    '9007199254740992',
    '-9007199254740993e0',
    '[1.12345678901234567890,1e20,1.5E+300]',
    '"12345678901234567890"',
  ]) {
    inspectJson(Buffer.from(text));
  }
  for (const text of ['9007199254740993', '{"a":[-9223372036854775807]}', '[12345678901234567890123]']) {
    assert.throws(() => inspectJson(Buffer.from(`${text} `)), /cannot be kept exactly/, text);
  }
});

describe('over HTTP', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const path = '/api/v1/namespaces/default/configmaps';
  const post = (body: string, query = '', type = 'application/json'): Promise<Reply> =>
    server.call('POST', `${path}${query}`, { body, headers: { 'content-type': type } });
  const configMap = (name: string, more: string): string =>
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}","labels":{"a":"1","a":"2"}},${more}}`;

  it('duplicates and unknown members are told in the order of the body, as a decoder of types meets them', async () => {
    const more = '"first":1,"data":{},"second":{"x":1},"data":{"x":"y"},"third":1';
    const reply = await post(configMap('order', more), '?fieldValidation=Strict');
    const fields = ['metadata.labels.a', 'first', 'second', 'data', 'third'];
    const kinds = ['duplicate', 'unknown', 'unknown', 'duplicate', 'unknown'];
    const told = fields.map((field, i) => `${kinds[i]} field ${JSON.stringify(field)}`).join(', ');
    const { message } = reply.json<{ message: string }>();
    assert.ok(message.endsWith(`strict decoding error: ${told}`), message);
  });

  it('duplicates are refused, warned about, or taken, as asked', async () => {
    const strict = await post(configMap('strict', '"data":{},"data":{"x":"y"}'), '?fieldValidation=Strict');
    assert.equal(strict.status, 400);
    assert.match(
      strict.json<{ message: string }>().message,
      /strict decoding error: duplicate field "metadata.labels.a", duplicate field "data"$/,
    );
    const warned = await post(configMap('warned', '"data":{"x":"1"}'));
    assert.equal(warned.status, 201);
    assert.match(String(warned.headers['warning']), /299 - "duplicate field \\"metadata.labels.a\\""/);
    assert.equal(
      warned.json<{ metadata: { labels: { a: string } } }>().metadata.labels.a,
      '2',
      'the last counts',
    );
    const ignored = await post(configMap('ignored', '"data":{}'), '?fieldValidation=Ignore');
    assert.equal(ignored.status, 201);
    assert.equal(ignored.headers['warning'], undefined);
  });

  it('patches and YAML, too', async () => {
    await post('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"patched"}}');
    const merge = await server.call('PATCH', `${path}/patched?fieldValidation=Strict`, {
      body: '{"data":{"a":"1","a":"2"}}',
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    assert.match(merge.json<{ message: string }>().message, /duplicate field "data.a"/);
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata:\n  x: "1"\n  x: "2"\n';
    const strict = await post(yaml, '?fieldValidation=Strict', 'application/yaml');
    assert.equal(strict.status, 400);
    assert.match(
      strict.json<{ message: string }>().message,
      /strict decoding error: yaml: unmarshal errors:\n {2}line 6: key "x" already set in map$/,
    );
    const taken = await post(yaml, '?fieldValidation=Ignore', 'application/yaml');
    assert.deepEqual(taken.json<{ data: object }>().data, { x: '2' });
    const apply = await server.call('PATCH', `${path}/applied?fieldManager=m&fieldValidation=Strict`, {
      body: yaml.replace('name: yaml', 'name: applied'),
      headers: { 'content-type': 'application/apply-patch+yaml' },
    });
    assert.equal(apply.status, 400);
    assert.match(
      apply.json<{ message: string }>().message,
      /^error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n/,
    );
  });

  it('digits are not lost silently, in any encoding', async () => {
    const event = (number: string): string =>
      `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"big","generation":${number}}}`;
    const deployments = '/apis/apps/v1/namespaces/default/deployments';
    const json = await server.call('POST', deployments, {
      body: event('9007199254740993'),
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(json.status, 400);
    assert.match(json.json<{ message: string }>().message, /9007199254740993 cannot be kept exactly/);
    const yaml = await server.call('POST', deployments, {
      body: event('9007199254740993'),
      headers: { 'content-type': 'application/yaml' },
    });
    assert.equal(yaml.status, 400);
  });

  it('what is nested without end is a bad request', async () => {
    const deep = (n: number): string => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`;
    for (const n of [300, 900, 5000, 300_000]) {
      const created = await post(deep(n));
      assert.equal(created.status, 400, `${n} levels`);
      const patched = await server.call('PATCH', `${path}/patched`, {
        body: deep(n),
        headers: { 'content-type': 'application/merge-patch+json' },
      });
      assert.equal(patched.status, 400, `a patch of ${n} levels`);
      const yaml = await post(`a: ${'['.repeat(n)}`, '', 'application/yaml');
      assert.equal(yaml.status, 400, `YAML of ${n} levels`);
    }
  });
});
