import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { podAutoscalers } from '../../src/api/autoscaling/index.ts';
import { deployments } from '../../src/api/kubernetes/workloads.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { configMaps } from '../../src/api/kubernetes/core.ts';
import { services } from '../../src/api/kubernetes/services.ts';
import { ingresses } from '../../src/api/networking/index.ts';
import { findCondition } from '../../src/api/knative/conditions.ts';
import type { KubeObject } from '../../src/api/object.ts';
import { labels } from '../../src/api/serving/labels.ts';
import {
  configurations,
  knativeServices,
  revisions,
  routes,
  type KnativeService,
} from '../../src/api/serving/index.ts';
import { resources } from '../../src/api/registry.ts';
import { waitFor } from '../support/wait.ts';
import { makeKsvc, ready, startServing, type ServingPlatform } from './support.ts';

let platform: ServingPlatform;
before(async () => {
  platform = await startServing();
});
after(() => platform.close());

const at = (name: string) => ({ namespace: 'default', name });

async function apply(service: ReturnType<typeof makeKsvc>): Promise<KnativeService> {
  return platform.client.create(knativeServices, service);
}

function change(name: string, body: object): Promise<KnativeService> {
  return platform.client.patch(knativeServices, at(name), { type: 'merge', body });
}

/** Ready, and speaking of the newest spec: what `kubectl wait` looks at. */
function settled(service: KnativeService): boolean {
  return ready(service) && service.status?.observedGeneration === service.metadata.generation;
}

function condition(object: { status?: { conditions?: readonly object[] } }, type: string) {
  const found = findCondition(object.status?.conditions as never, type);
  return found && { status: found.status, reason: found.reason, message: found.message };
}

test('a service becomes ready at its address, and its pods have what the runtime contract says', async () => {
  await apply(makeKsvc('hello'));
  const service = await platform.until(knativeServices, 'hello', 'ready', settled);
  assert.equal(service.status?.url, 'http://hello.default.example.com');
  assert.equal(service.status?.address?.url, 'http://hello.default.svc.cluster.local');
  assert.equal(service.status?.latestReadyRevisionName, 'hello-00001');
  assert.equal(service.metadata.annotations?.['serving.knative.dev/creator'], 'system:admin');
  assert.deepEqual(platform.path.splits('hello.default.example.com'), ['default/hello-00001 100']);
  assert.equal(platform.path.hosts.get('hello.default.example.com')?.visibility, 'public');
  assert.equal(platform.path.hosts.get('hello.default.svc.cluster.local')?.visibility, 'local');

  const deployment = await platform.get(deployments, 'hello-00001-deployment');
  const [container] = deployment.spec?.template.spec?.containers ?? [];
  const env = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
  assert.deepEqual(env, {
    TARGET: 'World',
    PORT: '8080',
    K_REVISION: 'hello-00001',
    K_CONFIGURATION: 'hello',
    K_SERVICE: 'hello',
  });
  assert.match(container?.image ?? '', /^example\.com\/hello@sha256:/);
  assert.equal(container?.readinessProbe?.tcpSocket?.port, 8080);
  assert.equal(deployment.spec?.template.spec?.terminationGracePeriodSeconds, 300);

  const revision = await platform.until(revisions, 'hello-00001', 'routed', ({ metadata }) => {
    return metadata.labels?.[labels.routingState] === 'active';
  });
  assert.equal(revision.metadata.annotations?.['serving.knative.dev/routes'], 'hello');
  const placeholder = await waitFor('placeholder at the gateway', async () => {
    const found = await platform.get(services, 'hello');
    return found.spec?.externalName?.startsWith('gateway.') ? found : undefined;
  });
  assert.equal(placeholder.spec?.type, 'ExternalName');
});

