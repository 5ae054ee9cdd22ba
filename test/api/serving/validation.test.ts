import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { hasReason } from '../../../src/kube/api-error.ts';
import { configMaps } from '../../../src/api/kubernetes/core.ts';
import { knativeServices, revisions, routes } from '../../../src/api/serving/index.ts';
import { makeConfigMap } from '../../../src/api/serving/config/index.ts';
import { startTestApi } from '../../support/api.ts';

const api = await startTestApi();
after(() => api.close());
const prefix =
  'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: ';

interface Wish {
  readonly container?: object;
  readonly containers?: object[];
  readonly spec?: object;
  readonly template?: object;
  readonly annotations?: object;
  readonly traffic?: object[];
  readonly metadata?: object;
}

function service({ container, containers, spec, template, annotations, traffic, metadata }: Wish) {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'a', namespace: 'default', ...metadata },
    spec: {
      template: {
        metadata: { ...(annotations ? { annotations } : {}), ...template },
        spec: { containers: containers ?? [{ image: 'example.com/a', ...container }], ...spec },
      },
      ...(traffic ? { traffic } : {}),
    },
  };
}

/** The refusal without its prefix, or '' when the service is taken. */
async function refusal(wish: Wish): Promise<string> {
  try {
    await api.client.create(knativeServices, service(wish) as never, { dryRun: true });
    return '';
  } catch (error) {
    assert.ok(hasReason(error, 'BadRequest') && error instanceof Error, String(error));
    assert.ok(error.message.startsWith(prefix), error.message);
    return error.message.slice(prefix.length);
  }
}

const c0 = 'spec.template.spec.containers[0]';
const note = 'spec.template.metadata.annotations.autoscaling.knative.dev';

