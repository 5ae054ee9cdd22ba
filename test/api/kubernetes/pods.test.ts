import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubernetesTypes } from '../../../src/api/generated/kubernetes-types.ts';
import type { Pod } from '../../../src/api/pods.ts';
import { defaultPullPolicy, qosClass } from '../../../src/api/kubernetes/pod-defaults.ts';
import { pods } from '../../../src/api/kubernetes/pods.ts';
import { admitted, faults } from './support.ts';

type Container = KubernetesTypes['core.v1.Container'];

const app: Container = { name: 'app', image: 'example.com/app:1' };
const pod = (spec: object): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: { containers: [app], ...spec },
});
const container = (more: object): object => pod({ containers: [{ ...app, ...more }] });

describe('pod defaults', () => {
  it('say of a pod with scheduling gates that it waits for them', () => {
    const { status } = admitted(pods, pod({ schedulingGates: [{ name: 'example.com/ready' }] }));
    const conditions = (status?.conditions ?? []).map(({ type, status, reason }) => [type, status, reason]);
    assert.deepEqual(conditions, [['PodScheduled', 'False', 'SchedulingGated']]);
    assert.equal(admitted(pods, pod({})).status?.conditions, undefined);
  });

  it('make a negative grace period one second', () => {
    assert.equal(
      admitted(pods, pod({ terminationGracePeriodSeconds: -1 })).spec?.terminationGracePeriodSeconds,
      1,
    );
    assert.equal(
      admitted(pods, pod({ terminationGracePeriodSeconds: 0 })).spec?.terminationGracePeriodSeconds,
      0,
    );
  });

  it('are those of Kubernetes', () => {
    const made = admitted(
      pods,
      pod({
        containers: [
          {
            ...app,
            ports: [{ containerPort: 8080 }],
            env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
            readinessProbe: { httpGet: { port: 8080 } },
            resources: { limits: { cpu: '1' } },
          },
        ],
        volumes: [{ name: 'a' }, { name: 'b', configMap: { name: 'c' } }],
      }),
    );
    assert.deepEqual(made.spec, {
      containers: [
        {
          ...app,
          ports: [{ containerPort: 8080, protocol: 'TCP' }],
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP', apiVersion: 'v1' } } }],
          readinessProbe: {
            httpGet: { port: 8080, path: '/', scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
          resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
        },
      ],
      volumes: [
        { name: 'a', emptyDir: {} },
        { name: 'b', configMap: { name: 'c', defaultMode: 420 } },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      securityContext: {},
      enableServiceLinks: true,
      serviceAccountName: 'default',
      serviceAccount: 'default',
    });
    assert.deepEqual(made.status, { phase: 'Pending', qosClass: 'Burstable' });
  });

  for (const [image, policy] of [
    ['app', 'Always'],
    ['app:latest', 'Always'],
    ['registry:5000/app', 'Always'],
    ['app:1', 'IfNotPresent'],
    ['app@sha256:0', 'IfNotPresent'],
    ['app:latest@sha256:0', 'Always'],
  ] as const) {
    it(`pull ${image} ${policy}`, () => assert.equal(defaultPullPolicy(image), policy));
  }

  for (const [resources, expected] of [
    [{}, 'BestEffort'],
    [{ requests: { cpu: '1' } }, 'Burstable'],
    [{ limits: { cpu: '1', memory: '1Gi' } }, 'Guaranteed'],
    [{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m', memory: '1Gi' } }, 'Burstable'],
  ] as const) {
    it(`quality of ${JSON.stringify(resources)} is ${expected}`, () =>
      assert.equal(qosClass({ containers: [{ ...app, resources }] }), expected));
  }
});

describe('pod validation', () => {
  const label =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  const cases: [string, object, string[]][] = [
    ['a good pod', pod({}), []],
    ['no containers', pod({ containers: [] }), ['spec.containers: Required value']],
    ['no image', pod({ containers: [{ name: 'a' }] }), ['spec.containers[0].image: Required value']],
    [
      'the same name twice',
      pod({ containers: [app, app] }),
      ['spec.containers[1].name: Duplicate value: "app"'],
    ],
    [
      'a name in capitals',
      container({ name: 'App' }),
      [`spec.containers[0].name: Invalid value: "App": ${label}`],
    ],
    [
      'a mount of nothing',
      container({ volumeMounts: [{ name: 'x', mountPath: '/x' }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "x"'],
    ],
    [
      'a port out of range',
      container({ ports: [{ containerPort: 70000 }] }),
      [
        'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      ],
    ],
    [
      'a port name too long',
      container({ ports: [{ containerPort: 1, name: 'abcdefghijklmnop' }] }),
      [
        'spec.containers[0].ports[0].name: Invalid value: "abcdefghijklmnop": must be no more than 15 characters',
      ],
    ],
    [
      'a restart policy',
      pod({ restartPolicy: 'Sometimes' }),
      [
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
      ],
    ],
    [
      'a probe without handler',
      container({ livenessProbe: {} }),
      ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    ],
    [
      'a liveness probe that must succeed twice',
      container({ livenessProbe: { successThreshold: 2, tcpSocket: { port: 1 } } }),
      ['spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1'],
    ],
    [
      'a variable without name',
      container({ env: [{ value: 'x' }] }),
      ['spec.containers[0].env[0].name: Required value'],
    ],
    [
      'a variable from two sources',
      container({ env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'a' } } }] }),
      [
        'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
      ],
    ],
    [
      'requests above limits',
      container({ resources: { requests: { cpu: '2' }, limits: { cpu: '1500m' } } }),
      [
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1500m',
      ],
    ],
    [
      'an unknown resource',
      container({ resources: { limits: { gpus: '1' } } }),
      [
        'spec.containers[0].resources.limits[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.requests[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
      ],
    ],
    [
      'two volume sources',
      pod({ volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] }),
      ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    ],
    [
      'a sidecar probe on an init container',
      pod({ initContainers: [{ ...app, name: 'i', readinessProbe: { tcpSocket: { port: 1 } } }] }),
      [
        'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
  ];
  for (const [what, object, expected] of cases)
    it(what, () => assert.deepEqual(faults(pods, object), expected));

  describe('of updates', () => {
    const old = admitted(pods, pod({}));
    const update = (change: (spec: NonNullable<Pod['spec']>) => void): string[] => {
      const next = structuredClone(old);
      if (next.spec) change(next.spec);
      return faults(pods, next, { operation: 'UPDATE', old });
    };
    it('lets an image and a deadline change', () => {
      assert.deepEqual(
        update((spec) => Object.assign(spec.containers[0] ?? {}, { image: 'b:2' })),
        [],
      );
      assert.deepEqual(
        update((spec) => (spec.activeDeadlineSeconds = 5)),
        [],
      );
    });
    it('lets a node be given once', () => {
      assert.deepEqual(
        update((spec) => (spec.nodeName = 'n')),
        [],
      );
      const bound = structuredClone(old);
      if (bound.spec) bound.spec.nodeName = 'n';
      const moved = structuredClone(bound);
      if (moved.spec) moved.spec.nodeName = 'm';
      assert.match(
        faults(pods, moved, { operation: 'UPDATE', old: bound })[0] ?? '',
        /^spec: Forbidden: pod updates may not change fields other than/,
      );
    });
    it('refuses the rest, and names it', () => {
      const [message, ...more] = update((spec) => (spec.hostname = 'other'));
      assert.match(
        message ?? '',
        /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`.*\nchanged: spec\.hostname$/s,
      );
      assert.deepEqual(more, []);
    });
  });
});
