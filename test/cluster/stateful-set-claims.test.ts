import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { controllerRef, type OwnerReference } from '../../src/api/object.ts';
import type { PersistentVolumeClaim } from '../../src/api/kubernetes/storage.ts';
import type { StatefulSet } from '../../src/api/kubernetes/workloads.ts';
import type { Pod } from '../../src/api/pods.ts';
import { claimOwners, foreignController } from '../../src/cluster/resources/stateful-set-pod.ts';

type Policy = NonNullable<NonNullable<StatefulSet['spec']>['persistentVolumeClaimRetentionPolicy']>;

const makeSet = (persistentVolumeClaimRetentionPolicy: Policy): StatefulSet => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'db', namespace: 'default', uid: 'set' },
  spec: {
    selector: {},
    serviceName: 'db',
    template: { metadata: { name: '' }, spec: { containers: [] } },
    persistentVolumeClaimRetentionPolicy,
  },
});
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'db-1', namespace: 'default', uid: 'pod' },
};
const claim = (...ownerReferences: OwnerReference[]): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data-db-1', namespace: 'default', ownerReferences },
});
const both = makeSet({ whenDeleted: 'Delete', whenScaled: 'Delete' });
const onDeletion = makeSet({ whenDeleted: 'Delete', whenScaled: 'Retain' });
const retained = makeSet({ whenDeleted: 'Retain', whenScaled: 'Retain' });
const friend: OwnerReference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' };
const manager: OwnerReference = { ...friend, controller: true };
const podRef = controllerRef(pod);
const setRef = controllerRef(both);

describe('owners of the claims of a StatefulSet', () => {
  const cases: [string, StatefulSet, boolean, OwnerReference[], OwnerReference[]][] = [
    ['nobody when all is retained', retained, false, [], []],
    ['no more the set when it came to retain them', retained, false, [friend, setRef], [friend]],
    ['the set as their controller, beside others', onDeletion, false, [friend], [friend, setRef]],
    ['the set while its pod is wanted', both, false, [podRef], [setRef]],
    ['the pod once it is scaled away', both, true, [setRef], [podRef]],
    ['the set, a controller again', both, false, [{ ...setRef, controller: false }], [setRef]],
    ['another controller alone', both, false, [setRef, manager], [manager]],
    ['an earlier set of the name', both, false, [{ ...setRef, uid: 'old' }], [{ ...setRef, uid: 'old' }]],
    ['an earlier pod of the name', both, true, [{ ...podRef, uid: 'old' }], [{ ...podRef, uid: 'old' }]],
  ];
  for (const [name, set, condemned, before, after] of cases) {
    it(name, () => {
      assert.deepEqual(claimOwners(set, pod, condemned, claim(...before)), after);
    });
  }

  it('tell of another controller only where the policy would delete', () => {
    assert.deepEqual(foreignController(onDeletion, pod, claim(setRef, manager)), manager);
    assert.equal(foreignController(retained, pod, claim(manager)), undefined);
    assert.equal(foreignController(both, pod, claim(setRef, podRef, friend)), undefined);
  });
});
