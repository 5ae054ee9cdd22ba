import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeObject } from '../../../src/api/object.ts';
import type { ResourceDef } from '../../../src/api/resource.ts';
import {
  configMaps,
  cronJobs,
  deployments,
  jobs,
  namespaces,
  replicaSets,
  secrets,
  services,
  statefulSets,
  type Service,
} from '../../../src/api/kubernetes/index.ts';
import { admitted, faults } from './support.ts';

const object = (kind: string, more: object = {}): object => ({
  apiVersion: 'v1',
  kind,
  metadata: { name: 'x', namespace: 'default' },
  ...more,
});
const labels = { app: 'x' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'a:1' }] } };
const workload = { selector: { matchLabels: labels }, template };

describe('namespaces', () => {
  it('begin active, named by a label, held by a finalizer', () => {
    const made = admitted(namespaces, object('Namespace'));
    assert.deepEqual(made.metadata.labels, { 'kubernetes.io/metadata.name': 'x' });
    assert.deepEqual([made.spec, made.status], [{ finalizers: ['kubernetes'] }, { phase: 'Active' }]);
  });
});

describe('secrets and config maps', () => {
  it('encode text', () => {
    const made = admitted(secrets, object('Secret', { stringData: { a: 'ü' }, data: { b: 'eA==' } }));
    assert.deepEqual(
      [made.data, made.stringData, made.type],
      [{ b: 'eA==', a: 'w7w=' }, undefined, 'Opaque'],
    );
  });
  const cases: [string, ResourceDef, object, string[]][] = [
    [
      'data that is not base64',
      secrets,
      { data: { a: '?' } },
      ['data[a]: Invalid value: "?": illegal base64 data'],
    ],
    [
      'a key',
      configMaps,
      { data: { 'a/b': '' } },
      [
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ],
    ],
    [
      'a TLS secret without key',
      secrets,
      { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } },
      ['data[tls.key]: Required value'],
    ],
    [
      'too much',
      configMaps,
      { data: { a: 'x'.repeat(1024 * 1024 + 1) } },
      ['[]: Too long: may not be more than 1048576 bytes'],
    ],
  ];
  for (const [what, def, more, expected] of cases)
    it(what, () => assert.deepEqual(faults(def, object(def.kind, more)), expected));
  it('do not change once they are immutable', () => {
    const old = admitted(configMaps, object('ConfigMap', { immutable: true, data: { a: '1' } }));
    const next = { ...old, data: { a: '2' } };
    assert.deepEqual(faults(configMaps, next, { operation: 'UPDATE', old }), [
      'data: Forbidden: field is immutable when `immutable` is set',
    ]);
  });
});