test('a changed template makes a second revision, and traffic moves when it is ready', async () => {
  await apply(makeKsvc('second'));
  await platform.until(knativeServices, 'second', 'ready', settled);
  await change('second', makeKsvc('second', { target: 'two' }));
  const service = await platform.until(knativeServices, 'second', 'second revision', (s) => {
    return settled(s) && s.status?.latestReadyRevisionName === 'second-00002';
  });
  assert.equal(service.status?.traffic?.[0]?.revisionName, 'second-00002');
  assert.deepEqual(platform.path.splits('second.default.example.com'), ['default/second-00002 100']);
  const old = await platform.until(revisions, 'second-00001', 'in reserve', ({ metadata }) => {
    return metadata.labels?.[labels.routingState] === 'reserve';
  });
  assert.equal(old.metadata.annotations?.['serving.knative.dev/routes'], undefined);
});

test('traffic is split by percent, and tags have hosts of their own', async () => {
  await apply(makeKsvc('split'));
  await platform.until(knativeServices, 'split', 'ready', settled);
  await change('split', makeKsvc('split', { target: 'two' }));
  await platform.until(knativeServices, 'split', 'second revision', (s) => {
    return settled(s) && s.status?.latestReadyRevisionName === 'split-00002';
  });
  await change('split', {
    spec: {
      traffic: [
        { revisionName: 'split-00001', percent: 50, tag: 'old' },
        { latestRevision: true, percent: 50 },
      ],
    },
  });
  const service = await platform.until(knativeServices, 'split', 'split', (s) => {
    return settled(s) && s.status?.traffic?.length === 2;
  });
  assert.deepEqual(platform.path.splits('split.default.example.com'), [
    'default/split-00001 50',
    'default/split-00002 50',
  ]);
  assert.deepEqual(platform.path.splits('old-split.default.example.com'), ['default/split-00001 100']);
  assert.equal(service.status?.traffic?.[0]?.url, 'http://old-split.default.example.com');
  const names = (await platform.list(services)).map(({ metadata }) => metadata.name);
  assert.ok(names.includes('old-split'));

  await change('split', { spec: { traffic: [{ latestRevision: true, percent: 100 }] } });
  await platform.until(
    knativeServices,
    'split',
    'one target',
    (s) => settled(s) && s.status?.traffic?.length === 1,
  );
  await waitFor('tag gone', async () => {
    const left = (await platform.list(services)).some(({ metadata }) => metadata.name === 'old-split');
    return !left && !platform.path.hosts.has('old-split.default.example.com');
  });
});

test('an image that is not there is named, and the service gets ready once it is', async () => {
  const image = 'example.com/absent';
  platform.missing.set(image, 'manifest unknown');
  await apply(makeKsvc('absent', { image }));
  const service = await platform.until(knativeServices, 'absent', 'failed', (s) => {
    return condition(s, 'Ready')?.status === 'False';
  });
  const message =
    'Revision "absent-00001" failed with message: Unable to fetch image "example.com/absent": manifest unknown.';
  assert.deepEqual(condition(service, 'ConfigurationsReady'), {
    status: 'False',
    reason: 'RevisionFailed',
    message,
  });
  const revision = await platform.get(revisions, 'absent-00001');
  assert.equal(condition(revision, 'ContainerHealthy')?.reason, 'ContainerMissing');
  const route = await platform.until(
    routes,
    'absent',
    'failed',
    (r) => condition(r, 'Ready')?.status === 'False',
  );
  assert.equal(condition(route, 'AllTrafficAssigned')?.reason, 'RevisionMissing');
  assert.equal(
    condition(route, 'AllTrafficAssigned')?.message,
    'Configuration "absent" does not have any ready Revision.',
  );
  platform.missing.delete(image);
  await platform.until(knativeServices, 'absent', 'ready', settled);
});

