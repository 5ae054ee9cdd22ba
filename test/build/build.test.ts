import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { builds, type Build, type BuildSpec } from '../../src/api/build/build.ts';
import { buildTemplates, clusterBuildTemplates } from '../../src/api/build/template.ts';
import { pods, secrets, serviceAccounts } from '../../src/api/kubernetes/index.ts';
import type { Condition } from '../../src/api/object.ts';
import type { Pod } from '../../src/api/pods.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { buildControllers, shippedTemplates, type BuildConfig } from '../../src/build/index.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { startControllers } from '../../src/kube/controller/kernel.ts';
import { startTestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

const config: BuildConfig = {
  images: { git: 'tools/git', credentials: 'tools/git', nop: 'base/node' },
  registryEndpoint: () => 'http://10.0.0.1:5',
  localSources: true,
};
const namespace = 'default';
const steps = [{ image: 'busybox', args: ['true'] }];

interface Tools {
  readonly client: Client;
  readonly clock: ManualClock;
  readonly create: (spec: BuildSpec, name?: string) => Promise<Build>;
  readonly read: (name?: string) => Promise<Build>;
  /** Waits for a Succeeded condition that has these members. */
  readonly condition: (expected: Partial<Condition>, name?: string) => Promise<Build>;
  readonly pod: (name?: string) => Promise<Pod>;
  readonly setPodStatus: (status: object, name?: string) => Promise<void>;
  readonly podsLeft: () => Promise<number>;
  /** Ends the controllers, and starts them anew. */
  readonly restart: () => Promise<void>;
}

async function withController(
  work: (tools: Tools) => Promise<void>,
  options: { serviceAccount?: boolean } = {},
): Promise<void> {
  const clock = new ManualClock(Date.now());
  const api = await startTestApi({ clock });
  const { client } = api;
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } };
  if (options.serviceAccount !== false) {
    await client.create(serviceAccounts, account).catch(() => undefined);
  }
  const start = async (): Promise<() => Promise<void>> => {
    const informers = new SharedInformers({ client, clock, log: silentLogger });
    const env = { client, informers, clock, log: silentLogger };
    const kernel = await startControllers(buildControllers(env, config), env);
    return async () => {
      await kernel.stop();
      informers.close();
    };
  };
  let stop = await start();
  const read: Tools['read'] = (name = 'b') => client.get(builds, { namespace, name });
  const pod: Tools['pod'] = (name = 'b') =>
    waitFor(`the pod of ${name}`, async () => {
      clock.advance(20);
      const podName = (await read(name)).status?.cluster?.podName;
      return podName ? await client.get(pods, { namespace, name: podName }) : undefined;
    });
  try {
    await work({
      client,
      clock,
      read,
      pod,
      create: (spec, name = 'b') =>
        client.create(builds, {
          apiVersion: 'build.knative.dev/v1alpha1',
          kind: 'Build',
          metadata: { name, namespace },
          spec,
        }),
      condition: (expected, name = 'b') =>
        waitFor(`${name} to be ${JSON.stringify(expected)}`, async () => {
          // Retries of the kernel wait for the clock too.
          clock.advance(20);
          const build = await read(name);
          const found = build.status?.conditions?.find((item) => item.type === 'Succeeded');
          const matches = Object.entries(expected).every(
            ([key, value]) => found?.[key as keyof Condition] === value,
          );
          return found && matches ? build : undefined;
        }),
      async setPodStatus(status, name = 'b') {
        await client.update(pods, { ...(await pod(name)), status }, { subresource: 'status' });
      },
      podsLeft: async () => {
        const { items } = await client.list(pods, { namespace });
        return items.filter((item) => !item.metadata.deletionTimestamp).length;
      },
      async restart() {
        await stop();
        stop = await start();
      },
    });
  } finally {
    await stop();
    await api.close();
  }
}

const finished = (exitCode: number) => ({
  name: 'build-step-unnamed-0',
  image: 'i',
  imageID: 'i',
  ready: false,
  restartCount: 0,
  state: { terminated: { exitCode, finishedAt: '2030-01-01T00:00:00Z' } },
});