describe('services', () => {
  const service = (spec: object): object => object('Service', { spec });
  it('get an address of the range that no other has', () => {
    const taken: Service[] = [];
    const stored = <T extends KubeObject>(): Iterable<T> => taken as unknown as T[];
    for (let i = 0; i < 300; i++)
      taken.push(admitted(services, service({ ports: [{ port: 80 }] }), { stored }));
    const addresses = new Set(taken.map((item) => item.spec?.clusterIP));
    assert.equal(addresses.size, 300);
    for (const address of addresses) assert.match(address ?? '', /^10\.96\.\d+\.\d+$/);
    const [first] = taken;
    if (first) first.metadata.uid = 'first';
    assert.deepEqual(first?.spec, {
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      clusterIP: first?.spec?.clusterIP,
      clusterIPs: [first?.spec?.clusterIP],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
    });
    const again = service({ clusterIP: first?.spec?.clusterIP, ports: [{ port: 80 }] });
    assert.deepEqual(faults(services, again, { stored }), [
      `spec.clusterIPs[0]: Invalid value: ["${first?.spec?.clusterIP}"]: failed to allocate IP: provided IP is already allocated`,
    ]);
  });
  it('keep their address when an update leaves it out, and cannot change it', () => {
    const old = admitted(services, service({ ports: [{ port: 80 }] }));
    const update = (spec: object): Service => admitted(services, service(spec), { operation: 'UPDATE', old });
    assert.equal(update({ ports: [{ port: 81 }] }).spec?.clusterIP, old.spec?.clusterIP);
    const moved = service({ clusterIP: '10.96.255.1', ports: [{ port: 80 }] });
    assert.deepEqual(faults(services, moved, { operation: 'UPDATE', old }), [
      'spec.clusterIPs[0]: Invalid value: ["10.96.255.1"]: may not change once set',
    ]);
  });
  const cases: [string, object, string[]][] = [
    ['without ports', {}, ['spec.ports: Required value']],
    ['headless without ports', { clusterIP: 'None' }, []],
    [
      'of an unknown type',
      { type: 'X', ports: [{ port: 1 }] },
      [
        'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      'with unnamed ports',
      { ports: [{ port: 1 }, { port: 2 }] },
      ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value'],
    ],
    [
      'with a port twice',
      {
        ports: [
          { name: 'a', port: 1 },
          { name: 'b', port: 1 },
        ],
      },
      ['spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'],
    ],
    [
      'with a port out of range',
      { ports: [{ port: 0 }] },
      [
        'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
      ],
    ],
    ['external without a name', { type: 'ExternalName' }, ['spec.externalName: Required value']],
    [
      'outside the range',
      { clusterIP: '192.0.2.1', ports: [{ port: 1 }] },
      [
        'spec.clusterIPs[0]: Invalid value: ["192.0.2.1"]: failed to allocate IP: the provided network does not match the current range (10.96.0.0/16)',
      ],
    ],
  ];
  for (const [what, spec, expected] of cases)
    it(what, () => assert.deepEqual(faults(services, service(spec)), expected));
});

describe('workloads', () => {
  it('default as in Kubernetes', () => {
    const { spec } = admitted(deployments, object('Deployment', { spec: { ...workload, strategy: {} } }));
    const { template: _template, selector: _selector, ...rest } = spec ?? workload;
    assert.deepEqual(rest, {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    });
  });
  const cases: [string, ResourceDef, object, string[]][] = [
    [
      'a selector that does not match',
      deployments,
      { ...workload, selector: { matchLabels: { app: 'y' } } },
      [
        'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
      ],
    ],
    ['no selector', replicaSets, { template }, ['spec.selector: Required value']],
    [
      'an empty selector',
      deployments,
      { ...workload, selector: {} },
      ['spec.selector: Invalid value: {}: empty selector is invalid for deployment'],
    ],
    [
      'a template that does not restart',
      deployments,
      { ...workload, template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } },
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      'negative replicas',
      statefulSets,
      { ...workload, replicas: -1 },
      ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    ],
    [
      'no room to roll',
      deployments,
      { ...workload, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0'],
    ],
    [
      'more than all unavailable',
      deployments,
      { ...workload, strategy: { rollingUpdate: { maxUnavailable: '101%' } } },
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
    ],
    [
      'a deadline below minReadySeconds',
      deployments,
      { ...workload, minReadySeconds: 700 },
      ['spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds'],
    ],
    [
      'a job that always restarts',
      jobs,
      { template },
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ],
    [
      'a cron job without schedule',
      cronJobs,
      {
        jobTemplate: {
          spec: { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } },
        },
      },
      ['spec.schedule: Required value'],
    ],
  ];
  for (const [what, def, spec, expected] of cases)
    it(what, () => assert.deepEqual(faults(def, object(def.kind, { spec })), expected));
  it('cannot change their selector', () => {
    const old = admitted(deployments, object('Deployment', { spec: workload }));
    const other = {
      selector: { matchLabels: { app: 'x', more: 'y' } },
      template: { ...template, metadata: { labels: { ...labels, more: 'y' } } },
    };
    const messages = faults(deployments, object('Deployment', { spec: other }), { operation: 'UPDATE', old });
    assert.deepEqual(messages, [
      'spec.selector: Invalid value: {"matchLabels":{"app":"x","more":"y"}}: field is immutable',
    ]);
  });
});
