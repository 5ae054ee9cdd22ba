/** What client libraries of other languages send and expect: requests as they leave them, answers as they read them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { WebSocket, type ClientOptions } from 'ws';
import { assertStatus, configMap, configMaps, startTestServer, type TestServer } from './support.ts';

const namespace = '/namespaces/default';
const leases = `/apis/coordination.k8s.io/v1${namespace}/leases`;
const deployments = `/apis/apps/v1${namespace}/deployments`;
const containers = [{ name: 'c', image: 'x' }];

interface Answer {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly resourceVersion: string;
    readonly labels?: Record<string, string>;
    readonly managedFields?: readonly { manager: string; time: string; fieldsV1: Record<string, unknown> }[];
  };
  readonly spec: Record<string, unknown>;
  readonly status: Record<string, unknown>;
}

describe('client libraries of other languages', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ roles: true });
  });
  after(() => server.close());

  const ok = async (
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const reply = await server.call(method, path, { ...(body ? { body } : {}), headers });
    assert.ok(reply.status < 300, reply.body.toString());
    return reply.json<Answer>();
  };
  const patch = (type: string): Record<string, string> => ({ 'content-type': `application/${type}` });

  describe('times', () => {
    it('may be spelled as Python spells them in a replace of what was read', async () => {
      const created = await ok('POST', configMaps, configMap('python', { a: '1' }));
      const { metadata } = created;
      const respelled = (time: string): string => time.replace('Z', '+00:00');
      const replaced = await ok('PUT', `${configMaps}/python`, {
        ...created,
        metadata: {
          ...metadata,
          creationTimestamp: respelled(metadata.creationTimestamp),
          managedFields: metadata.managedFields?.map((entry) => ({ ...entry, time: respelled(entry.time) })),
        },
        data: { a: '2' },
      });
      assert.equal(replaced.metadata.creationTimestamp, metadata.creationTimestamp);
      for (const { time } of replaced.metadata.managedFields ?? []) assert.match(time, /:\d\dZ$/);
    });

    it('are kept in one spelling, so that reading and writing back changes nothing', async () => {
      const spec = { holderIdentity: 'a', renewTime: '2026-01-01T01:00:00.123456+01:00' };
      const lease = await ok('POST', leases, { metadata: { name: 'respelled' }, spec });
      assert.equal(lease.spec['renewTime'], '2026-01-01T00:00:00.123456Z');
      const again = await ok('PUT', `${leases}/respelled`, {
        ...lease,
        spec: { ...spec, renewTime: '2026-01-01T00:00:00.123456+00:00' },
      });
      assert.equal(again.metadata.resourceVersion, lease.metadata.resourceVersion);
    });

    it('that Go cannot read are a bad request', async () => {
      for (const [body, why] of [
        [{ spec: { renewTime: '2026-01-01T00:00:00.123Z' } }, /cannot parse ".123Z" as ".000000"/],
        [{ metadata: { creationTimestamp: 'x' } }, /cannot parse "x" as "2006"/],
        [{ metadata: { creationTimestamp: '2026-02-30T00:00:00Z' } }, /: day out of range$/],
      ] as const) {
        const metadata = { name: 'bad', ...('metadata' in body ? body.metadata : {}) };
        const reply = await server.call('POST', leases, { body: { ...body, metadata } });
        const { message } = assertStatus(reply, 400, 'BadRequest', why);
        assert.match(message, /^Lease in version "v1" cannot be handled as a Lease: parsing time "/);
      }
    });

    it('of creation are passed over, also for custom resources', async () => {
      const body = { metadata: { creationTimestamp: '2020-01-01T00:00:00+00:00' } };
      await ok('POST', configMaps, configMap('created', {}));
      const patched = await ok('PATCH', `${configMaps}/created`, body, patch('merge-patch+json'));
      assert.notEqual(patched.metadata.creationTimestamp, '2020-01-01T00:00:00Z');
    });
  });

  describe('what Go always writes', () => {
    const selector = { matchLabels: { a: 'b' } };
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers } };
    for (const [path, spec, status] of [
      [
        '/apis/batch/v1/namespaces/default/jobs',
        { template: { spec: { restartPolicy: 'Never', containers } } },
        {},
      ],
      ['/apis/apps/v1/namespaces/default/replicasets', { selector, template }, { replicas: 0 }],
      [
        '/apis/apps/v1/namespaces/default/daemonsets',
        { selector, template },
        { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
      ],
      [
        '/apis/policy/v1/namespaces/default/poddisruptionbudgets',
        { minAvailable: 1, selector },
        { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
      ],
      [
        '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers',
        { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } },
        { desiredReplicas: 0 },
      ],
      ['/api/v1/namespaces/default/services', { ports: [{ port: 80 }] }, { loadBalancer: {} }],
    ] as const) {
      it(`is in the status of new ${path.slice(path.lastIndexOf('/') + 1)}`, async () => {
        const created = await ok('POST', path, { metadata: { name: 'fresh' }, spec });
        assert.deepEqual(created.status, status);
      });
    }

    it('is in the status of a node', async () => {
      const status = { nodeInfo: { kernelVersion: '6.1' } };
      const node = await ok('POST', '/api/v1/nodes', { metadata: { name: 'fresh' }, status });
      assert.deepEqual(node.status['daemonEndpoints'], { kubeletEndpoint: { Port: 0 } });
      const { kernelVersion, kubeletVersion } = node.status['nodeInfo'] as Record<string, string>;
      assert.deepEqual([kernelVersion, kubeletVersion], ['6.1', '']);
    });

    it('is in what was left out, and nobody owns it', async () => {
      const spec = { selector, template, strategy: null };
      const { spec: kept, metadata } = await ok(
        'POST',
        deployments,
        { metadata: { name: 'empty' }, spec },
        { 'user-agent': 'OpenAPI-Generator/24.2.0/python' },
      );
      assert.deepEqual((kept['template'] as { spec: { containers: unknown[] } }).spec.containers[0], {
        name: 'c',
        image: 'x',
        resources: {},
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        imagePullPolicy: 'Always',
      });
      const [entry] = metadata.managedFields ?? [];
      assert.equal(entry?.manager, 'OpenAPI-Generator');
      const owned = entry.fieldsV1['f:spec'] as Record<string, Record<string, object>>;
      assert.ok(!('.' in owned), 'a struct is there in any case');
      assert.deepEqual(owned['f:strategy'], {
        'f:type': {},
        'f:rollingUpdate': { '.': {}, 'f:maxSurge': {}, 'f:maxUnavailable': {} },
      });
    });

    it('says `unknown` of a client that does not name itself', async () => {
      const { metadata } = await ok('POST', configMaps, configMap('nameless', { a: 'b' }));
      assert.equal(metadata.managedFields?.[0]?.manager, 'unknown');
    });
  });

  it('finds the time of an event that was written without one, as null', async () => {
    const involvedObject = { namespace: 'default', name: 'x', kind: 'Pod' };
    const event = await ok('POST', '/api/v1/namespaces/default/events', {
      metadata: { name: 'old' },
      involvedObject,
    });
    assert.ok(!('eventTime' in event));
    const newer = await ok('GET', '/apis/events.k8s.io/v1/namespaces/default/events/old');
    assert.equal((newer as { eventTime?: unknown }).eventTime, null);
    const { items } = (await ok('GET', '/apis/events.k8s.io/v1/namespaces/default/events')) as unknown as {
      items: { eventTime?: unknown }[];
    };
    assert.equal(items[0]?.eventTime, null);
  });

  it('finds quantities in their canonical form, as Terraform and Ansible compare them', async () => {
    const resources = { limits: { cpu: '1000m', memory: '1024Mi' }, requests: { cpu: 0.5, memory: '128Mi' } };
    const pod = await ok('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'quantities' },
      spec: { containers: [{ name: 'c', image: 'x', resources }] },
    });
    const [container] = pod.spec['containers'] as { resources: unknown }[];
    assert.deepEqual(container?.resources, {
      limits: { cpu: '1', memory: '1Gi' },
      requests: { cpu: '500m', memory: '128Mi' },
    });
  });

  it('may patch a scale strategically, which is what Python does by default', async () => {
    const template = { metadata: { labels: { a: 'c' } }, spec: { containers } };
    const spec = { replicas: 0, selector: { matchLabels: { a: 'c' } }, template };
    await ok('POST', deployments, { metadata: { name: 'scaled' }, spec });
    const type = patch('strategic-merge-patch+json');
    const scale = await ok('PATCH', `${deployments}/scaled/scale`, { spec: { replicas: 3 } }, type);
    assert.equal(scale.kind, 'Scale');
    assert.equal((await ok('GET', `${deployments}/scaled`)).spec['replicas'], 3);
    const ofAnsible = { kind: 'Deployment', metadata: { name: 'scaled' }, spec: { replicas: 2 } };
    const again = await ok('PATCH', `${deployments}/scaled/scale`, ofAnsible, type);
    assert.deepEqual([again.kind, again.spec['replicas']], ['Scale', 2]);
    const merged = await server.call('PATCH', `${deployments}/scaled/scale`, {
      body: ofAnsible,
      headers: patch('merge-patch+json'),
    });
    assertStatus(merged, 400, 'BadRequest', /does not match the expected kind \(Scale\)/);
  });

  describe('an update', () => {
    it('creates what is not there, where Kubernetes does so', async () => {
      for (const [path, more] of [
        [leases, {}],
        ['/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles', { rules: [] }],
        ['/api/v1/namespaces/default/services', { spec: { ports: [{ port: 1 }] } }],
      ] as const) {
        const body = { metadata: { name: 'upserted', resourceVersion: '5' }, ...more };
        const reply = await server.call('PUT', `${path}/upserted`, { body });
        assert.equal(reply.status, 201, reply.body.toString());
        const second = await server.call('PUT', `${path}/upserted`, {
          body: {
            ...body,
            metadata: { name: 'upserted', labels: { a: 'b' } },
            spec: reply.json<Answer>().spec,
          },
        });
        assert.equal(second.status, 200, second.body.toString());
      }
      const other = await server.call('PUT', `${configMaps}/upserted`, { body: configMap('upserted', {}) });
      assertStatus(other, 404, 'NotFound', 'configmaps "upserted" not found');
    });

    it('creates nothing that is meant to be another object, or that its sender may not create', async () => {
      const body = { metadata: { name: 'absent', uid: 'u-1' } };
      const gone = await server.call('PUT', `${leases}/absent`, { body });
      assertStatus(
        gone,
        409,
        'Conflict',
        /Precondition failed: UID in precondition: u-1, UID in object meta: $/,
      );
      await ok('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles', {
        metadata: { name: 'renewer' },
        rules: [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['update', 'get'] }],
      });
      await ok('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings', {
        metadata: { name: 'renewer' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'renewer' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'renewer' }],
      });
      const identity = server.pki.issueClient({ commonName: 'renewer' });
      const reply = await server.call('PUT', `${leases}/absent`, {
        identity,
        body: { metadata: { name: 'absent' } },
      });
      assertStatus(reply, 403, 'Forbidden', /User "renewer" cannot create resource "leases"/);
    });

    it('names its object, and a Scale the one that it scales', async () => {
      await ok('POST', configMaps, configMap('named', {}));
      const nameless = await server.call('PUT', `${configMaps}/named`, { body: { data: {} } });
      assertStatus(
        nameless,
        400,
        'BadRequest',
        /\(named based on URL\) was undeterminable: name must be provided$/,
      );
      const template = { metadata: { labels: { a: 'd' } }, spec: { containers } };
      const spec = { replicas: 0, selector: { matchLabels: { a: 'd' } }, template };
      await ok('POST', deployments, { metadata: { name: 'named' }, spec });
      const scale = { metadata: { name: 'other', namespace: 'default' }, spec: { replicas: 1 } };
      const misnamed = await server.call('PUT', `${deployments}/named/scale`, { body: scale });
      assertStatus(misnamed, 400, 'BadRequest', /\(other\) does not match the name on the URL \(named\)$/);
    });
  });

  describe('a watch over WebSocket, with which fabric8 begins', () => {
    const open = (path: string, protocols: string[] = []): WebSocket => {
      const { ca, cert, key } = server.tls() as ClientOptions;
      const url = `${server.server.url.replace(/^http/, 'ws')}${path}`;
      return new WebSocket(url, protocols, { ca, cert, key, origin: server.server.url });
    };
    /** All messages, and the code of the end. */
    const all = async (socket: WebSocket): Promise<[string[], number]> => {
      const read: string[] = [];
      socket.on('message', (message: Buffer, isBinary) => {
        assert.equal(isBinary, false);
        const { type, object } = JSON.parse(message.toString()) as {
          type: string;
          object: Answer & { code?: number };
        };
        read.push(`${type} ${object.metadata.name ?? object.code}`);
      });
      const [code] = (await once(socket, 'close')) as [number];
      return [read, code];
    };

    it('tells of every event in a message, and closes when its time is over', async () => {
      const path = `${configMaps}?labelSelector=sock%3Dyes&allowWatchBookmarks=false`;
      await ok('POST', configMaps, {
        ...configMap('before', {}),
        metadata: { name: 'before', labels: { sock: 'yes' } },
      });
      const socket = open(`${path}&watch=true&timeoutSeconds=2`);
      const events = all(socket);
      await once(socket, 'open');
      await ok('DELETE', `${configMaps}/before`);
      assert.deepEqual(await events, [['ADDED before', 'DELETED before'], 1000]);
    });

    it('may be of a protocol of any name, and ends with its client', async () => {
      const socket = open(`${configMaps}?watch=1`, ['some.client']);
      await once(socket, 'open');
      assert.equal(socket.protocol, 'some.client');
      socket.close(1000);
      assert.equal(((await once(socket, 'close')) as [number])[0], 1000);
    });

    it('tells in a message that its version is too old, and other faults in words of HTTP', async () => {
      server.api.store.table('secrets').floor = 5;
      const gone = open('/api/v1/namespaces/default/secrets?watch=1&resourceVersion=2');
      assert.deepEqual(await all(gone), [['ERROR 410'], 1000]);
      await assert.rejects(once(open(`${configMaps}?watch=1&resourceVersion=x`), 'open'), /400/);
      await assert.rejects(once(open('/api/v1/nothing?watch=1'), 'open'), /404/);
    });

    it('is a plain one for who wants another protocol', async () => {
      const reply = await server.call('GET', `${configMaps}?watch=1&timeoutSeconds=1`, {
        headers: { connection: 'Upgrade', upgrade: 'h2c' },
      });
      assert.equal(reply.status, 200);
      assert.match(reply.body.toString(), /^\{"type":"ADDED"/);
    });
  });

  it('reads the object that a deletion removed, where typed clients expect one', async () => {
    for (const [plural, kind, more] of [
      ['pods', 'Pod', { spec: { containers } }],
      ['services', 'Service', { spec: { ports: [{ port: 80 }] } }],
      ['serviceaccounts', 'ServiceAccount', {}],
      ['secrets', 'Status', {}],
    ] as const) {
      const path = `/api/v1/namespaces/default/${plural}`;
      await ok('POST', path, { metadata: { name: 'removed' }, ...more });
      const answer = await ok('DELETE', `${path}/removed?gracePeriodSeconds=0`);
      assert.equal(answer.kind, kind);
      assert.equal((await server.call('GET', `${path}/removed`)).status, 404);
    }
  });
});
