import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { silentLogger } from '../../src/base/log.ts';
import { endpoints, services, type Service } from '../../src/api/kubernetes/services.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { ingressClasses, ingresses, type Ingress } from '../../src/api/kubernetes/ingress.ts';
import { ingresses as knativeIngresses } from '../../src/api/networking/index.ts';
import { makeDefaultIngressClass } from '../../src/cluster/ingress/index.ts';
import { claimsOf, makeHostRule } from '../../src/cluster/ingress/routes.ts';
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts';
import { RouteLayers } from '../../src/gateway/route-layers.ts';
import { hasReason } from '../../src/kube/api-error.ts';
import { send } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';
import { startTestCluster, type TestCluster } from './support.ts';

type Spec = NonNullable<Ingress['spec']>;

function makeIngress(name: string, spec: Spec, annotations?: Record<string, string>): Ingress {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace: 'default', ...(annotations ? { annotations } : {}) },
    spec,
  };
}

const backend = (name: string, port: number | string = 80) => ({
  service: { name, port: typeof port === 'number' ? { number: port } : { name: port } },
});

function rule(
  host: string | undefined,
  ...paths: [string, string, string][]
): NonNullable<Spec['rules']>[number] {
  return {
    ...(host === undefined ? {} : { host }),
    http: { paths: paths.map(([path, pathType, name]) => ({ path, pathType, backend: backend(name) })) },
  };
}

describe('rules of a host', () => {
  it('exact paths first, then the longest prefix, then the default backend', () => {
    const ingress = makeIngress('a', {
      rules: [
        rule(
          'h',
          ['/', 'Prefix', 'root'],
          ['/a/b', 'Prefix', 'deep'],
          ['/a', 'Prefix', 'a'],
          ['/a', 'Exact', 'exact'],
        ),
      ],
      defaultBackend: backend('rest'),
    });
    const made = makeHostRule(claimsOf(ingress));
    assert.deepEqual(
      made?.paths.map(({ prefix, exact, splits }) => [
        prefix,
        exact ?? false,
        splits[0]?.backend.split('/')[2],
      ]),
      [
        ['/a', true, 'exact'],
        ['/a/b', false, 'deep'],
        ['/a', false, 'a'],
        ['/', false, 'root'],
      ],
    );
  });

  it('of two Ingresses with the same path the older one', () => {
    const older = makeIngress('z', { rules: [rule('h', ['/', 'Prefix', 'older'])] });
    older.metadata.creationTimestamp = '2026-01-01T00:00:00Z';
    const newer = makeIngress('a', { rules: [rule('h', ['/', 'Prefix', 'newer'])] });
    newer.metadata.creationTimestamp = '2026-01-02T00:00:00Z';
    const made = makeHostRule([...claimsOf(newer), ...claimsOf(older)]);
    assert.equal(made?.paths[0]?.splits[0]?.backend, 'ingress/default/older/80');
  });

  it('property: every path that a request could match first is the most special one', () => {
    const path = fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 }).map((parts) => `/${parts.join('/')}`);
    const entry = fc.tuple(path, fc.constantFrom('Exact', 'Prefix'));
    const covers = (one: { prefix: string; exact?: true }, asked: string): boolean =>
      one.exact
        ? one.prefix === asked
        : one.prefix === '/' || asked === one.prefix || asked.startsWith(`${one.prefix}/`);
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1 }), path, (entries, asked) => {
        const paths = entries.map(([at, type]): [string, string, string] => [at, type, 'svc']);
        const made = makeHostRule(claimsOf(makeIngress('a', { rules: [rule('h', ...paths)] })));
        const matching = made?.paths.filter((one) => covers(one, asked)) ?? [];
        const [first, ...others] = matching;
        for (const other of others) {
          assert.ok(first?.exact || (!other.exact && (first?.prefix.length ?? 0) >= other.prefix.length));
        }
      }),
    );
  });
});

