/** What other schedulers do. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pod } from '../../../../src/api/pods.ts';
import { pods } from '../../../../src/api/kubernetes/index.ts';
import { at, pod, user } from '../../service/support.ts';
import { assertStatus, startTestServer, type TestServer } from '../support.ts';

describe('bindings', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const create = (name: string, spec: Record<string, unknown> = {}) =>
    server.api.service.create(pods, 'default', pod(name, { schedulerName: 'mine', ...spec }), { user });
  const bind = (name: string, target: object = { kind: 'Node', name: 'node-7' }, metadata: object = {}) =>
    server.call('POST', `/api/v1/namespaces/default/pods/${name}/binding`, {
      body: { apiVersion: 'v1', kind: 'Binding', metadata: { name, ...metadata }, target },
    });
  const get = (name: string): Promise<Pod> => server.api.client.get(pods, at(name));

  it('put a pod on a node, with what the scheduler notes', async () => {
    await create('bound');
    const reply = await bind('bound', undefined, { annotations: { score: '9' } });
    assert.equal(reply.status, 201, reply.body.toString());
    assert.equal(reply.json<{ status: string }>().status, 'Success');
    const { spec, metadata, status } = await get('bound');
    assert.equal(spec?.nodeName, 'node-7');
    assert.equal(metadata.annotations?.['score'], '9');
    assert.ok(status?.conditions?.some(({ type, status: is }) => type === 'PodScheduled' && is === 'True'));
  });

  it('are final', async () => {
    await create('final');
    const replies = await Promise.all([bind('final', { name: 'a' }), bind('final', { name: 'b' })]);
    assert.deepEqual(
      replies.map((reply) => reply.status).sort((a, b) => a - b),
      [201, 409],
    );
    const node = (await get('final')).spec?.nodeName;
    assertStatus(
      await bind('final'),
      409,
      'Conflict',
      `Operation cannot be fulfilled on pods/binding "final": pod final is already assigned to node "${node}"`,
    );
  });

  it('of pods that are not there, not meant or not ready for it are refused', async () => {
    assertStatus(await bind('missing'), 404, 'NotFound', 'pods "missing" not found');
    await create('gated', { schedulingGates: [{ name: 'example.com/wait' }] });
    assertStatus(await bind('gated'), 409, 'Conflict', /pod gated has non-empty \.spec\.schedulingGates$/);
    await create('other');
    assertStatus(await bind('other', undefined, { uid: 'x' }), 409, 'Conflict', /UID in precondition: x/);
    assertStatus(
      await bind('other', { kind: 'Pod', name: 'x' }),
      422,
      'Invalid',
      /target\.kind: Unsupported value: "Pod"/,
    );
    assertStatus(await bind('other', { kind: 'Node' }), 422, 'Invalid', /target\.name: Required value/);
    assert.equal((await get('other')).spec?.nodeName, undefined);
  });

  it('of a dry run change nothing', async () => {
    await create('dry');
    const reply = await server.call('POST', '/api/v1/namespaces/default/pods/dry/binding?dryRun=All', {
      body: { metadata: { name: 'dry' }, target: { name: 'node-7' } },
    });
    assert.equal(reply.status, 201, reply.body.toString());
    assert.equal((await get('dry')).spec?.nodeName, undefined);
  });
});
