/** The broker ingress over real connections: every answer of its table, and senders that misbehave. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { KnapsackError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { BusMessage } from '../../../src/eventing/buses/bus.ts';
import { waitFor } from '../../support/wait.ts';
import {
  startIngress,
  type Ingress,
  type IngressOptions,
  type IngressTarget,
} from '../../../src/eventing/ingress/server.ts';

interface TestIngress extends AsyncDisposable {
  readonly ingress: Ingress;
  readonly url: string;
  readonly stored: BusMessage[];
}

async function start(options: Partial<IngressOptions> = {}): Promise<TestIngress> {
  const stored: BusMessage[] = [];
  const main: IngressTarget = {
    append: async (message) => {
      if (message.event.attributes['fail'] === 'full')
        throw new KnapsackError('EVENTING_LOG_FULL', 'disk full');
      if (message.event.attributes['fail'] === 'bug') throw new TypeError('secret detail');
      stored.push(message);
    },
  };
  const ingress = await startIngress({
    lookup: (namespace, broker) =>
      broker === 'starting' ? 'starting' : namespace === 'default' && broker === 'main' ? main : 'unknown',
    clock: systemClock,
    log: silentLogger,
    ...options,
  });
  const { host, port } = ingress.address;
  return { ingress, stored, url: `http://${host}:${port}`, [Symbol.asyncDispose]: () => ingress.close() };
}

const ce = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };

test('202 after the event is stored, with TTL, time of arrival and the headers that travel', async () => {
  await using started = await start();
  const { url, stored } = started;
  for (const path of ['/default/main', '/default/main/']) {
    const answer = await fetch(url + path, {
      method: 'POST',
      headers: {
        ...ce,
        'content-type': 'text/plain',
        'x-request-id': 'r',
        'knative-x': 'k',
        authorization: 'secret',
      },
      body: 'data',
    });
    assert.equal(answer.status, 202);
    assert.equal(await answer.text(), '');
  }
  const [first] = stored;
  assert.equal(stored.length, 2);
  assert.equal(first?.event.data.toString(), 'data');
  assert.equal(first?.event.attributes['knativebrokerttl'], 255);
  assert.match(String(first?.event.attributes['knativearrivaltime']), /Z$/);
  assert.deepEqual(first?.headers, { 'x-request-id': 'r', 'knative-x': 'k' });
});

test('structured events, and version 0.3, are taken as they are', async () => {
  await using started = await start();
  const { url, stored } = started;
  for (const specversion of ['1.0', '0.3']) {
    const answer = await fetch(`${url}/default/main`, {
      method: 'POST',
      headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' },
      body: JSON.stringify({ specversion, id: '1', source: '/s', type: 't', data: { a: 1 } }),
    });
    assert.equal(answer.status, 202);
  }
  assert.deepEqual(
    stored.map(({ event }) => [event.attributes.specversion, event.data.toString()]),
    [
      ['1.0', '{"a":1}'],
      ['0.3', '{"a":1}'],
    ],
  );
});

const post = { method: 'POST', headers: ce };
const refusals: [string, string, RequestInit, number, string | undefined][] = [
  ['no path', '/', post, 404, 'EVENTING_BROKER_NOT_FOUND'],
  ['half a path', '/default', post, 400, 'EVENTING_PATH_INVALID'],
  ['too long a path', '/default/main/more', post, 400, 'EVENTING_PATH_INVALID'],
  ['an empty segment', '//main', post, 400, 'EVENTING_PATH_INVALID'],
  ['an unknown broker', '/default/other', post, 404, 'EVENTING_BROKER_NOT_FOUND'],
  ['another namespace', '/other/main', post, 404, 'EVENTING_BROKER_NOT_FOUND'],
  ['a broker not known yet', '/default/starting', post, 503, 'EVENTING_STARTING'],
  ['GET', '/default/main', { method: 'GET' }, 405, 'EVENTING_METHOD_NOT_ALLOWED'],
  ['PUT', '/default/main', { ...post, method: 'PUT' }, 405, 'EVENTING_METHOD_NOT_ALLOWED'],
  ['no event', '/default/main', { method: 'POST', body: 'hello' }, 400, 'EVENTING_EVENT_INVALID'],
  [
    'a batch',
    '/default/main',
    { method: 'POST', headers: { 'content-type': 'application/cloudevents-batch+json' }, body: '[]' },
    400,
    'EVENTING_EVENT_INVALID',
  ],
  [
    'a used up TTL',
    '/default/main',
    { ...post, headers: { ...ce, 'ce-knativebrokerttl': '1' } },
    400,
    'EVENTING_EVENT_EXPIRED',
  ],
  [
    'a negative TTL',
    '/default/main',
    { ...post, headers: { ...ce, 'ce-knativebrokerttl': '-3' } },
    400,
    'EVENTING_EVENT_EXPIRED',
  ],
  [
    'a full disk',
    '/default/main',
    { ...post, headers: { ...ce, 'ce-fail': 'full' } },
    503,
    'EVENTING_LOG_FULL',
  ],
  ['a fault of our own', '/default/main', { ...post, headers: { ...ce, 'ce-fail': 'bug' } }, 500, undefined],
  ['too large', '/default/main', { ...post, body: 'x'.repeat(2001) }, 413, 'EVENTING_EVENT_TOO_LARGE'],
];
for (const [what, path, init, status, code] of refusals) {
  test(`${what}: ${status}`, async () => {
    await using started = await start({ maxEventBytes: 2000 });
    const { url, stored } = started;
    const answer = await fetch(url + path, init);
    assert.equal(answer.status, status);
    const body = (await answer.json()) as { code?: string; message: string; remedy?: string };
    assert.equal(body.code, code);
    assert.ok(body.message.length > 0);
    assert.ok(!body.message.includes('secret detail'));
    assert.equal(body.remedy !== undefined, code !== undefined);
    assert.equal(answer.headers.has('retry-after'), status === 503);
    assert.equal(stored.length, 0);
  });
}

test('a TTL counts down, one that cannot be read starts anew', async () => {
  await using started = await start();
  const { url, stored } = started;
  for (const ttl of ['2', 'many']) {
    await fetch(`${url}/default/main`, { ...post, headers: { ...ce, 'ce-knativebrokerttl': ttl } });
  }
  assert.deepEqual(
    stored.map(({ event }) => event.attributes['knativebrokerttl']),
    [1, 255],
  );
});

test('OPTIONS and probes are answered', async () => {
  await using started = await start();
  const { url } = started;
  const options = await fetch(`${url}/default/main`, { method: 'OPTIONS' });
  assert.equal(options.status, 200);
  assert.equal(options.headers.get('allow'), 'POST, OPTIONS');
  assert.equal(options.headers.get('webhook-allowed-origin'), '*');
  const probe = await fetch(`${url}/healthz`, { headers: { 'user-agent': 'kube-probe/1.30' } });
  assert.equal(probe.status, 200);
});

/** Sends raw bytes and resolves with all that comes back until the server closes. */
function raw(ingress: Ingress, ...parts: string[]): Promise<string> {
  return new Promise((resolve) => {
    const { host, port } = ingress.address;
    const socket = connect(port, host);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
    for (const part of parts) socket.write(part);
  });
}

