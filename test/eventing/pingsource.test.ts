/** PingSource, from its object to the sink. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokers } from '../../src/api/eventing/broker.ts';
import { triggers } from '../../src/api/eventing/trigger.ts';
import { pingSources, type PingSource } from '../../src/api/sources/pingsource.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { startTestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';
import { startPlatform, startSubscriber, temporaryDirectory } from './support.ts';

const namespace = 'default';

function createPing(
  client: Client,
  spec: NonNullable<PingSource['spec']>,
  name = 'ping',
): Promise<PingSource> {
  return client.create(pingSources, {
    apiVersion: 'sources.knative.dev/v1',
    kind: 'PingSource',
    metadata: { name, namespace },
    spec,
  });
}

function pingWith(client: Client, status: string): Promise<PingSource> {
  return waitFor(`ping source Ready=${status}`, async () => {
    const source = await client.get(pingSources, { namespace, name: 'ping' });
    const ready = source.status?.conditions?.find(({ type }) => type === 'Ready');
    return (
      ready?.status === status && source.status?.observedGeneration === source.metadata.generation && source
    );
  });
}

test('fires each second through a broker to a trigger', async () => {
  await using directory = await temporaryDirectory();
  await using subscriber = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createPing(client, {
    schedule: '* * * * * *',
    contentType: 'application/json',
    data: '{"hello":"ping"}',
    sink: { ref: { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', name: 'main' } },
    ceOverrides: { extensions: { team: 'blue' } },
  });
  const waiting = await pingWith(client, 'False');
  assert.equal(waiting.status?.conditions?.find(({ type }) => type === 'SinkProvided')?.status, 'False');
  await client.create(brokers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Broker',
    metadata: { name: 'main', namespace },
  });
  await client.create(triggers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: { name: 't', namespace },
    spec: { broker: 'main', filter: { attributes: { team: 'blue' } }, subscriber: { uri: subscriber.url } },
  });
  const source = await pingWith(client, 'True');
  assert.equal(
    source.status?.sinkUri,
    'http://broker-ingress.knative-eventing.svc.cluster.local/default/main',
  );
  assert.deepEqual(source.status?.ceAttributes, [
    { type: 'dev.knative.sources.ping', source: '/apis/v1/namespaces/default/pingsources/ping' },
  ]);
  await waitFor('two firings', () => subscriber.received.length >= 2);
  const [first, second] = subscriber.received;
  assert.equal(first?.headers['ce-type'], 'dev.knative.sources.ping');
  assert.equal(first?.headers['ce-source'], '/apis/v1/namespaces/default/pingsources/ping');
  assert.equal(first?.headers['ce-team'], 'blue');
  assert.equal(first?.headers['content-type'], 'application/json');
  assert.equal(first?.body, '{"hello":"ping"}');
  assert.notEqual(first?.headers['ce-id'], second?.headers['ce-id']);
  const times = [first, second].map((request) => Date.parse(String(request?.headers['ce-time'])));
  const apart = (times[1] ?? 0) - (times[0] ?? 0);
  assert.ok(apart > 500 && apart < 5000, `${apart} ms apart`);

  await client.delete(pingSources, { namespace, name: 'ping' });
  await waitFor('no more firings', async () => {
    const before = subscriber.received.length;
    await new Promise((resolve) => setTimeout(resolve, 1300));
    return subscriber.received.length === before;
  });
});

test('what fired while the sink was down is delivered after a restart', async () => {
  await using directory = await temporaryDirectory();
  const api = await startTestApi();
  let open = false;
  await using sink = await startSubscriber((_request, response) => {
    response.writeHead(open ? 200 : 503).end();
  });
  const first = await startPlatform({ dataDir: directory.path, api });
  const source = await createPing(first.client, {
    schedule: '* * * * * *',
    dataBase64: Buffer.from('bytes').toString('base64'),
    contentType: 'text/plain',
    sink: { uri: sink.url },
  });
  const [refused] = await waitFor('a refused firing', () => sink.received.length > 0 && [...sink.received]);
  // Fires no more, so that only what was stored can come.
  await first.client.update(pingSources, {
    ...(await first.client.get(pingSources, { namespace, name: 'ping' })),
    spec: { ...source.spec, schedule: '0 0 1 1 *' },
  });
  await pingWith(first.client, 'True');
  await first.stop();
  sink.received.length = 0;
  open = true;
  await using second = await startPlatform({ dataDir: directory.path, api });
  await waitFor('the refused firing again', () =>
    sink.received.some((request) => request.headers['ce-id'] === refused?.headers['ce-id']),
  );
  assert.equal(sink.received[0]?.body, 'bytes');
  assert.ok(second.ingress.startsWith('http://'));
  await api.close();
});
