/** Broker, Trigger and their data path, from the API object to the subscriber. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokers, type Broker } from '../../src/api/eventing/broker.ts';
import { triggers, type Trigger } from '../../src/api/eventing/trigger.ts';
import { services } from '../../src/api/kubernetes/index.ts';
import { knativeServices, type KnativeService } from '../../src/api/serving/index.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { startTestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';
import { startPlatform, startSubscriber, temporaryDirectory } from './support.ts';

const namespace = 'default';

async function createBroker(client: Client, spec: Broker['spec'] = {}, name = 'main'): Promise<Broker> {
  return client.create(brokers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Broker',
    metadata: { name, namespace },
    spec,
  });
}

async function createTrigger(
  client: Client,
  name: string,
  spec: Partial<NonNullable<Trigger['spec']>>,
): Promise<Trigger> {
  return client.create(triggers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: { name, namespace },
    spec: { broker: 'main', subscriber: {}, ...spec },
  });
}

function ready(object: Broker | Trigger, type = 'Ready'): string | undefined {
  return object.status?.conditions?.find((condition) => condition.type === type)?.status;
}

async function brokerReady(client: Client, name = 'main'): Promise<Broker> {
  return waitFor(`broker ${name} Ready`, async () => {
    const broker = await client.get(brokers, { namespace, name });
    return ready(broker) === 'True' && broker;
  });
}

async function triggerWith(client: Client, name: string, status: string, type = 'Ready'): Promise<Trigger> {
  return waitFor(`trigger ${name} ${type}=${status}`, async () => {
    const trigger = await client.get(triggers, { namespace, name });
    return (
      ready(trigger, type) === status &&
      trigger.status?.observedGeneration === trigger.metadata.generation &&
      trigger
    );
  });
}

test('an event goes through a broker to the subscribers whose filter wants it', async () => {
  await using directory = await temporaryDirectory();
  await using orders = await startSubscriber();
  await using everything = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client);
  const broker = await brokerReady(client);
  assert.equal(
    broker.status?.address?.url,
    'http://broker-ingress.knative-eventing.svc.cluster.local/default/main',
  );
  await createTrigger(client, 'orders', {
    filter: { attributes: { type: 'order', tenant: '' } },
    subscriber: { uri: `${orders.url}/in` },
  });
  await createTrigger(client, 'all', { subscriber: { uri: everything.url } });
  const trigger = await triggerWith(client, 'orders', 'True');
  await triggerWith(client, 'all', 'True');
  assert.equal(trigger.status?.subscriberUri, `${orders.url}/in`);
  assert.deepEqual(
    trigger.status?.conditions?.map(({ type, status }) => `${type}=${status}`),
    [
      'BrokerReady=True',
      'DeadLetterSinkResolved=True',
      'DependencyReady=True',
      'OIDCIdentityCreated=True',
      'Ready=True',
      'SubscriberResolved=True',
      'SubscriptionReady=True',
    ],
  );

  const headers = {
    'content-type': 'application/json',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  };
  assert.equal(
    (await platform.send('/default/main', { ...headers, 'ce-type': 'other' }, '{"n":1}')).status,
    202,
  );
  assert.equal(
    (await platform.send('/default/main', { ...headers, 'ce-type': 'order' }, '{"n":2}')).status,
    202,
  );
  const wanted = { ...headers, 'ce-type': 'order', 'ce-tenant': 'acme', 'ce-id': '3' };
  assert.equal((await platform.send('/default/main', wanted, '{"n":3}')).status, 202);

  await waitFor('three events at the second trigger', () => everything.received.length === 3);
  await waitFor('one event at the first trigger', () => orders.received.length === 1);
  const [got] = orders.received;
  assert.equal(got?.path, '/in');
  assert.equal(got?.body, '{"n":3}');
  assert.equal(got?.headers['ce-id'], '3');
  assert.equal(got?.headers['ce-tenant'], 'acme');
  assert.equal(got?.headers['content-type'], 'application/json');
  assert.equal(got?.headers['prefer'], 'reply');
  assert.equal(got?.headers['kn-namespace'], 'default');
  assert.equal(got?.headers['traceparent'], headers.traceparent);
  assert.equal(got?.headers['ce-knativebrokerttl'], undefined);
  assert.match(String(got?.headers['ce-knativearrivaltime']), /^\d{4}-.*Z$/);
});

test('an answer of a subscriber goes back through the broker, with a TTL that runs out', async () => {
  await using directory = await temporaryDirectory();
  await using echo = await startSubscriber((request, response) => {
    response.writeHead(200, {
      'ce-specversion': '1.0',
      'ce-id': String(request.headers['ce-id']),
      'ce-source': '/echo',
      'ce-type': 'echo',
    });
    response.end();
  });
  await using last = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client);
  await createTrigger(client, 'echo', {
    subscriber: { uri: echo.url },
    delivery: { deadLetterSink: { uri: last.url } },
  });
  await triggerWith(client, 'echo', 'True');
  // The trigger wants its own answers: a loop that only the TTL ends.
  await platform.send('/default/main', { 'ce-knativebrokerttl': '4' });
  await waitFor('the dead letter', () => last.received.length === 1);
  // 4 → stored with 3, answers with 2 and 1; the next answer is refused.
  assert.equal(echo.received.length, 3);
  assert.equal(last.received[0]?.headers['ce-knativeerrorcode'], '400');
  assert.equal(
    last.received[0]?.headers['ce-knativeerrordest'],
    'http://broker-ingress.knative-eventing.svc.cluster.local/default/main',
  );
});

test('what no subscriber takes goes to the dead letter sink of the broker', async () => {
  await using directory = await temporaryDirectory();
  await using broken = await startSubscriber((_request, response) => {
    response.writeHead(500).end('no luck');
  });
  await using letters = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client, {
    delivery: {
      retry: 2,
      backoffPolicy: 'linear',
      backoffDelay: 'PT0.01S',
      deadLetterSink: { uri: `${letters.url}/dead` },
    },
  });
  await createTrigger(client, 'broken', { subscriber: { uri: broken.url } });
  const trigger = await triggerWith(client, 'broken', 'True');
  assert.equal(trigger.status?.deadLetterSinkUri, `${letters.url}/dead`);
  await platform.send('/default/main', { 'ce-id': 'lost' }, 'data');
  const [letter] = await waitFor('the dead letter', () => letters.received.length > 0 && letters.received);
  assert.equal(broken.received.length, 3);
  assert.equal(letter?.body, 'data');
  assert.equal(letter?.headers['ce-id'], 'lost');
  assert.equal(letter?.headers['ce-knativeerrorcode'], '500');
  assert.equal(letter?.headers['ce-knativeerrordest'], `${broken.url}/`.replace(/\/$/, ''));
  assert.equal(Buffer.from(String(letter?.headers['ce-knativeerrordata']), 'base64').toString(), 'no luck');
});

test('a trigger finds its subscriber by reference, and waits for one that has no address', async () => {
  await using directory = await temporaryDirectory();
  let status = 200;
  await using subscriber = await startSubscriber((_request, response) => {
    response.writeHead(status).end();
  });
  await using platform = await startPlatform({
    dataDir: directory.path,
    resolveTransport: (url) =>
      url.hostname.endsWith('.svc.cluster.local') ? { host: '127.0.0.1', port: subscriber.port } : undefined,
  });
  const { client } = platform;
  await createBroker(client);
  await brokerReady(client);
  await createTrigger(client, 'hello', {
    subscriber: {
      ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'hello' },
      uri: '/events',
    },
  });
  const waiting = await triggerWith(client, 'hello', 'False');
  assert.equal(ready(waiting, 'SubscriberResolved'), 'False');
  assert.match(JSON.stringify(waiting.status?.conditions), /"hello\\?" not found|hello.*not found/);
  // The group exists: what comes now is delivered once the subscriber is there.
  assert.equal(ready(waiting, 'SubscriptionReady'), 'True');
  await platform.send('/default/main', { 'ce-id': 'early' });

  const service: KnativeService = {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'hello', namespace },
    spec: { template: { spec: { containers: [{ image: 'dev.local/hello' }] } } },
  };
  const created = await client.create(knativeServices, service);
  await client.update(
    knativeServices,
    { ...created, status: { address: { url: 'http://hello.default.svc.cluster.local' } } },
    { subresource: 'status' },
  );
  const trigger = await triggerWith(client, 'hello', 'True');
  assert.equal(trigger.status?.subscriberUri, 'http://hello.default.svc.cluster.local/events');
  const [got] = await waitFor('the early event', () => subscriber.received.length > 0 && subscriber.received);
  assert.equal(got?.headers['ce-id'], 'early');
  assert.equal(got?.headers.host, 'hello.default.svc.cluster.local');
  assert.equal(got?.path, '/events');

  // The same when an address goes and comes back.
  const setAddress = async (url: string | undefined): Promise<void> => {
    const current = await client.get(knativeServices, { namespace, name: 'hello' });
    const address = url === undefined ? {} : { address: { url } };
    await client.update(knativeServices, { ...current, status: address }, { subresource: 'status' });
  };
  status = 503;
  await platform.send('/default/main', { 'ce-id': 'refused' });
  await waitFor('an attempt', () => subscriber.received.length > 1);
  await setAddress(undefined);
  await triggerWith(client, 'hello', 'False');
  await platform.send('/default/main', { 'ce-id': 'meanwhile' });
  status = 200;
  subscriber.received.length = 0;
  await setAddress('http://hello.default.svc.cluster.local');
  await waitFor('both events', () =>
    ['refused', 'meanwhile'].every((id) => subscriber.received.some((r) => r.headers['ce-id'] === id)),
  );
});

test('a core Service is a subscriber by its name in the cluster', async () => {
  await using directory = await temporaryDirectory();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client);
  await client.create(services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'plain', namespace },
    spec: { ports: [{ port: 80 }], selector: { app: 'plain' } },
  });
  await createTrigger(client, 'plain', {
    subscriber: { ref: { apiVersion: 'v1', kind: 'Service', name: 'plain' } },
  });
  const trigger = await triggerWith(client, 'plain', 'True');
  assert.equal(trigger.status?.subscriberUri, 'http://plain.default.svc.cluster.local');
});

test('events that were accepted before a stop are delivered after the next start', async () => {
  await using directory = await temporaryDirectory();
  const api = await startTestApi();
  let open = false;
  await using subscriber = await startSubscriber((_request, response) => {
    response.writeHead(open ? 200 : 503).end();
  });
  const first = await startPlatform({ dataDir: directory.path, api });
  await createBroker(first.client);
  await createTrigger(first.client, 'slow', { subscriber: { uri: subscriber.url } });
  await triggerWith(first.client, 'slow', 'True');
  for (let i = 0; i < 20; i++) await first.send('/default/main', { 'ce-id': `e${i}` });
  await waitFor('a first attempt', () => subscriber.received.length > 0);
  await first.stop();

  open = true;
  subscriber.received.length = 0;
  await using second = await startPlatform({ dataDir: directory.path, api });
  await waitFor('all events', () => new Set(subscriber.received.map((r) => r.headers['ce-id'])).size === 20);
  assert.equal((await second.send('/default/main')).status, 202);
});

test('a changed subscriber and filter hold for the events that are under way', async () => {
  await using directory = await temporaryDirectory();
  await using wrong = await startSubscriber((_request, response) => {
    response.writeHead(503).end();
  });
  await using right = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client, { delivery: { retry: 200, backoffPolicy: 'linear', backoffDelay: 'PT0.001S' } });
  await createTrigger(client, 'move', { subscriber: { uri: wrong.url } });
  const trigger = await triggerWith(client, 'move', 'True');
  await platform.send('/default/main', { 'ce-id': 'under-way' });
  await waitFor('an attempt', () => wrong.received.length > 0);
  await client.update(triggers, {
    ...trigger,
    spec: { ...trigger.spec, subscriber: { uri: right.url }, filter: { attributes: { kind: 'a' } } },
  });
  await waitFor('the event at the new subscriber', () => right.received[0]?.headers['ce-id'] === 'under-way');
  await triggerWith(client, 'move', 'True');
  await platform.send('/default/main', { 'ce-id': 'unwanted' });
  await platform.send('/default/main', { 'ce-id': 'wanted', 'ce-kind': 'a' });
  await waitFor('the wanted event', () => right.received.some((r) => r.headers['ce-id'] === 'wanted'));
  assert.deepEqual(
    right.received.map((r) => r.headers['ce-id']),
    ['under-way', 'wanted'],
  );
});

test('a new trigger starts with new events, a deleted broker refuses them', async () => {
  await using directory = await temporaryDirectory();
  await using subscriber = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  assert.equal((await platform.send('/default/main')).status, 404);
  await createBroker(client);
  await brokerReady(client);
  await platform.send('/default/main', { 'ce-id': 'before' });
  await createTrigger(client, 'late', { subscriber: { uri: subscriber.url } });
  await triggerWith(client, 'late', 'True');
  await platform.send('/default/main', { 'ce-id': 'after' });
  await waitFor('the event', () => subscriber.received.length === 1);
  assert.equal(subscriber.received[0]?.headers['ce-id'], 'after');

  await client.delete(brokers, { namespace, name: 'main' });
  await waitFor('a refusal', async () => (await platform.send('/default/main')).status === 404);
  const orphan = await triggerWith(client, 'late', 'False');
  assert.equal(ready(orphan, 'BrokerReady'), 'False');
  // The next broker of that name is another broker.
  await createBroker(client);
  await triggerWith(client, 'late', 'True');
  await platform.send('/default/main', { 'ce-id': 'again' });
  await waitFor('the event', () => subscriber.received.some((r) => r.headers['ce-id'] === 'again'));
});

test('a deleted trigger gets nothing more, and its successor of the same name starts anew', async () => {
  await using directory = await temporaryDirectory();
  await using subscriber = await startSubscriber();
  await using witness = await startSubscriber();
  await using platform = await startPlatform({ dataDir: directory.path });
  const { client } = platform;
  await createBroker(client);
  await createTrigger(client, 'short', { subscriber: { uri: subscriber.url } });
  await createTrigger(client, 'witness', { subscriber: { uri: witness.url } });
  await triggerWith(client, 'short', 'True');
  await triggerWith(client, 'witness', 'True');
  await client.delete(triggers, { namespace, name: 'short' });
  await waitFor('no delivery to the deleted trigger', async () => {
    const before = subscriber.received.length;
    const seen = witness.received.length;
    await platform.send('/default/main');
    await waitFor('the witness', () => witness.received.length > seen);
    return subscriber.received.length === before;
  });
  const count = subscriber.received.length;
  await createTrigger(client, 'short', { subscriber: { uri: subscriber.url } });
  await triggerWith(client, 'short', 'True');
  await platform.send('/default/main', { 'ce-id': 'fresh' });
  await waitFor('the fresh event', () => subscriber.received.length > count);
  assert.equal(subscriber.received.at(-1)?.headers['ce-id'], 'fresh');
});