describe('Build reconciler', () => {
  it('makes one pod and follows it to the end', () =>
    withController(async ({ create, condition, pod, setPodStatus, read, podsLeft }) => {
      const { spec } = await create({ source: { git: { url: 'https://x', revision: 'main' } }, steps });
      assert.equal(spec?.timeout, '10m0s');
      assert.equal(spec.serviceAccountName, 'default');
      await condition({ status: 'Unknown', reason: 'Pending' });
      const made = await pod();
      assert.match(made.metadata.name, /^b-pod-[0-9a-f]{6}$/);
      assert.equal(made.metadata.labels?.['build.knative.dev/buildName'], 'b');
      await setPodStatus({ phase: 'Running' });
      await condition({ status: 'Unknown', reason: 'Building' });
      await setPodStatus({
        phase: 'Succeeded',
        initContainerStatuses: [finished(0), finished(0), finished(0)],
      });
      const { status } = await condition({ status: 'True' });
      assert.equal(status?.startTime, made.metadata.creationTimestamp);
      assert.equal(status?.completionTime, '2030-01-01T00:00:00Z');
      assert.equal(status?.builder, 'Cluster');
      assert.deepEqual(status?.stepsCompleted, ['build-step-unnamed-0']);
      assert.equal((await read()).status?.cluster?.podName, made.metadata.name);
      assert.equal(await podsLeft(), 1, 'the pod stays for its logs');
    }));

  it('tells which step failed and how to read its log', () =>
    withController(async ({ create, condition, setPodStatus }) => {
      await create({ steps });
      await setPodStatus({ phase: 'Failed', initContainerStatuses: [finished(0), finished(3)] });
      const { status } = await condition({ status: 'False' });
      assert.match(
        status?.conditions?.[0]?.message ?? '',
        /^build step "build-step-unnamed-0" exited with code 3 .*kubectl -n default logs b-pod-/,
      );
    }));

  it('never gives a build two pods, also when it is restarted', () =>
    withController(async ({ create, pod, podsLeft, restart, condition, setPodStatus }) => {
      await Promise.all(['a1', 'a2', 'a3', 'a4', 'a5'].map((name) => create({ steps }, name)));
      for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) await pod(name);
      const before = (await pod('a3')).metadata.uid;
      await restart();
      await setPodStatus({ phase: 'Running' }, 'a3');
      await condition({ reason: 'Building' }, 'a3');
      assert.equal((await pod('a3')).metadata.uid, before);
      assert.equal(await podsLeft(), 5);
    }));

  it('ends a build that takes too long, and deletes its pod', () =>
    withController(async ({ create, pod, clock, condition, podsLeft, setPodStatus }) => {
      await create({ steps, timeout: '30s' });
      await pod();
      await setPodStatus({ phase: 'Running' });
      await condition({ reason: 'Building' });
      clock.advance(40_000);
      const { status } = await condition({ status: 'False', reason: 'BuildTimeout' });
      assert.equal(status?.conditions?.[0]?.message, 'Build "b" failed to finish within "30s"');
      assert.ok(status?.completionTime && status.startTime);
      await waitFor('the pod to go', async () => (await podsLeft()) === 0);
    }));

  it('counts the time of a build anew from its start after a restart', () =>
    withController(async ({ create, pod, clock, condition, restart }) => {
      await create({ steps, timeout: '30s' });
      await pod();
      await restart();
      clock.advance(31_000);
      await condition({ reason: 'BuildTimeout' });
    }));

  for (const member of ['status', 'Status'] as const) {
    it(`ends a build that is cancelled by ${member}`, () =>
      withController(async ({ client, create, pod, condition, podsLeft }) => {
        await create({ steps });
        await pod();
        await client.patch(
          builds,
          { namespace, name: 'b' },
          { type: 'merge', body: { spec: { [member]: 'BuildCancelled' } } },
        );
        const { status } = await condition({ status: 'False', reason: 'BuildCancelled' });
        assert.equal(status?.conditions?.[0]?.message, 'Build "b" was cancelled');
        await waitFor('the pod to go', async () => (await podsLeft()) === 0);
      }));
  }

  it('takes steps from templates of the namespace and of the cluster', () =>
    withController(async ({ client, create, pod }) => {
      const apiVersion = 'build.knative.dev/v1alpha1';
      const spec = { parameters: [{ name: 'A' }], steps: [{ image: 'x', args: ['${A}'] }] };
      await client.create(buildTemplates, {
        apiVersion,
        kind: 'BuildTemplate',
        metadata: { name: 't', namespace },
        spec,
      });
      await client.create(clusterBuildTemplates, {
        apiVersion,
        kind: 'ClusterBuildTemplate',
        metadata: { name: 't' },
        spec,
      });
      for (const kind of ['BuildTemplate', 'ClusterBuildTemplate']) {
        const name = kind.toLowerCase();
        await create({ template: { name: 't', kind, arguments: [{ name: 'A', value: kind }] } }, name);
        assert.deepEqual((await pod(name)).spec?.initContainers?.at(-1)?.args, [kind]);
      }
    }));

  it('can use the template that comes with Knapsack', () =>
    withController(async ({ client, create, pod }) => {
      for (const template of shippedTemplates()) await client.create(clusterBuildTemplates, template);
      const image = 'registry.knapsack.local/x';
      await create({
        source: { git: { url: tmpdir(), revision: 'main' } },
        template: {
          name: 'node',
          kind: 'ClusterBuildTemplate',
          arguments: [{ name: 'IMAGE', value: image }],
        },
      });
      const step = (await pod()).spec?.initContainers?.at(-1);
      assert.equal(step?.name, 'build-step-build-and-push');
      assert.ok(step?.args?.includes(`--image=${image}`));
      assert.ok(step?.args?.includes('--directory=/workspace'));
      assert.ok(
        step.env?.some(({ name, value }) => name === 'KNAPSACK_REGISTRY' && value === 'http://10.0.0.1:5'),
      );
    }));

  it('gives builds the credentials of their ServiceAccount', () =>
    withController(async ({ client, create, pod }) => {
      const annotations = { 'build.knative.dev/docker-0': 'https://index.docker.io/v1/' };
      await client.create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'hub', namespace, annotations },
        type: 'kubernetes.io/basic-auth',
        stringData: { username: 'u', password: 'p' },
      });
      await client.create(serviceAccounts, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'bot', namespace },
        secrets: [{ name: 'hub' }],
      });
      await create({ steps, serviceAccountName: 'bot' });
      const { spec } = await pod();
      assert.ok(spec?.initContainers?.[0]?.args?.includes('--basic-docker=hub=https://index.docker.io/v1/'));
      assert.ok(spec?.volumes?.some((volume) => volume.secret?.secretName === 'hub'));
    }));

  const refused: [string, BuildSpec, RegExp][] = [
    [
      'a missing template',
      { template: { name: 'none' } },
      /buildtemplates\.build\.knative\.dev "none" not found/,
    ],
    [
      'a missing cluster template',
      { template: { name: 'none', kind: 'ClusterBuildTemplate' } },
      /clusterbuildtemplates.* "none" not found/,
    ],
    ['a missing ServiceAccount', { steps, serviceAccountName: 'none' }, /serviceaccounts "none" not found/],
    [
      'a path that is not there',
      { steps, source: { git: { url: 'file:///no/such/repository', revision: 'main' } } },
      /^MissingSource: \/no\/such\/repository is not a directory of this machine$/,
    ],
    ['a source without revision', { steps, source: { git: { url: 'x' } } }, /Revision/],
  ];
  for (const [what, spec, message] of refused) {
    it(`ends a build with ${what}`, () =>
      withController(async ({ create, condition, podsLeft }) => {
        await create(spec);
        const { status } = await condition({ status: 'False', reason: 'BuildValidationFailed' });
        assert.match(status?.conditions?.[0]?.message ?? '', message);
        assert.equal(status?.cluster?.podName, '');
        assert.equal(await podsLeft(), 0);
      }));
  }

  it('ends a build whose pod the API refuses', () =>
    withController(async ({ create, condition }) => {
      await create({ steps, volumes: [{ name: 'workspace', emptyDir: {} }] });
      const { status } = await condition({ status: 'False', reason: 'BuildExecuteFailed' });
      assert.match(status?.conditions?.[0]?.message ?? '', /spec\.volumes/);
    }));

  it('waits for the default ServiceAccount of a new namespace', () =>
    withController(
      async ({ client, create, read, pod, clock }) => {
        await create({ steps });
        await client.create(serviceAccounts, {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'default', namespace },
        });
        await waitFor('the pod', async () => {
          clock.advance(500);
          return (await read()).status?.cluster?.podName !== undefined;
        });
        await pod();
      },
      { serviceAccount: false },
    ));

  it('does not follow a build that is gone', () =>
    withController(async ({ client, create, pod }) => {
      await create({ steps });
      await pod();
      await client.delete(builds, { namespace, name: 'b' });
      await assert.rejects(client.get(builds, { namespace, name: 'b' }), isNotFound);
      await create({ steps }, 'next');
      await pod('next');
    }));
});