const head = `POST /default/main HTTP/1.1\r\nhost: x\r\n${Object.entries(ce)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('')}`;

test('a body without a length is cut off at the limit', async () => {
  await using started = await start({ maxEventBytes: 2000 });
  const { ingress, stored } = started;
  const chunk = `3e8\r\n${'x'.repeat(1000)}\r\n`;
  const answer = await raw(ingress, `${head}transfer-encoding: chunked\r\n\r\n`, chunk, chunk, chunk);
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /connection: close/i);
  assert.equal(stored.length, 0);
});

test('a sender that stops in the middle is cut off in time, and nothing is stored', async () => {
  await using started = await start({ receiveTimeoutMs: 200 });
  const { ingress, stored } = started;
  assert.match(await raw(ingress, `${head}content-length: 100\r\n\r\nhalf`), /^HTTP\/1\.1 408 /);
  assert.match(await raw(ingress, head), /^HTTP\/1\.1 408 /);
  assert.equal(stored.length, 0);
});

test('bytes that are being received are bounded over all senders', async () => {
  await using started = await start({ maxReceivingBytes: 1000, receiveTimeoutMs: 2000 });
  const { ingress, url, stored } = started;
  const holding = raw(ingress, `${head}content-length: 1000\r\n\r\n`, 'x'.repeat(900));
  // The held bytes arrive when they arrive; until then events get through.
  const refused = await waitFor('a refusal', async () => {
    const answer = await fetch(`${url}/default/main`, { ...post, body: 'y'.repeat(200) });
    return answer.status === 503 && answer;
  });
  assert.equal(((await refused.json()) as { code: string }).code, 'EVENTING_INGRESS_BUSY');
  await holding;
  const before = stored.length;
  assert.equal((await fetch(`${url}/default/main`, { ...post, body: 'y'.repeat(200) })).status, 202);
  assert.equal(stored.length, before + 1);
});
