import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pod } from '../../../src/api/pods.ts';
import { startTestServer, assertStatus, type TestServer } from './support.ts';

const classes = '/apis/node.k8s.io/v1/runtimeclasses';
const pods = '/api/v1/namespaces/default/pods';

function makePod(name: string, spec: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { containers: [{ name: 'a', image: 'a' }], ...spec },
  };
}

describe('RuntimeClass', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    const body = {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'heavy' },
      handler: 'oci',
      overhead: { podFixed: { memory: '64Mi' } },
      scheduling: {
        nodeSelector: { 'kubernetes.io/os': 'linux' },
        tolerations: [{ key: 'heavy', operator: 'Exists' }],
      },
    };
    assert.equal((await server.call('POST', classes, { body })).status, 201);
  });
  after(() => server.close());

  it('gives pods its overhead and where they may run', async () => {
    const made = await server.call('POST', pods, { body: makePod('a', { runtimeClassName: 'heavy' }) });
    const { spec } = made.json<Pod>();
    assert.deepEqual(spec?.overhead, { memory: '64Mi' });
    assert.deepEqual(spec.nodeSelector, { 'kubernetes.io/os': 'linux' });
    assert.ok(spec.tolerations?.some((one) => one.key === 'heavy'));
  });

  it('must exist, and must not be contradicted', async () => {
    const refuse = async (spec: object, message: RegExp): Promise<void> => {
      assertStatus(await server.call('POST', pods, { body: makePod('b', spec) }), 403, 'Forbidden', message);
    };
    await refuse(
      { runtimeClassName: 'absent' },
      /^pods "b" is forbidden: pod rejected: RuntimeClass "absent" not found$/,
    );
    await refuse(
      { runtimeClassName: 'heavy', nodeSelector: { 'kubernetes.io/os': 'plan9' } },
      /conflict: runtimeClass.scheduling.nodeSelector\[kubernetes.io\/os\] = linux/,
    );
    await refuse(
      { overhead: { cpu: '1' } },
      /Pod Overhead set without corresponding RuntimeClass defined Overhead/,
    );
  });

  it('is refused without a handler, and keeps the one it has', async () => {
    const body = {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'x' },
      handler: 'Bad Name',
    };
    assertStatus(
      await server.call('POST', classes, { body }),
      422,
      'Invalid',
      /handler: Invalid value: "Bad Name"/,
    );
    const headers = { 'content-type': 'application/merge-patch+json' };
    const changed = await server.call('PATCH', `${classes}/heavy`, { headers, body: { handler: 'other' } });
    assertStatus(changed, 422, 'Invalid', /handler: Invalid value: "other": field is immutable/);
  });
});