test('a crashing container is told with its exit code and last words; the old revision keeps the traffic', async () => {
  const image = 'example.com/crash';
  await apply(makeKsvc('crash'));
  await platform.until(knativeServices, 'crash', 'ready', settled);
  platform.fates.set(image, { exitCode: 5, message: 'no database' });
  await change('crash', makeKsvc('crash', { image }));
  const service = await platform.until(knativeServices, 'crash', 'failed', (s) => {
    return condition(s, 'Ready')?.status === 'False';
  });
  assert.equal(
    condition(service, 'Ready')?.message,
    'Revision "crash-00002" failed with message: Container failed with: no database.',
  );
  assert.equal(service.status?.latestReadyRevisionName, 'crash-00001');
  const revision = await platform.get(revisions, 'crash-00002');
  assert.deepEqual(condition(revision, 'ContainerHealthy'), {
    status: 'False',
    reason: 'ExitCode5',
    message: 'Container failed with: no database',
  });
  assert.deepEqual(platform.path.splits('crash.default.example.com'), ['default/crash-00001 100']);
});

test('a port that is never opened leaves the revision deploying', async () => {
  const image = 'example.com/mute';
  platform.fates.set(image, 'unready');
  await apply(makeKsvc('mute', { image }));
  const revision = await waitFor('deploying', async () => {
    const found = await platform.get(revisions, 'mute-00001').catch(() => undefined);
    return found && condition(found, 'Ready')?.reason === 'Deploying' ? found : undefined;
  });
  assert.deepEqual(condition(revision, 'ContainerHealthy'), {
    status: 'Unknown',
    reason: 'Deploying',
    message: undefined,
  });
});

test('going back to an earlier chosen name uses the revision that is there', async () => {
  await apply(makeKsvc('byo', { revision: 'byo-blue' }));
  await platform.until(knativeServices, 'byo', 'ready', settled);
  const blue = await platform.get(revisions, 'byo-blue');
  await change('byo', makeKsvc('byo', { revision: 'byo-green', target: 'green' }));
  await platform.until(knativeServices, 'byo', 'green', (s) => {
    return settled(s) && s.status?.traffic?.[0]?.revisionName === 'byo-green';
  });
  await change('byo', makeKsvc('byo', { revision: 'byo-blue' }));
  await platform.until(knativeServices, 'byo', 'blue again', (s) => {
    return settled(s) && s.status?.traffic?.[0]?.revisionName === 'byo-blue';
  });
  assert.equal((await platform.get(revisions, 'byo-blue')).metadata.uid, blue.metadata.uid);

  await assert.rejects(change('byo', makeKsvc('byo', { revision: 'byo-blue', target: 'other' })), {
    message: /Saw the following changes without a name change \(-old \+new\): spec\.template\.metadata\.name/,
  });
});

test('a chosen name that another service has is refused without touching the traffic', async () => {
  await apply(makeKsvc('taken-a', { revision: 'taken-a-one' }));
  await platform.until(knativeServices, 'taken-a', 'ready', settled);
  await apply(makeKsvc('taken', { revision: 'taken-a-one' }));
  const service = await platform.until(knativeServices, 'taken', 'refused', (s) => {
    return condition(s, 'Ready')?.status === 'False';
  });
  assert.deepEqual(condition(service, 'ConfigurationsReady')?.reason, 'RevisionFailed');
  assert.ok(ready(await platform.get(knativeServices, 'taken-a')));
});

test('labels and annotations that a service loses are lost by its configuration and route', async () => {
  await apply(makeKsvc('plain'));
  await change('plain', {
    metadata: { labels: { team: 'a', stays: 'yes' }, annotations: { note: 'x' } },
  });
  await platform.until(
    configurations,
    'plain',
    'labelled',
    ({ metadata }) => metadata.labels?.['team'] === 'a',
  );
  await platform.until(knativeServices, 'plain', 'ready', settled);
  await change('plain', { metadata: { labels: { team: null }, annotations: { note: null } } });
  const lost = ({ metadata }: KubeObject): boolean =>
    metadata.labels?.['team'] === undefined && metadata.annotations?.['note'] === undefined;
  const route = await platform.until(routes, 'plain', 'without them', lost);
  const configuration = await platform.until(configurations, 'plain', 'without them', lost);
  assert.equal(route.metadata.labels?.['stays'], 'yes');
  assert.equal(configuration.metadata.labels?.['stays'], 'yes');
  assert.equal(configuration.metadata.annotations?.['serving.knative.dev/routes'], 'plain');
  assert.equal(configuration.status?.latestCreatedRevisionName, 'plain-00001', 'no other revision');
});

