import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Pod } from '../../src/api/pods.ts';
import { resolveUser } from '../../src/node/users.ts';

describe('the user of a container', () => {
  const root = mkdtempSync(join(tmpdir(), 'knapsack-users-'));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nworker:x:1000:1000::/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nworker:x:1000:\nprinters:x:50000:other,worker\n');
  after(() => rmSync(root, { recursive: true }));

  const userOf = (context: NonNullable<Pod['spec']>['securityContext'], image?: string) => {
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c' }], ...(context ? { securityContext: context } : {}) },
    };
    return resolveUser(pod, { name: 'c' }, image, root);
  };

  it('is in the groups that the image puts it into, besides those of the pod', () => {
    assert.deepEqual(userOf({ runAsUser: 1000, supplementalGroups: [60000], fsGroup: 7 }), {
      uid: 1000,
      gid: 1000,
      groups: [1000, 50000, 60000, 7],
    });
    assert.deepEqual(userOf(undefined, 'worker')?.groups, [1000, 50000]);
  });

  it('is in those of the pod alone where the pod says so', () => {
    const context = { runAsUser: 1000, supplementalGroups: [60000], supplementalGroupsPolicy: 'Strict' };
    assert.deepEqual(userOf(context)?.groups, [1000, 60000]);
  });

  it('needs no account in the image', () => {
    assert.deepEqual(userOf({ runAsUser: 4711 }), { uid: 4711, gid: 0, groups: [0] });
    assert.equal(userOf(undefined), undefined);
  });
});
