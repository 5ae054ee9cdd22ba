import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  controllerRevisions,
  daemonSets,
  deployments,
  replicationControllers,
  statefulSets,
} from '../../../src/api/kubernetes/workloads.ts';
import { admitted, faults } from './support.ts';

const labels = { app: 'x' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'a:1' }] } };
const metadata = { name: 'x', namespace: 'default' };

const made = (kind: string, spec: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind,
  metadata,
  spec: { selector: { matchLabels: labels }, template, ...spec },
});

describe('stateful sets', () => {
  it('get their defaults', () => {
    const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } };
    const { spec } = admitted(statefulSets, made('StatefulSet', { volumeClaimTemplates: [claim] }));
    assert.equal(spec?.replicas, 1);
    assert.equal(spec.podManagementPolicy, 'OrderedReady');
    assert.deepEqual(spec.updateStrategy, { type: 'RollingUpdate', rollingUpdate: { partition: 0 } });
    assert.deepEqual(spec.persistentVolumeClaimRetentionPolicy, {
      whenDeleted: 'Retain',
      whenScaled: 'Retain',
    });
    const [first] = spec.volumeClaimTemplates ?? [];
    assert.deepEqual(
      [first?.kind, first?.spec?.volumeMode, first?.status],
      ['PersistentVolumeClaim', 'Filesystem', { phase: 'Pending' }],
    );
  });

  for (const [what, spec, expected] of [
    ['a plain one', {}, []],
    [
      'a policy that does not exist',
      { podManagementPolicy: 'Random' },
      ["spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"],
    ],
    [
      'a strategy that does not exist',
      { updateStrategy: { type: 'Now' } },
      ['spec.updateStrategy: Invalid value: {"type":"Now"}: must be \'RollingUpdate\' or \'OnDelete\''],
    ],
    [
      'bounds of the rollout',
      { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: -1, maxUnavailable: '200%' } } },
      [
        'spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0',
        'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "200%": must not be greater than 100%',
      ],
    ],
    [
      'what becomes of claims',
      { persistentVolumeClaimRetentionPolicy: { whenScaled: 'Archive' } },
      [
        'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Archive": supported values: "Delete", "Retain"',
      ],
    ],
    [
      'where ordinals begin',
      { ordinals: { start: -1 } },
      ['spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0'],
    ],
  ] as const) {
    it(`check ${what}`, () => assert.deepEqual(faults(statefulSets, made('StatefulSet', spec)), expected));
  }

  it('may mount what their claim templates make', () => {
    const mounting = (name: string): object => {
      const volumeMounts = [{ name, mountPath: '/data' }];
      const spec = { containers: [{ name: 'app', image: 'a:1', volumeMounts }] };
      const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } };
      return made('StatefulSet', { template: { ...template, spec }, volumeClaimTemplates: [claim] });
    };
    assert.deepEqual(faults(statefulSets, mounting('data')), []);
    assert.deepEqual(faults(statefulSets, mounting('other')), [
      'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "other"',
    ]);
  });

  it('let only some of their spec be changed', () => {
    const old = admitted(statefulSets, made('StatefulSet'));
    const change = (spec: object): string[] =>
      faults(statefulSets, { ...old, spec: { ...old.spec, ...spec } }, { operation: 'UPDATE', old });
    assert.deepEqual(
      change({ replicas: 3, minReadySeconds: 2, ordinals: { start: 1 }, revisionHistoryLimit: 1 }),
      [],
    );
    assert.deepEqual(change({ serviceName: 'other' }), [
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ]);
  });
});

describe('daemon sets', () => {
  const rolling = (rollingUpdate: object): object => ({
    updateStrategy: { type: 'RollingUpdate', rollingUpdate },
  });
  const at = 'spec.updateStrategy.rollingUpdate';
  for (const [what, spec, expected] of [
    ['a plain one', {}, []],
    ['a surge', rolling({ maxSurge: 1, maxUnavailable: 0 }), []],
    [
      'both bounds at once',
      rolling({ maxSurge: 1, maxUnavailable: 1 }),
      [`${at}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero`],
    ],
    [
      'no bound at all',
      rolling({ maxSurge: 0, maxUnavailable: 0 }),
      [`${at}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0`],
    ],
    [
      'a strategy that does not exist',
      { updateStrategy: { type: 'Now' } },
      ['spec.updateStrategy.type: Unsupported value: "Now": supported values: "OnDelete", "RollingUpdate"'],
    ],
    [
      'time to wait',
      { minReadySeconds: -1 },
      ['spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0'],
    ],
  ] as const) {
    it(`check ${what}`, () => assert.deepEqual(faults(daemonSets, made('DaemonSet', spec)), expected));
  }

  it('count the changes of their template', () => {
    const annotation = 'deprecated.daemonset.template.generation';
    const old = admitted(daemonSets, made('DaemonSet'));
    assert.equal(old.metadata.annotations?.[annotation], '1');
    const context = { operation: 'UPDATE', old } as const;
    const same = admitted(daemonSets, { ...old, metadata }, context);
    assert.equal(same.metadata.annotations?.[annotation], '1');
    const spec = { ...old.spec, template: { ...template, metadata: { labels: { ...labels, v: '2' } } } };
    assert.equal(admitted(daemonSets, { ...old, spec }, context).metadata.annotations?.[annotation], '2');
  });
});

describe('deployments', () => {
  it('check percentages and their strategy', () => {
    const strategy = (rollingUpdate: object): object => ({
      strategy: { type: 'RollingUpdate', rollingUpdate },
    });
    const at = 'spec.strategy.rollingUpdate';
    assert.deepEqual(
      faults(deployments, made('Deployment', strategy({ maxSurge: '0%', maxUnavailable: 0 }))),
      [`${at}.maxUnavailable: Invalid value: 0: may not be 0 when \`maxSurge\` is 0`],
    );
    assert.deepEqual(faults(deployments, made('Deployment', strategy({ maxUnavailable: '101%' }))), [
      `${at}.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
    ]);
    assert.match(
      faults(deployments, made('Deployment', strategy({ maxSurge: 'some' })))[0] ?? '',
      /maxSurge: Invalid value: "some": a valid percent string must be a numeric string followed by an ending '%'/,
    );
  });
});

describe('replication controllers', () => {
  it('take selector and labels from their template', () => {
    const given = { apiVersion: 'v1', kind: 'ReplicationController', metadata, spec: { template } };
    const item = admitted(replicationControllers, given);
    assert.deepEqual([item.spec?.selector, item.metadata.labels, item.spec?.replicas], [labels, labels, 1]);
    assert.deepEqual(faults(replicationControllers, given), []);
    assert.match(
      faults(replicationControllers, { ...given, spec: { template, selector: { app: 'y' } } })[0] ?? '',
      /^spec\.template\.metadata\.labels: Invalid value: .*: `selector` does not match template `labels`$/,
    );
  });
});

describe('controller revisions', () => {
  it('never change what they keep', () => {
    const old = { apiVersion: 'apps/v1', kind: 'ControllerRevision', metadata, revision: 1, data: { a: 1 } };
    const context = { operation: 'UPDATE', old } as const;
    assert.deepEqual(faults(controllerRevisions, { ...old, revision: 2 }, context), []);
    assert.deepEqual(faults(controllerRevisions, { ...old, data: { a: 2 } }, context), [
      'data: Invalid value: {"a":2}: field is immutable',
    ]);
  });
});
