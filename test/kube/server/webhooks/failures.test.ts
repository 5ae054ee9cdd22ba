/** Webhooks that do not answer as they should, and objects that change while they are asked. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { configMaps, services } from '../../../../src/api/kubernetes/index.ts';
import { hasReason } from '../../../../src/kube/api-error.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { at, configMap, fails, user } from '../../service/support.ts';
import {
  configMapRule,
  configure,
  hook,
  patch,
  startTestWebhook,
  unconfigure,
  type Reaction,
  type TestWebhook,
} from './support.ts';

describe('admission webhooks that fail', () => {
  let api: TestApi;
  let webhook: TestWebhook;
  before(async () => {
    api = await startTestApi();
    webhook = await startTestWebhook();
  });
  afterEach(async () => {
    await unconfigure(api);
    webhook.asked.length = 0;
    webhook.react = () => ({ allowed: true });
  });
  after(async () => {
    await api.close();
    await webhook.close();
  });

  const create = (name: string, data?: Record<string, string>) =>
    api.service.create(configMaps, 'default', configMap(name, data), { user });
  const head = 'Internal error occurred: failed calling webhook "a.example.com": ';

  const huge = 9 * 1024 * 1024;
  const answers: [string, Reaction, string | RegExp][] = [
    [
      'answers 500',
      { raw: 'boom', status: 500 },
      'failed to call webhook: an error on the server ("boom") has prevented the request from succeeding',
    ],
    [
      'answers 404',
      { raw: '', status: 404 },
      'failed to call webhook: the server could not find the requested resource',
    ],
    [
      'redirects',
      { raw: '', status: 302 },
      /failed to call webhook: the server responded with the status code 302/,
    ],
    [
      'answers garbage',
      { raw: 'garbage' },
      /failed to call webhook: couldn't get version\/kind; json parse error: /,
    ],
    [
      'answers with nothing in it',
      { raw: '{}' },
      'received invalid webhook response: webhook response was absent',
    ],
    ['answers with null', { raw: 'null' }, 'received invalid webhook response: webhook response was absent'],
    [
      'answers another question',
      { allowed: true, uid: 'other' },
      /^received invalid webhook response: expected response\.uid="[0-9a-f-]{36}", got "other"$/,
    ],
    [
      'answers too much',
      { allowed: true, warnings: ['x'.repeat(huge)] },
      'failed to call webhook: the answer is larger than 8388608 bytes',
    ],
    [
      'hangs up in the middle',
      (response) => {
        response.writeHead(200, { 'content-length': 1000 });
        response.write('{');
        setImmediate(() => response.destroy());
      },
      /^failed to call webhook: Post ".*": /,
    ],
    [
      'patches without being asked to',
      { allowed: true, ...patch({ op: 'add', path: '/data', value: {} }) },
      'received invalid webhook response: validating webhook may not return response.patch',
    ],
  ];
  for (const [what, reaction, message] of answers) {
    it(`one that ${what} refuses the write, or is ignored where that is its policy`, async () => {
      webhook.react = () => reaction;
      await configure(api, 'validating', 'v', hook(webhook, 'a'));
      const wanted = typeof message === 'string' ? `${head}${message}` : undefined;
      const error = await fails(
        create('strict'),
        500,
        'InternalError',
        wanted ?? /^Internal error occurred: /,
      );
      if (typeof message !== 'string') assert.match(error.message.slice(head.length), message);
      await configure(api, 'validating', 'v', hook(webhook, 'a', { failurePolicy: 'Ignore' }));
      const name = `lenient-${what.replaceAll(' ', '-')}`;
      const notes: string[] = [];
      const annotate = (key: string): number => notes.push(key);
      await api.service.create(configMaps, 'default', configMap(name), { user, annotate });
      assert.deepEqual(notes, ['failed-open.validating.webhook.admission.k8s.io/round_0_index_0']);
    });
  }

  const badPatches: [string, object, RegExp][] = [
    ['does not apply', patch({ op: 'remove', path: '/spec' }), /^Unable to remove|nonexistent key: spec/],
    ['is no patch', patch({ op: 'explode', path: '/' }), /explode/],
    ['makes it another kind of thing', patch({ op: 'replace', path: '/kind', value: 'Secret' }), /Secret/],
    ['breaks a type', patch({ op: 'add', path: '/data', value: 7 }), /cannot unmarshal/],
    ['reaches for the prototype', patch({ op: 'add', path: '/__proto__/x', value: 1 }), /not allowed/],
  ];
  for (const [what, response, message] of badPatches) {
    it(`a patch that ${what} refuses the write, whatever the failure policy`, async () => {
      webhook.react = () => ({ allowed: true, ...response });
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { failurePolicy: 'Ignore' }));
      const error = await fails(create('patched'), 500, 'InternalError', /^Internal error occurred: /);
      assert.match(error.message, message);
    });
  }

  it('a patch of an unknown type, or without one, is an invalid answer', async () => {
    await configure(api, 'mutating', 'm', hook(webhook, 'a'));
    const { patch: encoded } = patch({ op: 'add', path: '/data', value: {} });
    for (const [response, message] of [
      [{ patch: encoded }, 'webhook returned response.patch but not response.patchType'],
      [{ patchType: 'JSONPatch' }, 'webhook returned response.patchType but not response.patch'],
      [{ patch: encoded, patchType: 'Merge' }, 'unsupported patch type "Merge"'],
    ] as const) {
      webhook.react = () => ({ allowed: true, ...response });
      const why = `${head}received invalid webhook response: ${message}`;
      await fails(create('typed'), 500, 'InternalError', why);
    }
  });

  it('one that nobody serves refuses the connection', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    await configure(api, 'validating', 'v', hook({ ...webhook, port }, 'a'));
    await fails(
      create('refused'),
      500,
      'InternalError',
      `${head}failed to call webhook: Post "https://127.0.0.1:${port}/?timeout=10s": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    );
  });

  it('one that hangs is given up after its timeout', async () => {
    webhook.react = () => () => undefined;
    await configure(api, 'validating', 'v', hook(webhook, 'a', { timeoutSeconds: 1 }));
    const before = performance.now();
    await fails(
      create('hung'),
      500,
      'InternalError',
      `${head}failed to call webhook: Post "https://127.0.0.1:${webhook.port}/?timeout=1s": context deadline exceeded`,
    );
    assert.ok(performance.now() - before >= 990);
  });

  it('one with a certificate of somebody else is not believed', async () => {
    const other = await startTestWebhook();
    try {
      await configure(api, 'validating', 'v', hook({ ...webhook, caBundle: other.caBundle }, 'a'));
      const why = 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
      const error = await fails(create('untrusted'), 500, 'InternalError', /^Internal error occurred: /);
      assert.ok(error.message.endsWith(why), error.message);
      assert.equal(webhook.asked.length, 0);
    } finally {
      await other.close();
    }
  });

  it('one with a certificate for another name is not believed', async () => {
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'wrong-name', namespace: 'default' },
      spec: { type: 'ExternalName', externalName: '127.0.0.1' },
    };
    await api.client.create(services, service);
    const clientConfig = {
      service: { namespace: 'default', name: 'wrong-name', port: webhook.port },
      caBundle: webhook.caBundle,
    };
    await configure(api, 'validating', 'v', hook(webhook, 'a', { clientConfig }));
    await fails(
      create('misnamed'),
      500,
      'InternalError',
      /x509: certificate is not valid for wrong-name\.default\.svc$/,
    );
  });

  it('of several that refuse, the first in order is reported', async () => {
    await configure(
      api,
      'validating',
      'v',
      hook(webhook, 'a', { path: '/a' }),
      hook(webhook, 'b', { path: '/b' }),
    );
    const late = Promise.withResolvers<Reaction>();
    webhook.react = (_request, path) => {
      if (path.startsWith('/a')) return late.promise;
      late.resolve({ allowed: false, status: { message: 'first' } });
      return { allowed: false, status: { message: 'second' } };
    };
    await fails(create('several'), 400, '', 'admission webhook "a.example.com" denied the request: first');
  });
});

describe('objects that change while a webhook is asked', () => {
  let api: TestApi;
  let webhook: TestWebhook;
  before(async () => {
    api = await startTestApi();
    webhook = await startTestWebhook();
    await configure(
      api,
      'validating',
      'v',
      hook(webhook, 'a', { objectSelector: { matchLabels: { slow: 'yes' } } }),
    );
  });
  after(async () => {
    await api.close();
    await webhook.close();
  });

  /** Answers the first question only after `meanwhile` has happened. */
  function meanwhile(action: () => Promise<unknown>): void {
    let first = true;
    webhook.asked.length = 0;
    webhook.react = async () => {
      if (first) {
        first = false;
        await action();
      }
      return { allowed: true };
    };
  }

  const slow = { labels: { slow: 'yes' } };
  const change = (name: string, data: Record<string, string | null>, labels: object = {}) =>
    api.service.patch(configMaps, at(name), { type: 'merge', body: { metadata: labels, data } }, { user });
  const stored = async (name: string): Promise<unknown> => {
    const { object } = await api.service.get(configMaps, at(name));
    return (object as typeof object & { data?: unknown }).data;
  };

  it('a patch starts again from what is there by then', async () => {
    webhook.react = () => ({ allowed: true });
    await api.service.create(configMaps, 'default', configMap('patched', { a: '1' }, slow), { user });
    let other: Promise<unknown> | undefined;
    meanwhile(async () => {
      // This write asks the webhook, too: its own question is answered at once.
      other = change('patched', { b: '2' });
      await other;
    });
    await change('patched', { c: '3' });
    await other;
    assert.deepEqual(await stored('patched'), { a: '1', b: '2', c: '3' });
    assert.deepEqual(
      webhook.asked.map(({ request }) => request.object?.['data']),
      [
        { a: '1', c: '3' },
        { a: '1', b: '2' },
        { a: '1', b: '2', c: '3' },
      ],
    );
  });

  it('an update of a version that has gone is a conflict', async () => {
    webhook.react = () => ({ allowed: true });
    const { object } = await api.service.create(configMaps, 'default', configMap('updated', {}, slow), {
      user,
    });
    meanwhile(() => change('updated', { other: 'x' }));
    const mine = { ...structuredClone(object), data: { mine: 'x' } };
    await fails(
      api.service.update(configMaps, at('updated'), mine, { user }),
      409,
      'Conflict',
      /the object has been modified/,
    );
    assert.deepEqual(await stored('updated'), { other: 'x' });
  });

  it('of two creations of one name one succeeds', async () => {
    const body = configMap('twice', {}, slow);
    const make = () => api.service.create(configMaps, 'default', body, { user });
    meanwhile(make);
    await fails(make(), 409, 'AlreadyExists', 'configmaps "twice" already exists');
  });

  it('a deletion asks about the object that it deletes', async () => {
    webhook.react = () => ({ allowed: true });
    await api.service.create(configMaps, 'default', configMap('deleted', { a: '1' }, slow), { user });
    meanwhile(() => change('deleted', { a: '2' }));
    await api.service.delete(configMaps, at('deleted'), { user });
    assert.deepEqual(
      webhook.asked
        .filter(({ request }) => request.operation === 'DELETE')
        .map(({ request }) => request.oldObject?.['data']),
      [{ a: '1' }, { a: '2' }],
    );
  });

  it('an object that goes meanwhile is not found', async () => {
    webhook.react = () => ({ allowed: true });
    await api.service.create(configMaps, 'default', configMap('going', { a: '1' }, slow), { user });
    meanwhile(() => api.service.delete(configMaps, at('going'), { user }));
    await fails(change('going', { b: '2' }), 404, 'NotFound', 'configmaps "going" not found');
  });

  it('no write is lost between many writers', async () => {
    webhook.react = () => ({ allowed: true });
    await api.service.create(configMaps, 'default', configMap('busy', {}, slow), { user });
    const writers = Array.from({ length: 12 }, async (_, i) => {
      for (;;) {
        try {
          return await change('busy', { [`w${i}`]: 'x' });
        } catch (error) {
          // After five attempts the client is told to try again.
          if (!hasReason(error, 'Conflict')) throw error;
        }
      }
    });
    await Promise.all(writers);
    assert.equal(Object.keys((await stored('busy')) as object).length, 12);
  });
});

describe('webhooks that are not concerned', () => {
  it('cost no turn of the event loop', async () => {
    const api = await startTestApi();
    const webhook = await startTestWebhook();
    try {
      const rules = [{ ...configMapRule, resources: ['secrets'] }];
      await configure(api, 'validating', 'v', hook(webhook, 'a', { rules }));
      const write = api.service.create(configMaps, 'default', configMap('sync'), { user });
      // In the store's hands before anything else has run.
      assert.ok(api.store.table('configmaps').get('default/sync'));
      await write;
      assert.equal(webhook.asked.length, 0);
    } finally {
      await api.close();
      await webhook.close();
    }
  });
});