const table: [what: string, wish: Wish, refusal: string][] = [
  ['the least service', {}, ''],
  ['no containers', { containers: [] }, 'missing field(s): spec.template.spec.containers'],
  ['no image', { containers: [{}] }, `missing field(s): ${c0}.image`],
  [
    'image that is no reference',
    { container: { image: 'UPPER CASE' } },
    `invalid value: UPPER CASE: ${c0}.image\ncould not parse reference`,
  ],
  [
    'image with tag, port and digest',
    { container: { image: `localhost:5000/a/b:v1@sha256:${'a'.repeat(64)}` } },
    '',
  ],
  [
    'reserved variable',
    { container: { env: [{ name: 'PORT', value: '1' }] } },
    `"PORT" is a reserved environment variable: ${c0}.env[0].name`,
  ],
  [
    'reserved container',
    { container: { name: 'queue-proxy' } },
    `"queue-proxy" is a reserved container name: ${c0}.name`,
  ],
  [
    'two ports',
    { container: { ports: [{ containerPort: 1 }, { containerPort: 2 }] } },
    `more than one container port is set: ${c0}.ports\nOnly a single port is allowed across all containers`,
  ],
  [
    'reserved port',
    { container: { ports: [{ containerPort: 8012 }] } },
    `8012 is a reserved port: ${c0}.ports.containerPort\nReserved ports are: 8008, 8012, 8013, 8022, 9090, 9091`,
  ],
  [
    'port out of range',
    { container: { ports: [{ containerPort: 70_000 }] } },
    `expected 0 <= 70000 <= 65535: ${c0}.ports.containerPort`,
  ],
  [
    'service account',
    { spec: { serviceAccountName: 'foo@bar.baz' } },
    "invalid value: foo@bar.baz: spec.template.spec.serviceAccountName\na lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  ],
  ['a port without a number', { container: { ports: [{ name: 'h2c', containerPort: 0 }] } }, ''],
  [
    'port name',
    { container: { ports: [{ name: 'grpc', containerPort: 80 }] } },
    `Port name grpc is not allowed: ${c0}.ports\nName must be empty, or one of: 'h2c', 'http1'`,
  ],
  [
    'two containers without a port',
    { containers: [{ image: 'a' }, { image: 'b' }] },
    'missing field(s): spec.template.spec.containers[*].ports',
  ],
  [
    'two containers, one with a port',
    {
      containers: [
        { image: 'a', ports: [{ containerPort: 80 }] },
        { image: 'b', env: [{ name: 'PORT', value: '1' }] },
      ],
    },
    '',
  ],
  [
    'the same container name twice',
    {
      containers: [
        { name: 'x', image: 'a', ports: [{ containerPort: 80 }] },
        { name: 'x', image: 'b' },
      ],
    },
    'duplicate container name "x": spec.template.spec.containers[1].name',
  ],
  [
    'privileged',
    { container: { securityContext: { privileged: true } } },
    `invalid value: true: ${c0}.securityContext.privileged`,
  ],
  [
    'volume that nobody mounts',
    { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    'volume with name "v" not mounted: spec.template.spec.volumes[0].name',
  ],
  [
    'mount without volume',
    { container: { volumeMounts: [{ name: 'v', mountPath: '/v' }] } },
    `volumeMount has no matching volume: ${c0}.volumeMounts[0].name`,
  ],
  [
    'reserved mount',
    {
      container: { volumeMounts: [{ name: 'v', mountPath: '/dev/' }] },
      spec: { volumes: [{ name: 'v', emptyDir: {} }] },
    },
    `mountPath "/dev" is a reserved path: ${c0}.volumeMounts[0].mountPath`,
  ],
  [
    'volume behind a flag',
    {
      container: { volumeMounts: [{ name: 'v', mountPath: '/v' }] },
      spec: { volumes: [{ name: 'v', hostPath: { path: '/' } }] },
    },
    'must not set the field(s): spec.template.spec.volumes[0].hostPath',
  ],
  [
    'fields behind flags',
    { spec: { nodeSelector: { a: 'b' }, hostNetwork: true } },
    'must not set the field(s): spec.template.spec.hostNetwork, spec.template.spec.nodeSelector',
  ],
  [
    'two handlers',
    { container: { readinessProbe: { httpGet: {}, tcpSocket: {} } } },
    `expected exactly one, got both: ${c0}.readinessProbe.httpGet, ${c0}.readinessProbe.tcpSocket`,
  ],
  [
    'liveness without handler',
    { container: { livenessProbe: {} } },
    `expected exactly one, got neither: ${['exec', 'grpc', 'httpGet', 'tcpSocket'].map((kind) => `${c0}.livenessProbe.${kind}`).join(', ')}`,
  ],
  [
    'threshold without period',
    { container: { readinessProbe: { failureThreshold: 2 } } },
    `failureThreshold is disallowed when periodSeconds is zero: ${c0}.readinessProbe.failureThreshold`,
  ],
  [
    'timeout',
    { spec: { timeoutSeconds: 601 } },
    'expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds',
  ],
  [
    'concurrency',
    { spec: { containerConcurrency: -1 } },
    'expected 0 <= -1 <= 1000: spec.template.spec.containerConcurrency',
  ],
  [
    'traffic sum',
    { traffic: [{ latestRevision: true, percent: 99 }] },
    'Traffic targets sum to 99, want 100: spec.traffic',
  ],
  [
    'the same tag twice',
    {
      traffic: [
        { percent: 50, tag: 't' },
        { percent: 50, tag: 't' },
      ],
    },
    'Multiple definitions for "t": spec.traffic[0].tag, spec.traffic[1].tag',
  ],
  [
    'name and latest',
    { traffic: [{ revisionName: 'r', latestRevision: true, percent: 100 }] },
    'may not set revisionName "r" when latestRevision is true: spec.traffic[0].latestRevision',
  ],
  [
    'configuration in a service',
    { traffic: [{ configurationName: 'c', percent: 100 }] },
    'must not set the field(s): spec.traffic[0].configurationName',
  ],
  ['url', { traffic: [{ percent: 100, url: 'http://x' }] }, 'must not set the field(s): spec.traffic[0].url'],
  [
    'chosen name without prefix',
    { template: { name: 'b-1' } },
    '"b-1" must have prefix "a-": spec.template.metadata.name',
  ],
  [
    'scaling annotation in the wrong place',
    { metadata: { annotations: { 'autoscaling.knative.dev/min-scale': '1' } } },
    'invalid key name "autoscaling.knative.dev/min-scale": metadata.annotations.autoscaling.knative.dev/min-scale\nautoscaling annotations must be put under "spec.template.metadata.annotations" to work',
  ],
  [
    'min-scale',
    { annotations: { 'autoscaling.knative.dev/min-scale': '-1' } },
    `expected 0 <= -1 <= 2147483647: ${note}/min-scale`,
  ],
  [
    'max below min',
    { annotations: { 'autoscaling.knative.dev/minScale': '3', 'autoscaling.knative.dev/max-scale': '2' } },
    `max-scale=2 is less than min-scale=3: ${note}/max-scale, ${note}/minScale`,
  ],
  [
    'window',
    { annotations: { 'autoscaling.knative.dev/window': '5s' } },
    `expected 6s <= 5s <= 1h0m0s: ${note}/window`,
  ],
  ['target', { annotations: { 'autoscaling.knative.dev/target': 'x' } }, `invalid value: x: ${note}/target`],
  [
    'metric',
    { annotations: { 'autoscaling.knative.dev/metric': 'cpu' } },
    `invalid value: cpu: ${note}/metric`,
  ],
  [
    'class',
    { annotations: { 'autoscaling.knative.dev/class': 'my.autoscaling.knative.dev' } },
    `invalid value: my.autoscaling.knative.dev: ${note}/class`,
  ],
  [
    'burst capacity',
    { annotations: { 'autoscaling.knative.dev/target-burst-capacity': '-2' } },
    `invalid value: -2: ${note}/target-burst-capacity`,
  ],
  [
    'rollout duration',
    { metadata: { annotations: { 'serving.knative.dev/rollout-duration': '1500ms' } } },
    'rolloutDuration=1500ms is not at second precision: metadata.annotations.serving.knative.dev/rollout-duration',
  ],
];

describe('refusals of a service', () => {
  for (const [what, wish, expected] of table) {
    test(what, async () => assert.equal(await refusal(wish), expected));
  }

  test('several faults are told at once, sorted', async () => {
    assert.equal(
      await refusal({ containers: [{}], spec: { timeoutSeconds: 700 } }),
      `expected 0 <= 700 <= 600: spec.template.spec.timeoutSeconds\nmissing field(s): ${c0}.image`,
    );
  });
});

describe('defaults', () => {
  test('of a service with little in it', async () => {
    const made = await api.client.create(knativeServices, service({}) as never, { dryRun: true });
    assert.deepEqual(made.spec, {
      template: {
        metadata: {},
        spec: {
          containerConcurrency: 0,
          timeoutSeconds: 300,
          enableServiceLinks: false,
          containers: [
            {
              name: 'user-container',
              image: 'example.com/a',
              resources: {},
              readinessProbe: { successThreshold: 1, tcpSocket: { port: 0 } },
            },
          ],
        },
      },
      traffic: [{ latestRevision: true, percent: 100 }],
    });
  });

  test('names of several containers', async () => {
    const containers = [{ image: 'a', ports: [{ containerPort: 80 }] }, { image: 'b' }];
    const made = await api.client.create(knativeServices, service({ containers }) as never, { dryRun: true });
    const names = made.spec?.template?.spec?.containers?.map(({ name }) => name);
    assert.deepEqual(names, ['user-container-0', 'user-container-1']);
  });
});

describe('changes', () => {
  test('who made a service cannot be edited; who changed it is noted', async () => {
    const key = { namespace: 'default', name: 'noted' };
    await api.client.create(knativeServices, service({ metadata: { name: 'noted' } }) as never);
    const edit = { metadata: { annotations: { 'serving.knative.dev/creator': 'someone' } } };
    await assert.rejects(api.client.patch(knativeServices, key, { type: 'merge', body: edit }), {
      message: `${prefix}annotation value is immutable: metadata.annotations.serving.knative.dev/creator`,
    });
  });

  test('a revision is immutable', async () => {
    const key = { namespace: 'default', name: 'r' };
    const spec = { containers: [{ image: 'a' }] };
    const metadata = { name: 'r', namespace: 'default' };
    await api.client.create(revisions, {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Revision',
      metadata,
      spec,
    });
    await assert.rejects(
      api.client.patch(revisions, key, { type: 'merge', body: { spec: { timeoutSeconds: 1 } } }),
      {
        message: `${prefix}Immutable fields changed (-old +new): spec\n{spec}.timeoutSeconds:\n\t-: 300\n\t+: 1`,
      },
    );
  });

  test('a route names exactly one of revision and configuration', async () => {
    const metadata = { name: 'rt', namespace: 'default' };
    const route = {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Route',
      metadata,
      spec: { traffic: [{ percent: 100 }] },
    };
    await assert.rejects(api.client.create(routes, route), {
      message: `${prefix}expected exactly one, got neither: spec.traffic[0].configurationName, spec.traffic[0].revisionName`,
    });
  });

  test('settings that Knative would not take are refused, and flags take effect at once', async () => {
    const features = makeConfigMap('config-features');
    const data = { ...features.data, 'kubernetes.podspec-nodeselector': 'enabled' };
    await api.client.create(configMaps, { ...features, data });
    assert.equal(await refusal({ spec: { nodeSelector: { a: 'b' } } }), '');
    const key = { namespace: 'knative-serving', name: 'config-features' };
    const edit = (value: object) =>
      api.client.patch(configMaps, key, { type: 'merge', body: { data: value } });
    await assert.rejects(edit({ 'multi-container': 'perhaps' }), /is not one of enabled, allowed, disabled/);
    await assert.rejects(edit({ _example: 'mine' }), /"_example" was changed/);
  });
});
