/** YAML in a thread: the same documents and faults as at once, and a server that answers others meanwhile. */
import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import * as fc from 'fast-check';
import { YamlThread } from '../../../../src/kube/server/yaml/thread.ts';
import { assertStatus, configMaps, startTestServer } from '../support.ts';

const list = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('');
const members = (count: number): string => list(count, (i) => `k${i}: some text\n`);

/** How often the event loop came round before it was done. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await work;
  } finally {
    running = false;
  }
  return turns;
}

describe('a thread for YAML', () => {
  it('reads and writes what is done at once, alike', async (t) => {
    const thread = new YamlThread({ inlineBytes: 0 });
    const inline = new YamlThread({ inlineBytes: Infinity });
    t.after(() => thread.close());
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const json = JSON.stringify(value);
        // A merge key is written as it is.
        fc.pre(!json.includes('<<'));
        const text = await thread.encode(Buffer.from(json));
        assert.deepEqual(text, await inline.encode(Buffer.from(json)));
        const decoded = { value: JSON.parse(json) as unknown, faults: [] };
        assert.deepEqual(await thread.decode(text), decoded);
        assert.deepEqual(await inline.decode(text), decoded);
      }),
      { numRuns: 50 },
    );
    for (const text of ['a: 1\na: 2\n', 'a: 012\nb: yes\nc: null\n', 'a: &x [1]\nb: *x\n']) {
      assert.deepEqual(await thread.decode(Buffer.from(text)), await inline.decode(Buffer.from(text)));
    }
    for (const text of ['a: b: c', 'a: .inf', 'a: 12345678901234567890', '- '.repeat(50_000), 'a: *x']) {
      const words = async (yaml: YamlThread): Promise<string> =>
        yaml.decode(Buffer.from(text)).then(
          () => assert.fail(text.slice(0, 40)),
          (error: Error) => error.message,
        );
      assert.equal(await words(thread), await words(inline));
    }
  });

  it('quotes what YAML 1.1 would take for something else, and takes a dot for a text', async () => {
    const inline = new YamlThread();
    const texts = [
      'yes',
      'n',
      'on',
      '012',
      '0o7',
      '1:20',
      '2020-01-01',
      '~',
      '1_000',
      '.',
      '.5',
      '-.',
      '=',
      '',
    ];
    for (const text of texts) {
      const value = { a: text, [text]: [text] };
      const yaml = await inline.encode(Buffer.from(JSON.stringify(value)));
      assert.deepEqual((await inline.decode(yaml)).value, value, yaml.toString());
    }
    const { value } = await inline.decode(Buffer.from('[., .5, 5., -.25, 1.5, 1_0.5]'));
    assert.deepEqual(value, ['.', 0.5, 5, -0.25, 1.5, 10.5]);
  });

  it('leaves the event loop to others', async (t) => {
    const yaml = new YamlThread();
    t.after(() => yaml.close());
    const large = Buffer.from(members(20_000));
    await yaml.decode(large);
    assert.ok((await turnsDuring(yaml.decode(large))) > 20);
    const json = Buffer.from(JSON.stringify((await yaml.decode(large)).value));
    assert.ok((await turnsDuring(yaml.encode(json))) > 20);
  });

  it('ends when nobody needs it, and starts again', async (t) => {
    const yaml = new YamlThread({ inlineBytes: 0, idleMs: 1 });
    t.after(() => yaml.close());
    for (let i = 0; i < 3; i++) {
      assert.deepEqual((await yaml.decode(Buffer.from('a: 1'))).value, { a: 1 });
      await new Promise((resolve) => setTimeout(resolve, 20 * i));
    }
  });

  it('refuses what takes too long, and goes on with what waits', async (t) => {
    const yaml = new YamlThread({ inlineBytes: 0, jobMs: 3000 });
    t.after(() => yaml.close());
    const endless = yaml.decode(Buffer.from(`x: {${':,'.repeat(5_000_000)}}`));
    const next = yaml.decode(Buffer.from('a: 1'));
    await assert.rejects(endless, { code: 413, message: /^the YAML document is too large: .*; use JSON$/ });
    assert.deepEqual((await next).value, { a: 1 });
  });

  it('lets a few wait, and gives them up when it is closed', async () => {
    const yaml = new YamlThread({ inlineBytes: 0, jobs: 2 });
    const waiting = [yaml.decode(Buffer.from('a: 1')), yaml.decode(Buffer.from('a: 2'))];
    await assert.rejects(yaml.decode(Buffer.from('a: 3')), { code: 429 });
    const outcomes = Promise.allSettled(waiting);
    await yaml.close();
    for (const { status } of await outcomes) assert.equal(status, 'rejected');
    await assert.rejects(yaml.decode(Buffer.from('a: 4')), { code: 503 });
  });
});

test('large YAML over HTTP: applied, created, faults told, and read back', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const head = (name: string): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n`;
  const data = list(5000, (i) => `  k${i}: text ${i}\n`);
  const type = { 'content-type': 'application/yaml' };
  const created = await server.call('POST', configMaps, { body: head('created') + data, headers: type });
  assert.equal(created.status, 201);
  const applied = await server.call('PATCH', `${configMaps}/applied?fieldManager=m`, {
    body: head('applied') + data,
    headers: { 'content-type': 'application/apply-patch+yaml' },
  });
  assert.equal(applied.status, 201);
  const repeated = await server.call('POST', `${configMaps}?fieldValidation=Strict`, {
    body: `${head('repeated')}${data}  k7: again\n`,
    headers: type,
  });
  assertStatus(repeated, 400, 'BadRequest', /key "k7" already set in map/);
  const broken = await server.call('POST', configMaps, { body: `${head('x')}${data}a: b: c`, headers: type });
  assertStatus(broken, 400, 'BadRequest', /yaml parse error: Nested mappings/);
  const shown = await server.call('GET', `${configMaps}/created`, {
    headers: { accept: 'application/yaml' },
  });
  assert.equal(shown.headers['content-type'], 'application/yaml');
  assert.match(shown.body.toString(), /^ {2}k4999: text 4999$/m);
});
