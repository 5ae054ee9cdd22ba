/** Totals for quotas that each write keeps up to date are those of a count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { deepFreeze } from '../../../../src/base/json.ts';
import type { KubeObject } from '../../../../src/api/object.ts';
import { persistentVolumeClaims, pods } from '../../../../src/api/kubernetes/index.ts';
import { totalUsage } from '../../../../src/api/kubernetes/quota-usage.ts';
import type { ResourceQuota } from '../../../../src/api/kubernetes/quotas.ts';
import { UsageTotals } from '../../../../src/kube/server/service/usage-totals.ts';
import { Table } from '../../../../src/kube/store/table.ts';
import { cpuOf } from '../../../support/growth.ts';

const names = ['pods', 'count/pods', 'cpu', 'requests.cpu', 'limits.cpu', 'memory', 'requests.gpu'];
const scopes = [[], ['BestEffort'], ['NotBestEffort'], ['Terminating'], ['NotTerminating', 'NotBestEffort']];
const quotas = scopes.map((each): ResourceQuota => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: each.join('-') || 'all', namespace: 'a' },
  spec: { hard: Object.fromEntries(names.map((name) => [name, '1'])), scopes: each },
}));

const amounts = fc.dictionary(
  fc.constantFrom('cpu', 'memory', 'gpu'),
  fc.constantFrom('1', '250m', '1Gi', '3e2'),
);
const pod = fc.record({
  resources: fc.record({ requests: amounts, limits: amounts }, { requiredKeys: [] }),
  phase: fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed'),
  deadline: fc.option(fc.constant(60), { nil: undefined }),
  /** Seconds since the epoch at which it was to be gone, and seconds that it got more. */
  deleted: fc.option(fc.tuple(fc.nat(50), fc.nat(10)), { nil: undefined }),
});

const step = fc.oneof(
  fc.record({ does: fc.constant('write'), namespace: fc.constantFrom('a', 'b', 'ab'), name: fc.nat(5), pod }),
  fc.record({ does: fc.constant('remove'), namespace: fc.constantFrom('a', 'b', 'ab'), name: fc.nat(5) }),
  fc.record({ does: fc.constant('wait'), seconds: fc.nat(20) }),
  fc.record({ does: fc.constant('ask'), quota: fc.nat(quotas.length - 1) }),
  fc.record({ does: fc.constant('forget'), kept: fc.subarray(quotas) }),
);

interface MadePod {
  readonly resources: {
    readonly requests?: Record<string, string>;
    readonly limits?: Record<string, string>;
  };
  readonly phase: string;
  readonly deadline: number | undefined;
  readonly deleted: readonly [number, number] | undefined;
}

function podOf(namespace: string, name: string, made: MadePod): KubeObject {
  const { resources, phase, deadline, deleted } = made;
  const metadata = {
    name,
    namespace,
    ...(deleted
      ? {
          deletionTimestamp: new Date(deleted[0] * 1000).toISOString(),
          deletionGracePeriodSeconds: deleted[1],
        }
      : {}),
  };
  const spec = {
    containers: [{ name: 'c', image: 'x', resources }],
    ...(deadline === undefined ? {} : { activeDeadlineSeconds: deadline }),
  };
  const object = { apiVersion: 'v1', kind: 'Pod', metadata, spec, status: { phase } };
  return deepFreeze(object);
}

const makeTable = (): Table => new Table('pods', 0, { events: 10, bytes: 1000 });

test('property: the totals are those of a count, whatever was written, removed, or only grew old', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = makeTable();
      const totals = new UsageTotals(() => table);
      let now = 0;
      const ask = (quota: ResourceQuota): void => {
        for (const namespace of ['a', 'b']) {
          const counted = totalUsage(quota, pods, table.objects(namespace), names, now);
          const used = totals.used(quota, pods, namespace, now);
          for (const name of names) {
            assert.equal(used.get(name)?.nano ?? 0n, counted.get(name)?.nano, `${name} in ${namespace}`);
          }
        }
      };
      for (const [i, each] of steps.entries()) {
        if ('pod' in each) {
          const key = `${each.namespace}/${each.name}`;
          const object = podOf(each.namespace, String(each.name), each.pod);
          table.set({ key, resourceVersion: i, object, bytes: Buffer.alloc(0) });
        } else if ('name' in each) table.remove(`${each.namespace}/${each.name}`);
        else if ('seconds' in each) now += each.seconds * 1000;
        else if ('kept' in each) totals.keepOnly(each.kept, pods, 'a');
        else quotas.slice(each.quota, each.quota + 1).forEach(ask);
      }
      quotas.forEach(ask);
    }),
  );
});

test('claims count by their class', () => {
  const table = makeTable();
  const totals = new UsageTotals(() => table);
  const quota: ResourceQuota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q' } };
  const used = (): unknown =>
    Object.fromEntries(
      [...totals.used(quota, persistentVolumeClaims, 'a', 0)].map(([name, { nano }]) => [
        name,
        nano / 1_000_000_000n,
      ]),
    );
  assert.deepEqual(used(), {});
  const spec = { storageClassName: 'fast', resources: { requests: { storage: '3' } } };
  const object: KubeObject = deepFreeze({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'x', namespace: 'a' },
    spec,
  });
  table.set({ key: 'a/x', resourceVersion: 1, object, bytes: Buffer.alloc(0) });
  assert.deepEqual(used(), {
    'count/persistentvolumeclaims': 1n,
    persistentvolumeclaims: 1n,
    'requests.storage': 3n,
    'fast.storageclass.storage.k8s.io/persistentvolumeclaims': 1n,
    'fast.storageclass.storage.k8s.io/requests.storage': 3n,
  });
  table.remove('a/x');
  assert.deepEqual(used(), {});
});

test('a question after a write does not count the thousands that were there before', async () => {
  const table = makeTable();
  const totals = new UsageTotals(() => table);
  const [quota] = quotas;
  assert.ok(quota);
  const made = {
    resources: { requests: { cpu: '1' } },
    phase: 'Running',
    deadline: undefined,
    deleted: undefined,
  };
  const write = (i: number): void => {
    const object = podOf('a', String(i), made);
    table.set({ key: `a/${i}`, resourceVersion: i, object, bytes: Buffer.alloc(0) });
  };
  for (let i = 0; i < 20_000; i++) write(i);
  totals.used(quota, pods, 'a', 0);
  const count = await cpuOf(() => totalUsage(quota, pods, table.objects('a'), names, 0));
  let next = 20_000;
  const hundred = await cpuOf(() => {
    for (let i = 0; i < 100; i++) {
      write(next++);
      assert.equal(totals.used(quota, pods, 'a', 0).get('pods')?.nano, BigInt(next) * 1_000_000_000n);
    }
  });
  assert.ok(hundred < count * 50, `a count takes ${count} ms, a hundred writes ${hundred} ms`);
});
