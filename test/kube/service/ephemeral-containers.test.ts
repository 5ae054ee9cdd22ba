import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pods } from '../../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../../src/api/pods.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import type { PatchRequest } from '../../../src/kube/server/service/requests.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

const key = { namespace: 'default', name: 'patient' };
const user = 'system:admin';

describe('pods/ephemeralcontainers', () => {
  let api: TestApi;

  before(async () => {
    api = await startTestApi();
    await api.client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'patient', namespace: 'default' },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    });
  });
  after(() => api.close());

  async function patch(
    body: unknown,
    type: 'strategic' | 'merge' = 'strategic',
    on: 'ephemeralcontainers' | 'pod' = 'ephemeralcontainers',
  ): Promise<Pod> {
    const request: PatchRequest = { type, body };
    const result = await api.service.patch(pods, key, request, {
      user,
      ...(on === 'pod' ? {} : { subresource: on }),
    });
    return result.object;
  }

  const add = (container: object): object => ({ spec: { ephemeralContainers: [container] } });

  async function refused(work: Promise<unknown>, message: RegExp): Promise<void> {
    await assert.rejects(work, (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.equal(error.code, 422);
      assert.match(error.message, message);
      return true;
    });
  }

  it('adds containers, defaulted, and nothing else', async () => {
    const before = await api.client.get(pods, key);
    const changed = await patch({
      metadata: { labels: { a: 'b' } },
      spec: {
        activeDeadlineSeconds: 5,
        ephemeralContainers: [{ name: 'look', image: 'shell', stdin: true, targetContainerName: 'app' }],
      },
    });
    const [container] = changed.spec?.ephemeralContainers ?? [];
    assert.deepEqual(
      [container?.name, container?.imagePullPolicy, container?.terminationMessagePath],
      ['look', 'Always', '/dev/termination-log'],
    );
    assert.equal(changed.metadata.labels, undefined);
    assert.equal(changed.spec?.activeDeadlineSeconds, undefined);
    assert.equal(changed.metadata.generation, (before.metadata.generation ?? 0) + 1);
    const more = await patch(add({ name: 'more', image: 'shell' }));
    assert.deepEqual(more.spec?.ephemeralContainers?.map(({ name }) => name).sort(), ['look', 'more']);
  });

  it('leaves those that are there as they are', async () => {
    await refused(patch(add({ name: 'look', image: 'other' })), /"look" may not be changed/);
    await refused(patch({ spec: { ephemeralContainers: [] } }, 'merge'), /"look" may not be removed/);
  });

  it('refuses what belongs to the work of a pod', async () => {
    const faults: [object, RegExp][] = [
      [{ name: 'app', image: 'x' }, /ephemeralContainers\[\d\]\.name: Duplicate value: "app"/],
      [
        { name: 'a', image: 'x', ports: [{ containerPort: 1 }] },
        /ports: Forbidden: cannot be set for an Ephemeral/,
      ],
      [{ name: 'a', image: 'x', resources: { limits: { cpu: '1' } } }, /resources: Forbidden/],
      [{ name: 'a', image: 'x', targetContainerName: 'none' }, /targetContainerName: Not found: "none"/],
      [{ name: 'A', image: 'x' }, /name: Invalid value: "A"/],
      [{ name: 'a' }, /image: Required value/],
    ];
    for (const [container, message] of faults) await refused(patch(add(container)), message);
  });

  it('is the only way to add one', async () => {
    await refused(
      patch(add({ name: 'b', image: 'x' }), 'strategic', 'pod'),
      /pod updates may not change fields/,
    );
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'other', namespace: 'default' },
      spec: { containers: [{ name: 'app', image: 'x' }], ephemeralContainers: [{ name: 'b', image: 'x' }] },
    } satisfies Pod;
    await refused(
      api.client.create(pods, pod),
      /spec.ephemeralContainers: Forbidden: cannot be set on create/,
    );
  });
});