describe('Ingresses', () => {
  const apps = new Map<string, Server>();
  let gateway: Gateway;
  let cluster: TestCluster;
  let layers: RouteLayers;

  before(async () => {
    for (const name of ['one', 'two']) {
      const app = createServer((request, response) =>
        response.end(`${name} ${request.url} ${request.headers.host}`),
      );
      await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
      apps.set(name, app);
    }
  });
  after(() => {
    for (const app of apps.values()) app.close();
  });
  beforeEach(async () => {
    gateway = await startGateway({
      public: { host: '127.0.0.1', port: 0 },
      local: { host: '127.0.0.1', port: 0 },
      log: silentLogger,
    });
    layers = new RouteLayers(gateway);
    const knative = layers.add();
    const { port } = gateway.publicAddress;
    cluster = await startTestCluster({
      node: false,
      ingress: { routes: layers.add(), address: { ip: '127.0.0.1', port } },
    });
    knativeApply = (update) => knative.apply(update);
    await cluster.client.create(ingressClasses, makeDefaultIngressClass());
    for (const [name, app] of apps) await serve(name, (app.address() as AddressInfo).port);
  });
  afterEach(async () => {
    await cluster.close();
    await gateway.close(0);
  });

  let knativeApply: Gateway['apply'];

  /** A service without selector, and where it leads to. */
  async function serve(name: string, port: number, spec: Service['spec'] = {}): Promise<void> {
    const metadata = { name, namespace: 'default' };
    const ports = [{ name: 'http', port: 80, targetPort: 80 }];
    await cluster.client.create(services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports, ...spec },
    });
    await cluster.client.create(endpoints, {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata,
      subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'http', port }] }],
    });
  }

  const create = (ingress: Ingress) => cluster.client.create(ingresses, ingress);
  const ask = async (host: string, path = '/'): Promise<string> => {
    const { host: address, port } = gateway.publicAddress;
    const { status, body } = await send(`http://${address}:${port}`, host, { path });
    return status === 200 ? body : String(status);
  };
  const answers = (host: string, path: string, expected: string) =>
    waitFor(`${host}${path}: ${expected}`, async () => (await ask(host, path)) === expected);
  const warned = (name: string, reason: string, message: RegExp) =>
    waitFor(`${reason} of ${name}`, async () => {
      const { items } = await cluster.client.list(events, { namespace: 'default' });
      return items.some(
        (one) => one.involvedObject.name === name && one.reason === reason && message.test(one.message ?? ''),
      );
    });

  it('lead hosts and paths to services, and say where', async () => {
    await create(
      makeIngress('web', {
        rules: [
          rule('web.test', ['/', 'Prefix', 'one'], ['/two', 'Prefix', 'two'], ['/two/x', 'Exact', 'one']),
          rule('*.wild.test', ['/', 'ImplementationSpecific', 'two']),
        ],
      }),
    );
    await answers('web.test', '/', 'one / web.test');
    await answers('web.test', '/two/y', 'two /two/y web.test');
    await answers('web.test', '/two/x', 'one /two/x web.test');
    await answers('web.test', '/twofold', 'one /twofold web.test');
    await answers('a.wild.test', '/', 'two / a.wild.test');
    assert.equal(await ask('a.b.wild.test'), '404');
    const { status, spec } = await waitFor('status', async () => {
      const found = await cluster.client.get(ingresses, { namespace: 'default', name: 'web' });
      return found.status?.loadBalancer?.ingress?.length === 1 && found;
    });
    assert.equal(spec?.ingressClassName, 'knapsack');
    const { port } = gateway.publicAddress;
    assert.deepEqual(status?.loadBalancer?.ingress, [
      { ip: '127.0.0.1', ports: [{ port, protocol: 'TCP' }] },
    ]);
  });

  it('follow changes of themselves and of what is behind their services, and go', async () => {
    await create(makeIngress('web', { rules: [rule('web.test', ['/', 'Prefix', 'one'])] }));
    await answers('web.test', '/', 'one / web.test');
    const key = { namespace: 'default', name: 'web' };
    const two = { spec: { rules: [rule('web.test', ['/', 'Prefix', 'two'])] } };
    await cluster.client.patch(ingresses, key, { type: 'merge', body: two });
    await answers('web.test', '/', 'two / web.test');
    await cluster.client.delete(endpoints, { namespace: 'default', name: 'two' });
    await answers('web.test', '/', '503');
    await cluster.client.delete(ingresses, key);
    await answers('web.test', '/', '404');
  });

  it('have a default backend for what no rule is for', async () => {
    const rules = [rule('web.test', ['/two', 'Prefix', 'two'])];
    await create(makeIngress('web', { rules, defaultBackend: backend('one', 'http') }));
    await answers('web.test', '/two', 'two /two web.test');
    await answers('web.test', '/else', 'one /else web.test');
    assert.equal(await ask('other.test'), '404');
    await create(makeIngress('all', { defaultBackend: backend('two') }));
    await answers('other.test', '/', 'two / other.test');
  });

  it('leave hosts to routes that have them, and get them back', async () => {
    await create(makeIngress('web', { rules: [rule('shared.test', ['/', 'Prefix', 'one'])] }));
    await answers('shared.test', '/', 'one / shared.test');
    const app = apps.get('two')?.address() as AddressInfo;
    const key = 'local/route';
    await knativeApply({
      hosts: {
        'shared.test': {
          visibility: 'public',
          paths: [{ prefix: '/', splits: [{ backend: key, percent: 100 }] }],
        },
      },
      backends: {
        [key]: {
          key,
          endpoints: [{ id: key, host: '127.0.0.1', port: app.port }],
          containerConcurrency: 0,
          wakes: false,
          timeoutMs: 0,
          responseStartTimeoutMs: 0,
          idleTimeoutMs: 0,
          protocol: 'http1',
        },
      },
    });
    await cluster.client.create(knativeIngresses, {
      apiVersion: 'networking.internal.knative.dev/v1alpha1',
      kind: 'Ingress',
      metadata: { name: 'route', namespace: 'default' },
      spec: { rules: [{ hosts: ['shared.test'], http: { paths: [] } }] },
    });
    assert.equal(await ask('shared.test'), 'two / shared.test');
    await warned('web', 'HostInUse', /^host shared.test belongs to the Knative route default\/route$/);
    await knativeApply({ hosts: { 'shared.test': null } });
    assert.equal(await ask('shared.test'), 'one / shared.test');
  });

  it('of other classes are left alone', async () => {
    const rules = [rule('web.test', ['/', 'Prefix', 'one'])];
    await create(makeIngress('foreign', { ingressClassName: 'nginx', rules }));
    await create(makeIngress('ours', { rules: [rule('own.test', ['/', 'Prefix', 'one'])] }));
    await answers('own.test', '/', 'one / own.test');
    assert.equal(await ask('web.test'), '404');
    const { status } = await cluster.client.get(ingresses, { namespace: 'default', name: 'foreign' });
    assert.deepEqual(status, { loadBalancer: {} });
    await create(makeIngress('old', { rules }, { 'kubernetes.io/ingress.class': 'knapsack' }));
    await answers('web.test', '/', 'one / web.test');
  });

  it('tell what does not work: absent services, external names, TLS', async () => {
    await serve('far', 1, { type: 'ExternalName', externalName: 'example.com', ports: [] });
    const rules = [rule('web.test', ['/a', 'Prefix', 'absent'], ['/b', 'Prefix', 'far'])];
    await create(makeIngress('web', { rules, tls: [{ hosts: ['web.test'], secretName: 's' }] }));
    await warned('web', 'BackendUnavailable', /service "default\/absent" does not exist/);
    await warned('web', 'BackendUnavailable', /type ExternalName, which is not served/);
    await warned('web', 'TLSNotServed', /HTTP only/);
    await answers('web.test', '/a', '503');
    await answers('web.test', '/b', '503');
  });

  it('are refused with Kubernetes’ words when they make no sense', async () => {
    const refuse = (spec: Spec, words: RegExp) =>
      assert.rejects(create(makeIngress('bad', spec)), (error: Error) => {
        assert.ok(hasReason(error, 'Invalid'), error.message);
        assert.match(error.message, words);
        return true;
      });
    await refuse({}, /either `defaultBackend` or `rules` must be specified/);
    await refuse(
      { rules: [rule('1.2.3.4', ['/', 'Prefix', 'one'])] },
      /must be a DNS name, not an IP address/,
    );
    await refuse(
      { rules: [rule('a.*.b', ['/', 'Prefix', 'one'])] },
      /a wildcard DNS-1123 subdomain must start with/,
    );
    await refuse(
      { rules: [rule('a', ['x', 'Prefix', 'one'])] },
      /paths\[0\].path: Invalid value: "x": must be an absolute path/,
    );
    await refuse({ rules: [rule('a', ['/', 'Regex', 'one'])] }, /pathType: Unsupported value: "Regex"/);
    await refuse({ defaultBackend: {} }, /must specify at least one of service or resource/);
    await refuse({ defaultBackend: { service: { name: 'one' } } }, /port name or number is required/);
  });
});
