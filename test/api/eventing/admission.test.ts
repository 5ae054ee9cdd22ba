/** Defaults, refusals and their wording, through the real API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { brokers } from '../../../src/api/eventing/broker.ts';
import { triggers } from '../../../src/api/eventing/trigger.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

const namespace = 'default';
let api: TestApi;
before(async () => {
  api = await startTestApi({ user: 'alice' });
});
after(() => api.close());

const denied =
  'admission webhook "validation.webhook.eventing.knative.dev" denied the request: validation failed: ';

type Members = { [key: string]: unknown };

function broker(name: string, spec: Members = {}, annotations?: Record<string, string>): never {
  const metadata = { name, namespace, ...(annotations && { annotations }) };
  // Clients send anything: the types must not stand in the way of what is tested.
  return { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', metadata, spec } as unknown as never;
}

function trigger(name: string, spec: Members, annotations?: Record<string, string>): never {
  const metadata = { name, namespace, ...(annotations && { annotations }) };
  return { apiVersion: 'eventing.knative.dev/v1', kind: 'Trigger', metadata, spec } as unknown as never;
}

async function refusal(write: Promise<unknown>): Promise<string> {
  try {
    await write;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.reason, 'BadRequest');
    assert.ok(error.message.startsWith(denied), error.message);
    return error.message.slice(denied.length);
  }
  return assert.fail('was not refused');
}

const uri = 'http://example.com/in';
const subscriber = { uri };

test('a broker gets its class and its user', async () => {
  const created = await api.client.create(brokers, broker('plain'));
  assert.deepEqual(created.metadata.annotations, {
    'eventing.knative.dev/broker.class': 'MTChannelBasedBroker',
    'eventing.knative.dev/creator': 'alice',
    'eventing.knative.dev/lastModifier': 'alice',
  });
});

test('a trigger gets the label of its broker, an empty filter, and namespaces in its references', async () => {
  const ref = { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'hello' };
  const created = await api.client.create(
    triggers,
    trigger('plain', { broker: 'main', subscriber: { ref } }),
  );
  assert.equal(created.metadata.labels?.['eventing.knative.dev/broker'], 'main');
  assert.deepEqual(created.spec?.filter, {});
  assert.equal(created.spec?.subscriber.ref?.namespace, namespace);
});

test('what a broker may not change', async () => {
  const config = { apiVersion: 'v1', kind: 'ConfigMap', name: 'a' };
  const created = await api.client.create(brokers, broker('fixed', { config }));
  const classChanged = structuredClone(created);
  classChanged.metadata.annotations = { 'eventing.knative.dev/broker.class': 'Kafka' };
  assert.match(
    await refusal(api.client.update(brokers, classChanged)),
    /Immutable annotations changed \(-old \+new\): annotations\n\{string\}:\n\t-: "MTChannelBasedBroker"\n\t\+: "Kafka"/,
  );
  const configChanged = structuredClone(created);
  configChanged.spec = { config: { ...config, name: 'b' } };
  assert.match(
    await refusal(api.client.update(brokers, configChanged)),
    /^Immutable fields changed \(-old \+new\): spec\n/,
  );
  const deliveryChanged = structuredClone(created);
  deliveryChanged.spec = { ...created.spec, delivery: { retry: 1 } };
  assert.equal((await api.client.update(brokers, deliveryChanged)).spec?.delivery?.retry, 1);
});

test('a trigger stays with its broker', async () => {
  const created = await api.client.create(triggers, trigger('moving', { broker: 'main', subscriber }));
  const moved = structuredClone(created);
  if (moved.spec) moved.spec.broker = 'other';
  assert.equal(
    await refusal(api.client.update(triggers, moved)),
    'Immutable fields changed (-old +new): spec.broker\n{string}:\n\t-: "main"\n\t+: "other"',
  );
});

const brokerRefusals: [string, Members, string][] = [
  [
    'config without a name',
    { config: { apiVersion: 'v1', kind: 'ConfigMap' } },
    'missing field(s): spec.config.name',
  ],
  ['negative retry', { delivery: { retry: -1 } }, 'invalid value: -1: spec.delivery.retry'],
  [
    'unknown policy',
    { delivery: { backoffPolicy: 'random' } },
    'invalid value: random: spec.delivery.backoffPolicy',
  ],
  ['a Go duration', { delivery: { backoffDelay: '1s' } }, 'invalid value: 1s: spec.delivery.backoffDelay'],
  ['no time at all', { delivery: { timeout: 'PT0S' } }, 'invalid value: PT0S: spec.delivery.timeout'],
  ['unknown format', { delivery: { format: 'avro' } }, 'invalid value: avro: spec.delivery.format'],
  [
    'an empty sink',
    { delivery: { deadLetterSink: {} } },
    'expected at least one, got none: spec.delivery.deadLetterSink.ref, spec.delivery.deadLetterSink.uri',
  ],
];
for (const [what, spec, message] of brokerRefusals) {
  test(`broker refused: ${what}`, async () => {
    assert.equal(await refusal(api.client.create(brokers, broker('refused', spec))), message);
  });
}

const nameRule = 'Attribute name must start with a letter and can only contain lowercase alphanumeric';
const ref = { apiVersion: 'v1', kind: 'Service', name: 's' };
const triggerRefusals: [string, Members, string | RegExp][] = [
  ['no broker', { subscriber }, 'missing field(s): spec.broker'],
  [
    'nothing in the subscriber',
    { broker: 'b', subscriber: {} },
    'expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri',
  ],
  [
    'ref and absolute uri',
    { broker: 'b', subscriber: { ref, uri } },
    'Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present: spec.subscriber.ref, spec.subscriber.uri',
  ],
  [
    'relative uri alone',
    { broker: 'b', subscriber: { uri: '/in' } },
    'invalid value: Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent: spec.subscriber.uri',
  ],
  [
    'half a ref',
    { broker: 'b', subscriber: { ref: { kind: 'Service' } } },
    'missing field(s): spec.subscriber.ref.apiVersion, spec.subscriber.ref.name',
  ],
  [
    'a bad attribute name',
    { broker: 'b', subscriber, filter: { attributes: { My_Type: 'x' } } },
    `invalid key name "My_Type": spec.filter.attributes\n${nameRule}`,
  ],
  [
    'a bad attribute name deep inside',
    { broker: 'b', subscriber, filters: [{ not: { any: [{ exact: { X: 'x' } }] } }] },
    `invalid key name "X": spec.filters[0].not.any[0].exact\n${nameRule}`,
  ],
  [
    'two dialects',
    { broker: 'b', subscriber, filters: [{ exact: { a: 'x' }, prefix: { a: 'x' } }] },
    'multiple dialects found, filters can have only one dialect set: spec.filters[0]',
  ],
  [
    'CESQL',
    { broker: 'b', subscriber, filters: [{ cesql: "type = 'x'" }] },
    'CESQL filters are not supported: spec.filters[0].cesql\nKnapsack has the dialects exact, prefix, suffix, all, any and not',
  ],
  [
    'a number to match',
    { broker: 'b', subscriber, filters: [{ not: { exact: { a: 1 } } }] },
    'expected text: spec.filters[0].not.exact.a',
  ],
  [
    'an unknown dialect',
    { broker: 'b', subscriber, filters: [{ all: [{ regex: {} }] }] },
    'unknown filter dialect: spec.filters[0].all[0].regex',
  ],
];
for (const [what, spec, message] of triggerRefusals) {
  test(`trigger refused: ${what}`, async () => {
    const words = await refusal(api.client.create(triggers, trigger('refused', spec)));
    if (typeof message === 'string') assert.equal(words, message);
    else assert.match(words, message);
  });
}

test('filters that nest without end are refused', async () => {
  let filter: Members = { exact: { a: 'x' } };
  for (let i = 0; i < 50; i++) filter = { not: filter };
  const words = await refusal(
    api.client.create(triggers, trigger('deep', { broker: 'b', subscriber, filters: [filter] })),
  );
  assert.match(words, /^filters nest deeper than 32: /);
});

test('annotations of a trigger', async () => {
  const create = (annotations: Record<string, string>): Promise<unknown> =>
    api.client.create(triggers, trigger('annotated', { broker: 'default', subscriber }, annotations));
  assert.match(
    await refusal(create({ 'knative.dev/dependency': 'x' })),
    /^The provided annotation was not a corev1\.ObjectReference: "x": metadata\.annotations\[knative\.dev\/dependency\]/,
  );
  assert.equal(
    await refusal(create({ 'knative.dev/dependency': '{"kind":"PingSource","name":"p"}' })),
    'missing field(s): metadata.annotations[knative.dev/dependency].apiVersion',
  );
  assert.match(
    await refusal(create({ 'eventing.knative.dev/injection': 'yes' })),
    /^The provided injection annotation value can only be "enabled" or "disabled", not "yes": /,
  );
});

test('a status write needs no valid spec, and changes nothing but the status', async () => {
  const created = await api.client.create(triggers, trigger('status', { broker: 'main', subscriber }));
  const written = await api.client.update(
    triggers,
    { ...created, status: { subscriberUri: uri } },
    { subresource: 'status' },
  );
  assert.equal(written.status?.subscriberUri, uri);
  assert.equal(written.metadata.generation, created.metadata.generation);
});
