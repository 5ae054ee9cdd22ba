/** Requests over the real server: which schema and level they belong to, and what a level without seats does to them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  flowSchemas,
  mandatoryPriorityLevels,
  priorityLevelConfigurations,
  suggestedPriorityLevels,
  type FlowSchema,
  type PriorityLevelConfiguration,
} from '../../../../src/api/kubernetes/index.ts';
import { ensureFlowControlDefaults } from '../../../../src/cluster/flow-control-defaults.ts';
import { FlowControl, makeLimits } from '../../../../src/kube/server/flow-control/index.ts';
import { fails, user } from '../../service/support.ts';
import { startTestServer, type TestServer } from '../support.ts';

const apiVersion = 'flowcontrol.apiserver.k8s.io/v1';

function level(name: string, limited: object): PriorityLevelConfiguration {
  return {
    apiVersion,
    kind: 'PriorityLevelConfiguration',
    metadata: { name },
    spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' }, ...limited } },
  };
}

function schema(name: string, levelName: string, users: readonly string[], more: object = {}): FlowSchema {
  return {
    apiVersion,
    kind: 'FlowSchema',
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: levelName },
      matchingPrecedence: 1000,
      rules: [
        {
          subjects: users.map((each) => ({ kind: 'User', user: { name: each } })),
          nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
          resourceRules: [
            { verbs: ['get'], apiGroups: [''], resources: ['configmaps'], namespaces: ['default'] },
          ],
        },
      ],
      ...more,
    },
  };
}

describe('flow control', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ roles: true });
    await ensureFlowControlDefaults({ client: server.api.client });
  });
  after(() => server.close());

  /** As a user whom nobody has granted more than everybody has. */
  const as = (name: string, path = '/apis', groups = 'system:authenticated') =>
    server.call('GET', path, { headers: { 'impersonate-user': name, 'impersonate-group': groups } });
  const uids = ({ headers }: Awaited<ReturnType<typeof as>>) => [
    headers['x-kubernetes-pf-flowschema-uid'],
    headers['x-kubernetes-pf-prioritylevel-uid'],
  ];
  const stored = async (schemaName: string, levelName: string): Promise<unknown[]> => {
    const { client } = server.api;
    const [one, other] = await Promise.all([
      client.get(flowSchemas, { name: schemaName }),
      client.get(priorityLevelConfigurations, { name: levelName }),
    ]);
    return [one.metadata.uid, other.metadata.uid];
  };
  const create = (object: FlowSchema | PriorityLevelConfiguration) =>
    server.api.service.create(
      object.kind === 'FlowSchema' ? flowSchemas : priorityLevelConfigurations,
      undefined,
      object,
      { user },
    );

  it('every answer tells the schema and the level, also a refusal', async () => {
    const paths = '/api/v1/namespaces/default/configmaps';
    assert.deepEqual(uids(await server.call('GET', paths)), await stored('exempt', 'exempt'));
    const refused = await as('nobody', paths);
    assert.equal(refused.status, 403);
    assert.deepEqual(uids(refused), await stored('global-default', 'global-default'));
    const account = 'system:serviceaccount:default:default';
    assert.deepEqual(
      uids(await as(account, paths, 'system:serviceaccounts')),
      await stored('service-accounts', 'workload-low'),
    );
    assert.deepEqual(
      uids(await as('system:serviceaccount:kube-system:x', paths, 'system:serviceaccounts')),
      await stored('kube-system-service-accounts', 'workload-high'),
    );
    assert.deepEqual(
      uids(await as('node', '/api/v1/nodes/a/status', 'system:nodes')),
      await stored('system-node-high', 'node-high'),
    );
  });

  it('a schema of ours is in force with the next request, and no more when its level is gone', async () => {
    await create(level('ours', { nominalConcurrencyShares: 1 }));
    await create(schema('ours', 'ours', ['ann']));
    assert.deepEqual(uids(await as('ann')), await stored('ours', 'ours'));
    assert.deepEqual(uids(await as('bob')), await stored('global-default', 'global-default'));
    const list = await as('ann', '/api/v1/namespaces/default/configmaps');
    assert.deepEqual(uids(list), await stored('global-default', 'global-default'));
    await server.api.client.delete(priorityLevelConfigurations, { name: 'ours' });
    assert.deepEqual(uids(await as('ann')), await stored('global-default', 'global-default'));
  });

  it('whoever finds no seat is refused with 429 and told when to come again, and others are not', async () => {
    await create(level('closed', { nominalConcurrencyShares: 0 }));
    await create(schema('closed', 'closed', ['eve']));
    const refused = await as('eve');
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.json<{ reason: string }>().reason, 'TooManyRequests');
    assert.equal((await as('bob')).status, 200);
    assert.equal((await server.call('GET', '/apis')).status, 200);
  });

  it('requests wait in their queue until there are seats', async () => {
    const limitResponse = { type: 'Queue', queuing: { queues: 4, handSize: 2, queueLengthLimit: 10 } };
    await create(level('slow', { nominalConcurrencyShares: 0, limitResponse }));
    await create(schema('slow', 'slow', ['sam'], { distinguisherMethod: { type: 'ByUser' } }));
    let isAnswered = false;
    const waiting = as('sam').then((reply) => {
      isAnswered = true;
      return reply;
    });
    // Somebody else's request that comes later is answered before.
    await as('bob');
    assert.equal(isAnswered, false);
    const name = { name: 'slow' };
    const current = await server.api.client.get(priorityLevelConfigurations, name);
    const { spec } = level('slow', { nominalConcurrencyShares: 5, limitResponse });
    await server.api.client.update(priorityLevelConfigurations, { ...current, ...(spec ? { spec } : {}) });
    // A look at the levels, which the next request takes as well.
    await as('bob');
    assert.equal((await waiting).status, 200);
  });

  it('watches hold no seat once they have come in', () => {
    const control = new FlowControl(server.api.store);
    const attributes = {
      verb: 'watch',
      group: '',
      version: 'v1',
      resource: 'pods',
      subresource: '',
      namespace: 'default',
      name: '',
    };
    const who = { name: 'bob', groups: ['system:authenticated'] };
    const { signal } = new AbortController();
    const running = (): number =>
      control.levels().find(({ name }) => name === 'global-default')?.running ?? Number.NaN;
    assert.equal(control.classify(who, attributes)?.enter(signal), undefined);
    assert.equal(running(), 0);
    const list = control.classify(who, { ...attributes, verb: 'list' })?.enter(signal);
    assert.equal(running(), 1);
    assert.ok(typeof list === 'function');
    list();
    assert.equal(running(), 0);
    assert.equal(control.classify(who, { ...attributes, verb: 'get', subresource: 'exec' }), undefined);
  });

  it('seats are shared by shares', () => {
    const limits = makeLimits([...mandatoryPriorityLevels, ...suggestedPriorityLevels]);
    assert.equal(limits.get('exempt'), undefined);
    assert.equal(limits.get('workload-low')?.seats, 245);
    assert.equal(limits.get('catch-all')?.seats, 13);
  });

  it('what is wrong with them', async () => {
    const refuses = async (object: FlowSchema | PriorityLevelConfiguration, fault: RegExp): Promise<void> =>
      void (await fails(create(object), 422, 'Invalid', fault));
    const spec = (more: object): FlowSchema => schema('wrong', 'exempt', ['a'], more);
    await refuses(
      spec({ matchingPrecedence: 1 }),
      /only the schema named 'exempt' may have matchingPrecedence 1/,
    );
    await refuses(spec({ matchingPrecedence: 10_001 }), /must not be greater than 10000/);
    await refuses(
      spec({ distinguisherMethod: { type: 'ByMood' } }),
      /distinguisherMethod\.type: Unsupported value/,
    );
    await refuses(spec({ rules: [{}] }), /spec\.rules\[0\]\.subjects: Required value/);
    await refuses(level('wrong', { nominalConcurrencyShares: -1 }), /must be a non-negative integer/);
    await refuses(level('wrong', { limitResponse: { type: 'Queue' } }), /queuing: Required value/);
    await refuses(
      level('wrong', { limitResponse: { type: 'Queue', queuing: { queues: 2, handSize: 3 } } }),
      /should not be greater than queues \(2\)/,
    );
    const name = { name: 'catch-all' };
    const current = await server.api.client.get(flowSchemas, name);
    const changed = { ...current, spec: { ...spec({}).spec } };
    await fails(
      server.api.service.update(flowSchemas, name, changed, { user }),
      422,
      'Invalid',
      /spec of 'catch-all' must equal the fixed value/,
    );
  });
});
