/** What quotas and limit ranges let through, against the real API. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  configMaps,
  limitRanges,
  namespaces,
  persistentVolumeClaims,
  pods,
  resourceQuotas,
  secrets,
  services,
} from '../../../../src/api/kubernetes/index.ts';
import { hasReason } from '../../../../src/kube/api-error.ts';
import type { ResourceDef } from '../../../../src/api/resource.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { fails, user, widget, widgets } from '../../service/support.ts';

interface Resources {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
}

const podOf = (name: string, resources: Resources = {}, spec: object = {}): object => ({
  metadata: { name },
  spec: { containers: [{ name: 'app', image: 'example.com/app', resources }], ...spec },
});

describe('admission by quota and limit range', () => {
  let api: TestApi;
  let last = 0;
  before(async () => {
    api = await startTestApi({ resources: [widgets] });
  });
  after(() => api.close());

  /** A namespace of its own for each test. */
  async function namespace(): Promise<string> {
    const name = `ns-${++last}`;
    await api.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    return name;
  }
  const create = (def: ResourceDef, ns: string, body: object, dryRun = false) =>
    api.service.create(
      def,
      ns,
      { apiVersion: def.group ? `${def.group}/${def.version}` : 'v1', kind: def.kind, ...body },
      { user, dryRun },
    );
  const quota = (ns: string, hard: Record<string, string>, more: object = {}) =>
    create(resourceQuotas, ns, { metadata: { name: 'q' }, spec: { hard, ...more } });
  const range = (ns: string, ...limits: object[]) =>
    create(limitRanges, ns, { metadata: { name: 'limits' }, spec: { limits } });
  const refused = (call: Promise<unknown>, message: string) => fails(call, 403, 'Forbidden', message);

  describe('quota', () => {
    it('is not passed by an amount beyond all measure', async () => {
      const ns = await namespace();
      await quota(ns, { 'limits.cpu': '10' });
      await refused(
        create(pods, ns, podOf('endless', { limits: { cpu: '1e999999999' } })),
        'pods "endless" is forbidden: exceeded quota: q, requested: limits.cpu=9223372036854775807, used: limits.cpu=0, limited: limits.cpu=10',
      );
    });

    it('counts pods, from the objects that there are', async () => {
      const ns = await namespace();
      await create(pods, ns, podOf('before'));
      await quota(ns, { pods: '2' });
      await create(pods, ns, podOf('second'));
      const why = 'exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2';
      await refused(create(pods, ns, podOf('third')), `pods "third" is forbidden: ${why}`);
      await refused(create(pods, ns, podOf('third'), true), `pods "third" is forbidden: ${why}`);
      // A pod that has ended makes room, and a dry run takes none.
      const done = { status: { phase: 'Succeeded' } };
      const key = { namespace: ns, name: 'before' };
      await api.service.patch(pods, key, { type: 'merge', body: done }, { user, subresource: 'status' });
      await create(pods, ns, podOf('third'), true);
      await create(pods, ns, podOf('third'), true);
      await create(pods, ns, podOf('third'));
      await api.service.delete(pods, { namespace: ns, name: 'second' }, { user });
      await create(pods, ns, podOf('fourth'));
    });

    it('adds up what containers ask for, and names every excess', async () => {
      const ns = await namespace();
      await quota(ns, { 'requests.cpu': '1', 'limits.memory': '1Gi', cpu: '2' });
      const resources = { requests: { cpu: '600m' }, limits: { memory: '600Mi', cpu: '1' } };
      await create(pods, ns, podOf('a', resources));
      await refused(
        create(pods, ns, podOf('b', resources)),
        'pods "b" is forbidden: exceeded quota: q, requested: limits.memory=600Mi,requests.cpu=600m, used: limits.memory=600Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1',
      );
      await create(pods, ns, podOf('c', { requests: { cpu: '400m' }, limits: { memory: '424Mi' } }));
    });

    it('wants compute resources to be said', async () => {
      const ns = await namespace();
      await quota(ns, { 'limits.cpu': '1', 'requests.memory': '1Gi', pods: '5' });
      await refused(
        create(pods, ns, podOf('silent')),
        'pods "silent" is forbidden: failed quota: q: must specify limits.cpu for: app; requests.memory for: app',
      );
      await create(pods, ns, podOf('said', { requests: { memory: '1Mi' }, limits: { cpu: '1' } }));
    });

    it('counts objects of any kind', async () => {
      const ns = await namespace();
      await quota(ns, { 'count/widgets.test.knapsack.dev': '1', configmaps: '1', 'count/secrets': '1' });
      for (const [def, body] of [
        [widgets, (name: string) => ({ ...widget(name), metadata: { name } })],
        [configMaps, (name: string) => ({ metadata: { name } })],
        [secrets, (name: string) => ({ metadata: { name } })],
      ] as const) {
        await create(def, ns, body('one'));
        await fails(
          create(def, ns, body('two')),
          403,
          'Forbidden',
          /exceeded quota: q, requested: [^=]+=1, used: [^=]+=1, limited: [^=]+=1$/,
        );
      }
    });

    it('counts node ports and load balancers, also when a service becomes one', async () => {
      const ns = await namespace();
      await quota(ns, { services: '2', 'services.nodeports': '2', 'services.loadbalancers': '1' });
      const service = (name: string, type: string, ports: number): object => ({
        metadata: { name },
        spec: { type, ports: Array.from({ length: ports }, (_, i) => ({ name: `p${i}`, port: 80 + i })) },
      });
      await create(services, ns, service('lb', 'LoadBalancer', 1));
      await create(services, ns, service('plain', 'ClusterIP', 2));
      const become = (type: string) =>
        api.service.patch(
          services,
          { namespace: ns, name: 'plain' },
          { type: 'merge', body: { spec: { type } } },
          { user },
        );
      await refused(
        become('NodePort'),
        'services "plain" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=2',
      );
      await refused(
        become('LoadBalancer'),
        'services "plain" is forbidden: exceeded quota: q, requested: services.loadbalancers=1,services.nodeports=2, used: services.loadbalancers=1,services.nodeports=1, limited: services.loadbalancers=1,services.nodeports=2',
      );
      // What asks for no more is never refused.
      const touch = { metadata: { labels: { a: 'b' } } };
      await api.service.patch(
        services,
        { namespace: ns, name: 'plain' },
        { type: 'merge', body: touch },
        { user },
      );
    });

    it('counts storage, by class as well', async () => {
      const ns = await namespace();
      await quota(ns, {
        'requests.storage': '10Gi',
        'fast.storageclass.storage.k8s.io/requests.storage': '1Gi',
        persistentvolumeclaims: '5',
      });
      const claim = (name: string, storage: string, storageClassName = 'slow'): object => ({
        metadata: { name },
        spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage } } },
      });
      await create(persistentVolumeClaims, ns, claim('a', '6Gi'));
      await fails(
        create(persistentVolumeClaims, ns, claim('b', '5Gi')),
        403,
        'Forbidden',
        /requested: requests\.storage=5Gi, used: requests\.storage=6Gi, limited: requests\.storage=10Gi$/,
      );
      await fails(
        create(persistentVolumeClaims, ns, claim('c', '2Gi', 'fast')),
        403,
        'Forbidden',
        /requested: fast\.storageclass/,
      );
      await create(persistentVolumeClaims, ns, claim('d', '1Gi', 'fast'));
    });

    for (const [scope, matching, other] of [
      ['Terminating', { activeDeadlineSeconds: 5 }, {}],
      ['NotTerminating', {}, { activeDeadlineSeconds: 5 }],
    ] as const) {
      it(`scope ${scope}`, async () => {
        const ns = await namespace();
        await quota(ns, { pods: '0' }, { scopes: [scope] });
        await create(pods, ns, podOf('free', {}, other));
        await fails(create(pods, ns, podOf('counted', {}, matching)), 403, 'Forbidden', /exceeded quota/);
      });
    }

    it('scopes BestEffort and NotBestEffort', async () => {
      const ns = await namespace();
      await quota(ns, { pods: '0' }, { scopes: ['BestEffort'] });
      await create(pods, ns, podOf('asks', { requests: { cpu: '1m' } }));
      await fails(create(pods, ns, podOf('asks-nothing')), 403, 'Forbidden', /exceeded quota/);
      const another = await namespace();
      await quota(another, { pods: '0' }, { scopes: ['NotBestEffort'] });
      await create(pods, another, podOf('asks-nothing'));
      await fails(
        create(pods, another, podOf('asks', { requests: { cpu: '1m' } })),
        403,
        'Forbidden',
        /exceeded/,
      );
    });

    it('scopes do not reach objects that are not pods', async () => {
      const ns = await namespace();
      await quota(
        ns,
        { 'count/configmaps': '0' },
        { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'Exists' }] } },
      );
      await create(configMaps, ns, { metadata: { name: 'free' } });
    });

    it('counts exactly under concurrent writers', async () => {
      const ns = await namespace();
      await quota(ns, { configmaps: '7' });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 30 }, (_, i) => create(configMaps, ns, { metadata: { name: `c${i}` } })),
      );
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 7);
      const { items } = await api.client.list(configMaps, { namespace: ns });
      assert.equal(items.length, 7);
    });

    it('never lets the sum past the bound, whatever comes and goes', async () => {
      const amount = fc.integer({ min: 1, max: 900 });
      const step = fc.oneof(fc.record({ create: amount }), fc.record({ remove: fc.nat(20) }));
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
          const ns = await namespace();
          await quota(ns, { 'requests.cpu': '2', pods: '5' });
          const there: { name: string; milli: number }[] = [];
          for (const [i, each] of steps.entries()) {
            if ('remove' in each) {
              const [gone] = there.splice(each.remove, 1);
              if (gone) await api.service.delete(pods, { namespace: ns, name: gone.name }, { user });
              continue;
            }
            const used = there.reduce((sum, { milli }) => sum + milli, 0);
            const fits = there.length < 5 && used + each.create <= 2000;
            const name = `p${i}`;
            try {
              await create(pods, ns, podOf(name, { requests: { cpu: `${each.create}m` } }));
              assert.ok(fits, `${used}m and ${each.create}m are more than 2`);
              there.push({ name, milli: each.create });
            } catch (error) {
              if (!hasReason(error, 'Forbidden')) throw error;
              assert.ok(!fits, `${used}m and ${each.create}m are within 2`);
            }
          }
        }),
        { numRuns: 40 },
      );
    });

    for (const [what, spec, message] of [
      [
        'an unknown resource',
        { hard: { bananas: '1' } },
        /spec\.hard\[bananas\]: Invalid value: "bananas": must be a standard resource for quota/,
      ],
      [
        'a negative amount',
        { hard: { pods: '-1' } },
        /spec\.hard\[pods\]: Invalid value: "-1": must be greater than or equal to 0/,
      ],
      ['half a pod', { hard: { pods: '500m' } }, /must be an integer/],
      ['no amount', { hard: { pods: 'many' } }, /quantities must match/],
      [
        'an unknown scope',
        { hard: { pods: '1' }, scopes: ['Nice'] },
        /spec\.scopes: Invalid value: \["Nice"\]: unsupported scope/,
      ],
      [
        'scopes that exclude each other',
        { hard: { pods: '1' }, scopes: ['BestEffort', 'NotBestEffort'] },
        /conflicting scopes/,
      ],
      [
        'compute resources of those who ask for none',
        { hard: { cpu: '1' }, scopes: ['BestEffort'] },
        /unsupported scope applied to resource/,
      ],
    ] as const) {
      it(`refuses a quota with ${what}`, async () => {
        const ns = await namespace();
        await fails(create(resourceQuotas, ns, { metadata: { name: 'q' }, spec }), 422, 'Invalid', message);
      });
    }
  });

  describe('limit range', () => {
    type Spec = { containers: { resources: Resources }[] };
    const container = { type: 'Container' };

    it('fills in what containers do not say, and tells so', async () => {
      const ns = await namespace();
      await range(ns, {
        ...container,
        default: { cpu: '500m' },
        defaultRequest: { memory: '64Mi' },
        max: { memory: '1Gi' },
      });
      const { object } = await create(pods, ns, podOf('filled', { limits: { 'ephemeral-storage': '1Gi' } }));
      const { spec } = object as unknown as { spec: Spec };
      assert.deepEqual(spec.containers[0]?.resources, {
        limits: { 'ephemeral-storage': '1Gi', cpu: '500m', memory: '1Gi' },
        requests: { 'ephemeral-storage': '1Gi', cpu: '500m', memory: '64Mi' },
      });
      assert.equal(
        object.metadata.annotations?.['kubernetes.io/limit-ranger'],
        'LimitRanger plugin set: cpu, memory request for container app; cpu, memory limit for container app',
      );
    });

    it('serves quotas that want everything said', async () => {
      const ns = await namespace();
      await quota(ns, { 'limits.cpu': '1' });
      await range(ns, { ...container, default: { cpu: '600m' } });
      await create(pods, ns, podOf('a'));
      await fails(
        create(pods, ns, podOf('b')),
        403,
        'Forbidden',
        /requested: limits\.cpu=600m, used: limits\.cpu=600m/,
      );
    });

    const excesses: [string, object, Resources, string][] = [
      [
        'less than the minimum',
        { min: { cpu: '100m' } },
        { requests: { cpu: '50m' } },
        'minimum cpu usage per Container is 100m, but request is 50m',
      ],
      [
        'a limit below the minimum',
        { min: { cpu: '100m' }, default: { cpu: '1' } },
        { requests: { cpu: '50m' }, limits: { cpu: '60m' } },
        'minimum cpu usage per Container is 100m, but request is 50m',
      ],
      [
        'more than the maximum',
        { max: { memory: '1Gi' } },
        { limits: { memory: '2Gi' } },
        'maximum memory usage per Container is 1Gi, but limit is 2Gi',
      ],
      [
        'too far apart',
        { maxLimitRequestRatio: { cpu: '2' } },
        { requests: { cpu: '100m' }, limits: { cpu: '300m' } },
        'cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000',
      ],
      [
        'no limit for a ratio',
        { maxLimitRequestRatio: { cpu: '2' } },
        { requests: { cpu: '100m' } },
        'cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0',
      ],
      [
        'several faults',
        { max: { memory: '1Gi', cpu: '1' } },
        { limits: { memory: '2Gi', cpu: '2' } },
        '[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi, but limit is 2Gi]',
      ],
    ];
    for (const [what, item, resources, message] of excesses) {
      it(`refuses ${what}`, async () => {
        const ns = await namespace();
        await range(ns, { ...container, ...item });
        await refused(create(pods, ns, podOf('x', resources)), `pods "x" is forbidden: ${message}`);
      });
    }

    it('bounds pods as a whole, with init containers beside sidecars', async () => {
      const ns = await namespace();
      await range(ns, { type: 'Pod', max: { cpu: '1' } });
      const init = (cpu: string, more: object = {}): object => ({
        name: `init-${cpu}`,
        image: 'example.com/init',
        resources: { limits: { cpu } },
        ...more,
      });
      const of = (...initContainers: object[]): object =>
        podOf('x', { limits: { cpu: '500m' } }, { initContainers });
      await create(pods, ns, of(init('1')), true);
      await refused(
        create(pods, ns, of(init('1', { restartPolicy: 'Always' }))),
        'pods "x" is forbidden: maximum cpu usage per Pod is 1, but limit is 1500m',
      );
    });

    it('bounds claims', async () => {
      const ns = await namespace();
      await range(ns, { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } });
      const claim = (storage: string): object => ({
        metadata: { name: 'c' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
      });
      await refused(
        create(persistentVolumeClaims, ns, claim('500Mi')),
        'persistentvolumeclaims "c" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi',
      );
      await refused(
        create(persistentVolumeClaims, ns, claim('3Gi')),
        'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi',
      );
      await create(persistentVolumeClaims, ns, claim('2Gi'));
    });

    for (const [what, item, message] of [
      [
        'bounds out of order',
        { ...container, min: { cpu: '2' }, max: { cpu: '1' } },
        /min value 2 is greater than max value 1/,
      ],
      [
        'a default beyond its bound',
        { ...container, default: { cpu: '2' }, max: { cpu: '1' } },
        /default value 2 is greater than max value 1/,
      ],
      [
        'defaults for pods',
        { type: 'Pod', default: { cpu: '2' } },
        /spec\.limits\[0\]\.default: Forbidden: may not be specified when `type` is 'Pod'/,
      ],
      [
        'a ratio below one',
        { ...container, maxLimitRequestRatio: { cpu: '500m' } },
        /ratio 500m is less than 1/,
      ],
      [
        'no bounds for claims',
        { type: 'PersistentVolumeClaim' },
        /either minimum or maximum storage value is required/,
      ],
    ] as const) {
      it(`refuses a range with ${what}`, async () => {
        const ns = await namespace();
        await fails(range(ns, structuredClone(item)), 422, 'Invalid', message);
      });
    }
  });
});
