/** Patches without sense against real kinds: refused as the client's fault or taken, and nothing else is harmed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { ResourceDef } from '../../../src/api/resource.ts';
import type { PatchRequest } from '../../../src/kube/server/service/requests.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { startTestApi } from '../../support/api.ts';
import { at, configMap, pod, resource } from './support.ts';

const words = [
  'apiVersion',
  'kind',
  'metadata',
  'name',
  'namespace',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
  'resourceVersion',
  'uid',
  'generation',
  'spec',
  'status',
  'template',
  'containers',
  'initContainers',
  'env',
  'ports',
  'containerPort',
  'protocol',
  'volumes',
  'image',
  'resources',
  'limits',
  'requests',
  'cpu',
  'replicas',
  'selector',
  'matchLabels',
  'strategy',
  'rollingUpdate',
  'maxSurge',
  'type',
  'clusterIP',
  'sessionAffinity',
  'data',
  'binaryData',
  'immutable',
  'tolerations',
  'conditions',
  'constructor',
  '__proto__',
  'prototype',
  'toString',
  '',
  '$patch',
  '$retainKeys',
  '$setElementOrder/containers',
  '$setElementOrder/ports',
  '$deleteFromPrimitiveList/finalizers',
  '$setElementOrder/__proto__',
  '$deleteFromPrimitiveList/__proto__',
  'f:spec',
  '.',
  'k:{"name":"main"}',
  'x/y',
  'a~b',
];

const word = fc.constantFrom(...words);
const scalar = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    1,
    -1,
    80,
    1.5,
    2 ** 31,
    'main',
    'x',
    '',
    'TCP',
    '100m',
    '-5',
    'delete',
  ),
  fc.constantFrom<unknown>('replace', 'merge', 'v1', 'apps/v1', 'Pod', 'Deployment', 'a', 'default'),
);
const { value, members } = fc.letrec<{ value: unknown; members: Record<string, unknown> }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    scalar,
    tie('members'),
    fc.array(tie('value'), { maxLength: 4 }),
  ),
  members: fc
    .array(fc.tuple(word, tie('value')), { maxLength: 5 })
    // As JSON.parse makes it: `__proto__` is a member like any other.
    .map((entries) =>
      JSON.parse(
        `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)}`).join()}}`,
      ),
    ),
}));

const step = fc.oneof(word, fc.constantFrom('0', '1', '-', '-1', '-9', '01', '1e3', '~1', '~2'));
const pointer = fc.array(step, { maxLength: 5 }).map((steps) => steps.map((each) => `/${each}`).join(''));
const operation = fc.oneof(
  fc.record(
    {
      op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'nope'),
      path: pointer,
      from: pointer,
      value,
    },
    { requiredKeys: [], noNullPrototype: true },
  ),
  value,
);

const config = (def: ResourceDef): fc.Arbitrary<unknown> =>
  fc.oneof(
    members.map((more) => ({
      apiVersion: def.group ? `${def.group}/${def.version}` : def.version,
      kind: def.kind,
      ...more,
    })),
    value,
  );

test('fuzz: any patch of real kinds is taken or is the client’s fault', async () => {
  const started = await startTestApi();
  const { service } = started;
  const deployments = resource(service, 'deployments', 'apps');
  const services = resource(service, 'services');
  const ksvc = resource(service, 'services', 'serving.knative.dev');
  const objects: readonly (readonly [ResourceDef, object])[] = [
    [resource(service, 'configmaps'), configMap('a', { x: '1' })],
    [resource(service, 'pods'), pod('a')],
    [
      deployments,
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'a', finalizers: ['x.dev/a'] },
        spec: {
          selector: { matchLabels: { a: 'a' } },
          template: {
            metadata: { labels: { a: 'a' } },
            spec: { containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 80 }] }] },
          },
        },
      },
    ],
    [
      services,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'a' },
        spec: {
          ports: [
            { port: 80, name: 't' },
            { port: 80, protocol: 'UDP', name: 'u' },
          ],
        },
      },
    ],
    [
      ksvc,
      {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name: 'a' },
        spec: { template: { spec: { containers: [{ image: 'x' }] } } },
      },
    ],
  ];
  const taken = new Set<string>();
  const polluted = Object.keys(Object.prototype).length;
  try {
    for (const [def, object] of objects) {
      await service.create(def, 'default', object, { user: 'tester' });
      const patches: fc.Arbitrary<PatchRequest> = fc.oneof(
        fc.oneof(members, value).map((body) => ({ type: 'merge' as const, body })),
        fc.oneof(members, value).map((body) => ({ type: 'strategic' as const, body })),
        fc
          .oneof(fc.array(operation, { maxLength: 4 }), value)
          .map((body) => ({ type: 'json' as const, body })),
        config(def).map((body) => ({ type: 'apply' as const, body })),
      );
      await fc.assert(
        fc.asyncProperty(
          patches,
          fc.constantFrom(undefined, 'status' as const, 'scale' as const),
          fc.boolean(),
          async (patch, subresource, force) => {
            const stored = (await service.get(def, at('a'))).object;
            const before = JSON.stringify(stored);
            const sent = JSON.stringify(patch);
            try {
              await service.patch(def, at('a'), patch, {
                user: 'tester',
                fieldManager: 'fuzzer',
                dryRun: true,
                force,
                ...(subresource ? { subresource } : {}),
              });
              taken.add(patch.type);
            } catch (error) {
              assert.ok(error instanceof ApiError && error.code < 500, String((error as Error).stack));
            }
            assert.equal(JSON.stringify(patch), sent, 'the patch is as it was');
            assert.equal(JSON.stringify((await service.get(def, at('a'))).object), before);
            assert.equal(Object.keys(Object.prototype).length, polluted);
            assert.equal(({} as Record<string, unknown>)['spec'], undefined);
          },
        ),
        { numRuns: 300 },
      );
    }
    assert.deepEqual([...taken].sort(), ['apply', 'json', 'merge', 'strategic'], 'some made sense');
  } finally {
    await started.close();
  }
});