test('a cluster-local service has no public host', async () => {
  const service = makeKsvc('inside');
  const metadata = { ...service.metadata, labels: { [labels.visibility]: 'cluster-local' } };
  await platform.client.create(knativeServices, { ...service, metadata });
  const found = await platform.until(knativeServices, 'inside', 'ready', settled);
  assert.equal(found.status?.url, 'http://inside.default.svc.cluster.local');
  assert.ok(!platform.path.hosts.has('inside.default.example.com'));
  assert.equal(platform.path.hosts.get('inside.default')?.visibility, 'local');
});

test('a placeholder name that a user has taken is told', async () => {
  const spec = { selector: { app: 'mine' }, ports: [{ port: 80 }] };
  const metadata = { name: 'occupied', namespace: 'default' };
  await platform.client.create(services, { apiVersion: 'v1', kind: 'Service', metadata, spec });
  await apply(makeKsvc('occupied'));
  const service = await platform.until(knativeServices, 'occupied', 'told', (s) => {
    return condition(s, 'RoutesReady')?.status === 'False';
  });
  assert.deepEqual(condition(service, 'RoutesReady'), {
    status: 'False',
    reason: 'NotOwned',
    message: 'There is an existing placeholder Service "occupied" that we do not own.',
  });
});

test('deleting a service leaves nothing behind', async () => {
  await apply(makeKsvc('gone'));
  await platform.until(knativeServices, 'gone', 'ready', settled);
  await platform.client.delete(knativeServices, at('gone'));
  await waitFor('everything of it gone', async () => {
    for (const def of resources) {
      if (!def.namespaced || def.kind === 'Event') continue;
      const left = await platform.list(def);
      if (left.some(({ metadata }) => metadata.name.startsWith('gone'))) return false;
    }
    return (
      !platform.path.hosts.has('gone.default.example.com') &&
      !platform.path.backends.has('default/gone-00001')
    );
  });
});

test('settings are created with their explanation, and edits take effect at once', async () => {
  const key = { namespace: 'knative-serving', name: 'config-domain' };
  const domain = await platform.client.get(configMaps, key);
  assert.ok(domain.data?.['_example']);
  const body = { data: { 'shop.test': 'selector:\n  app: shop\n' } };
  await platform.client.patch(configMaps, key, { type: 'merge', body });
  const service = makeKsvc('till');
  await platform.client.create(knativeServices, {
    ...service,
    metadata: { ...service.metadata, labels: { app: 'shop' } },
  });
  const found = await platform.until(knativeServices, 'till', 'ready', settled);
  assert.equal(found.status?.url, 'http://till.default.shop.test');
});

test('nothing is written once everything is settled', async () => {
  await apply(makeKsvc('calm', { annotations: { 'autoscaling.knative.dev/min-scale': '1' } }));
  await platform.until(knativeServices, 'calm', 'ready', settled);
  const defs = [
    knativeServices,
    configurations,
    routes,
    revisions,
    podAutoscalers,
    ingresses,
    deployments,
    pods,
  ];
  const versions = async (): Promise<string> => {
    const objects = (await Promise.all(defs.map((def) => platform.list<never>(def as never)))).flat() as {
      metadata: { name: string; resourceVersion?: string };
    }[];
    return objects
      .filter(({ metadata }) => metadata.name.startsWith('calm'))
      .map(({ metadata }) => metadata.resourceVersion)
      .join();
  };
  await platform.until(
    revisions,
    'calm-00001',
    'routed',
    (r) => r.metadata.labels?.[labels.routingState] === 'active',
  );
  await waitFor('calm', async () => {
    const first = await versions();
    // Longer than a tick of the autoscaler.
    const end = Date.now() + 2500;
    return waitFor('tick', () => Date.now() > end).then(async () => first === (await versions()));
  });
});
