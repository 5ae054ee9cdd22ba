/** Who is asked about what, in which words, and what becomes of the answers. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  configMaps,
  endpoints,
  limitRanges,
  namespaces,
  pods,
  services,
  validatingWebhookConfigurations,
} from '../../../../src/api/kubernetes/index.ts';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { at, configMap, fails, pod, user, widget, widgets } from '../../service/support.ts';
import {
  configMapRule,
  configure,
  hook,
  patch,
  startTestWebhook,
  unconfigure,
  type TestWebhook,
} from './support.ts';

describe('admission webhooks', () => {
  let api: TestApi;
  let webhook: TestWebhook;
  before(async () => {
    api = await startTestApi({ resources: [widgets] });
    webhook = await startTestWebhook(['hook.default.svc']);
  });
  afterEach(async () => {
    await unconfigure(api);
    webhook.asked.length = 0;
    webhook.react = () => ({ allowed: true });
  });
  after(async () => {
    await api.close();
    await webhook.close();
  });

  const create = (name: string, data?: Record<string, string>, meta: object = {}) =>
    api.service.create(configMaps, 'default', configMap(name, data, meta), { user, groups: ['testers'] });

  describe('the question', () => {
    it('tells the request, the requester and the object', async () => {
      await configure(api, 'validating', 'v', hook(webhook, 'a', { path: '/check', timeoutSeconds: 7 }));
      await create('question', { a: '1' });
      const [asked, ...more] = webhook.asked;
      assert.equal(more.length, 0);
      assert.equal(asked?.path, '/check?timeout=7s');
      assert.equal(asked.apiVersion, 'admission.k8s.io/v1');
      const { uid, object, ...rest } = asked.request;
      assert.match(uid, /^[0-9a-f-]{36}$/);
      assert.equal(object?.metadata.name, 'question');
      assert.deepEqual(object?.['data'], { a: '1' });
      assert.deepEqual(rest, {
        kind: { group: '', version: 'v1', kind: 'ConfigMap' },
        resource: { group: '', version: 'v1', resource: 'configmaps' },
        requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
        requestResource: { group: '', version: 'v1', resource: 'configmaps' },
        name: 'question',
        namespace: 'default',
        operation: 'CREATE',
        userInfo: { username: user, groups: ['testers'] },
        oldObject: null,
        dryRun: false,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
      });
    });

    it('carries the old object on UPDATE and DELETE, and no new one on DELETE', async () => {
      await create('changes', { a: '1' });
      await configure(api, 'validating', 'v', hook(webhook, 'a'));
      const body = { data: { a: '2' } };
      await api.service.patch(configMaps, at('changes'), { type: 'merge', body }, { user });
      await api.service.delete(configMaps, at('changes'), { user, gracePeriodSeconds: 0 });
      const seen = webhook.asked.map(({ request: { operation, object, oldObject, options } }) => [
        operation,
        object?.['data'],
        oldObject?.['data'],
        options?.['kind'],
      ]);
      assert.deepEqual(seen, [
        ['UPDATE', { a: '2' }, { a: '1' }, 'UpdateOptions'],
        ['DELETE', undefined, { a: '2' }, 'DeleteOptions'],
      ]);
    });

    it('speaks v1beta1 to those who know only that', async () => {
      await configure(
        api,
        'validating',
        'v',
        hook(webhook, 'a', { admissionReviewVersions: ['v9', 'v1beta1', 'v1'] }),
      );
      await create('older');
      assert.equal(webhook.asked[0]?.apiVersion, 'admission.k8s.io/v1beta1');
    });

    it('tells streams and evictions by the kind of what is posted or asked for', async () => {
      const rule = { ...configMapRule, resources: ['pods/*'], operations: ['CONNECT', 'CREATE'] };
      await api.service.create(pods, 'default', pod('streamed'), { user });
      await configure(api, 'validating', 'v', hook(webhook, 'a', { rules: [rule] }));
      const exec = { apiVersion: 'v1', kind: 'PodExecOptions', command: ['sh'], stdin: true };
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'streamed' } };
      for (const [operation, subresource, object] of [
        ['CONNECT', 'exec', exec],
        ['CREATE', 'eviction', eviction],
      ] as const) {
        const action = { operation, subresource, object: object as unknown as UntypedObject };
        await api.service.admit(pods, at('streamed'), action, { user });
      }
      assert.deepEqual(
        webhook.asked.map(({ request }) => [
          request.operation,
          request.kind,
          request.resource.resource,
          request.subResource,
          request.name,
          request.namespace,
          request.object,
        ]),
        [
          [
            'CONNECT',
            { group: '', version: 'v1', kind: 'PodExecOptions' },
            'pods',
            'exec',
            'streamed',
            'default',
            exec,
          ],
          [
            'CREATE',
            { group: 'policy', version: 'v1', kind: 'Eviction' },
            'pods',
            'eviction',
            'streamed',
            'default',
            eviction,
          ],
        ],
      );
      webhook.react = () => ({ allowed: false, status: { message: 'not here' } });
      const action = {
        operation: 'CONNECT',
        subresource: 'exec',
        object: exec as unknown as UntypedObject,
      } as const;
      await fails(
        api.service.admit(pods, at('streamed'), action, { user }),
        400,
        '',
        'admission webhook "a.example.com" denied the request: not here',
      );
    });

    it('shows the Scale of a scale subresource', async () => {
      const rule = { ...configMapRule, apiGroups: ['*'], resources: ['widgets/scale'] };
      await configure(api, 'validating', 'v', hook(webhook, 'a', { rules: [rule] }));
      await configure(api, 'mutating', 'm', hook(webhook, 'b', { rules: [rule], path: '/mutate' }));
      await api.service.create(widgets, 'default', widget('scaled', { replicas: 1 }), { user });
      webhook.react = (_request, path) => ({
        allowed: true,
        ...(path.startsWith('/mutate') ? patch({ op: 'replace', path: '/spec/replicas', value: 5 }) : {}),
      });
      const request = { user, subresource: 'scale' as const };
      const body = { spec: { replicas: 2 } };
      const scale = await api.service.patch(widgets, at('scaled'), { type: 'merge', body }, request);
      const shown = webhook.asked.map(({ request: { kind, subResource, object, oldObject } }) => [
        kind.kind,
        subResource,
        object?.['spec'],
        oldObject?.['spec'],
      ]);
      assert.deepEqual(shown, [
        ['Scale', 'scale', { replicas: 2 }, { replicas: 1 }],
        ['Scale', 'scale', { replicas: 5 }, { replicas: 1 }],
      ]);
      assert.deepEqual((scale.object as typeof scale.object & { spec?: unknown }).spec, { replicas: 5 });
    });
  });

  describe('who is asked', () => {
    it('nobody about webhook configurations, or nobody could mend them', async () => {
      const everything = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] };
      webhook.react = () => ({ allowed: false });
      await configure(api, 'validating', 'v', hook(webhook, 'a', { rules: [everything] }));
      await fails(create('refused'), 400, '', /denied/);
      webhook.asked.length = 0;
      await api.client.delete(validatingWebhookConfigurations, { name: 'v' });
      assert.equal(webhook.asked.length, 0);
      await create('free-again');
    });

    it('by namespace labels; a namespace is asked about as it will be', async () => {
      const namespaceSelector = { matchLabels: { team: 'blue' } };
      const rules = [{ ...configMapRule, resources: ['configmaps', 'namespaces', 'nodes'] }];
      await configure(api, 'validating', 'v', hook(webhook, 'a', { namespaceSelector, rules }));
      await create('elsewhere');
      assert.equal(webhook.asked.length, 0);
      const namespace = {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'blue', labels: { team: 'blue' } },
      };
      await api.client.create(namespaces, namespace);
      await api.service.create(configMaps, 'blue', { metadata: { name: 'here' } }, { user });
      assert.deepEqual(
        webhook.asked.map(({ request }) => [request.kind.kind, request.namespace]),
        [
          ['Namespace', 'blue'],
          ['ConfigMap', 'blue'],
        ],
      );
    });

    it('by object labels, of the new object or the old one', async () => {
      const objectSelector = { matchExpressions: [{ key: 'watched', operator: 'Exists' }] };
      await configure(api, 'validating', 'v', hook(webhook, 'a', { objectSelector }));
      await create('plain');
      await create('labelled', {}, { labels: { watched: 'yes' } });
      const unlabel = { metadata: { labels: { watched: null } } };
      await api.service.patch(configMaps, at('labelled'), { type: 'merge', body: unlabel }, { user });
      const touch = { data: { a: '1' } };
      await api.service.patch(configMaps, at('labelled'), { type: 'merge', body: touch }, { user });
      assert.deepEqual(
        webhook.asked.map(({ request }) => request.operation),
        ['CREATE', 'UPDATE'],
      );
    });

    it('by conditions', async () => {
      const matchConditions = [
        { name: 'not-system', expression: "!request.userInfo.username.startsWith('system:')" },
        { name: 'has-data', expression: 'has(object.data) && size(object.data) > 1' },
      ];
      await configure(api, 'validating', 'v', hook(webhook, 'a', { matchConditions }));
      await create('one', { a: '1' });
      assert.equal(webhook.asked.length, 0);
      await create('two', { a: '1', b: '2' });
      assert.equal(webhook.asked.length, 1);
    });

    it('a condition that fails refuses, or is passed over, by failure policy', async () => {
      const matchConditions = [{ name: 'fails', expression: "object.data.missing == 'x'" }];
      await configure(api, 'validating', 'v', hook(webhook, 'a', { matchConditions }));
      await fails(create('strict', { a: '1' }), 403, 'Forbidden', /^configmaps "strict" is forbidden: /);
      await configure(
        api,
        'validating',
        'v',
        hook(webhook, 'a', { matchConditions, failurePolicy: 'Ignore' }),
      );
      await create('lenient', { a: '1' });
      assert.equal(webhook.asked.length, 0);
    });

    it('in the version that its rules name, unless it wants exact matches', async () => {
      const rules = [
        {
          apiGroups: ['autoscaling'],
          apiVersions: ['v2'],
          resources: ['horizontalpodautoscalers'],
          operations: ['*'],
        },
      ];
      const v1 = api.service.registry.find('autoscaling/v1', 'horizontalpodautoscalers');
      assert.ok(v1);
      const autoscaler = (name: string): object => ({
        apiVersion: 'autoscaling/v1',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name, namespace: 'default' },
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' },
          maxReplicas: 3,
          targetCPUUtilizationPercentage: 50,
        },
      });
      const create = (name: string) => api.service.create(v1, 'default', autoscaler(name), { user });
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { rules, matchPolicy: 'Exact' }));
      await create('exact');
      assert.equal(webhook.asked.length, 0);
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { rules }));
      webhook.react = () => ({
        allowed: true,
        ...patch({ op: 'replace', path: '/spec/metrics/0/resource/target/averageUtilization', value: 70 }),
      });
      const { object } = await create('equivalent');
      const [asked] = webhook.asked as unknown as { request: Record<string, unknown> }[];
      const { kind, resource: named, requestKind, object: shown } = asked?.request ?? {};
      assert.deepEqual(kind, { group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler' });
      assert.deepEqual(named, { group: 'autoscaling', version: 'v2', resource: 'horizontalpodautoscalers' });
      assert.deepEqual(requestKind, { group: 'autoscaling', version: 'v1', kind: 'HorizontalPodAutoscaler' });
      assert.equal((shown as { apiVersion: string }).apiVersion, 'autoscaling/v2');
      const { apiVersion, spec } = object as typeof object & {
        spec?: { targetCPUUtilizationPercentage: number };
      };
      assert.equal(apiVersion, 'autoscaling/v1');
      assert.equal(spec?.targetCPUUtilizationPercentage, 70);
    });

    it('configurations with conditions that are no expressions are refused', async () => {
      const matchConditions = [{ name: 'broken', expression: 'object.' }];
      await fails(
        configure(api, 'validating', 'v', hook(webhook, 'a', { matchConditions })),
        422,
        'Invalid',
        /webhooks\[0\]\.matchConditions\[0\]\.expression: Invalid value: "object\.": compilation failed/,
      );
    });

    it('behind a service, by the name of the certificate', async () => {
      const service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'hook', namespace: 'default' },
        spec: { ports: [{ name: 'https', port: 443 }] },
      };
      const clientConfig = {
        service: { namespace: 'default', name: 'hook', path: '/served' },
        caBundle: webhook.caBundle,
      };
      const failing = (why: string): string =>
        `Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: ${why}`;
      await configure(api, 'validating', 'v', hook(webhook, 'a', { clientConfig }));
      await fails(create('s1'), 500, 'InternalError', failing('service "hook" not found'));
      await api.client.create(services, service);
      await fails(create('s1'), 500, 'InternalError', failing('no endpoints available for service "hook"'));
      await api.client.create(endpoints, {
        apiVersion: 'v1',
        kind: 'Endpoints',
        metadata: { name: 'hook', namespace: 'default' },
        subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'https', port: webhook.port }] }],
      });
      await create('s1');
      assert.equal(webhook.asked[0]?.path, '/served?timeout=10s');
      const other = { ...clientConfig, service: { ...clientConfig.service, port: 8443 } };
      await configure(api, 'validating', 'v', hook(webhook, 'a', { clientConfig: other }));
      await fails(
        create('s2'),
        500,
        'InternalError',
        failing('no service port 8443 found for service "hook"'),
      );
    });
  });

  describe('the answer', () => {
    it('refuses in the words, with the code and the reason of the webhook', async () => {
      await configure(api, 'validating', 'v', hook(webhook, 'a'));
      const refusals: [object | undefined, number, string, string][] = [
        [undefined, 400, '', 'admission webhook "a.example.com" denied the request without explanation'],
        [{ message: 'too blue' }, 400, '', 'admission webhook "a.example.com" denied the request: too blue'],
        [{ reason: 'Teapot' }, 400, 'Teapot', 'admission webhook "a.example.com" denied the request: Teapot'],
        [
          { code: 403, reason: 'Forbidden', message: 'no' },
          403,
          'Forbidden',
          'admission webhook "a.example.com" denied the request: no',
        ],
        [{ code: 200, message: 'odd' }, 400, '', 'admission webhook "a.example.com" denied the request: odd'],
      ];
      for (const [status, code, reason, message] of refusals) {
        webhook.react = () => ({ allowed: false, ...(status ? { status } : {}) });
        await fails(create('refused'), code, reason, message);
      }
    });

    it('may warn, whether it allows or refuses; each warning once', async () => {
      webhook.react = () => ({ allowed: true, warnings: ['beware', 'twice'] });
      await configure(api, 'validating', 'v', hook(webhook, 'a'), hook(webhook, 'b'));
      const { warnings } = await create('warned');
      assert.deepEqual(warnings, ['beware', 'twice']);
      const { warnings: late } = await api.service.delete(configMaps, at('warned'), { user });
      assert.deepEqual(late, ['beware', 'twice']);
    });

    it('goes into the audit log', async () => {
      webhook.react = () => ({ allowed: true, auditAnnotations: { why: 'because' } });
      await configure(api, 'validating', 'v', hook(webhook, 'a'));
      await configure(api, 'mutating', 'm', hook(webhook, 'b'));
      const notes: [string, string][] = [];
      const annotate = (key: string, value: string): number => notes.push([key, value]);
      await api.service.create(configMaps, 'default', configMap('noted'), { user, annotate });
      assert.deepEqual(notes, [
        ['b.example.com/why', 'because'],
        [
          'mutation.webhook.admission.k8s.io/round_0_index_0',
          '{"configuration":"m","webhook":"b.example.com","mutated":false}',
        ],
        ['a.example.com/why', 'because'],
      ]);
    });

    it('keeps a connection for the next question', async () => {
      await configure(api, 'validating', 'v', hook(webhook, 'a'));
      await create('first');
      const before = webhook.connections();
      for (let i = 0; i < 5; i++) await create(`again-${i}`);
      assert.equal(webhook.connections(), before);
    });
  });

  describe('mutation', () => {
    const add = (path: string, value: unknown): object => patch({ op: 'add', path, value });

    it('in order of configuration names, each seeing what went before', async () => {
      webhook.react = ({ object }, path) => ({
        allowed: true,
        ...add('/data', { ...(object?.['data'] as object), [path.slice(1, 2)]: 'x' }),
      });
      await configure(api, 'mutating', 'z-last', hook(webhook, 'c', { path: '/c' }));
      await configure(
        api,
        'mutating',
        'a-first',
        hook(webhook, 'b', { path: '/b' }),
        hook(webhook, 'a', { path: '/a' }),
      );
      const { object } = await create('ordered', { start: '1' });
      assert.deepEqual((object as typeof object & { data?: unknown }).data, {
        start: '1',
        b: 'x',
        a: 'x',
        c: 'x',
      });
      assert.deepEqual(
        webhook.asked.map(({ path }) => path.slice(1, 2)),
        ['b', 'a', 'c'],
      );
    });

    it('what a webhook adds is defaulted, pruned and checked like what a client sends', async () => {
      const rules = [{ ...configMapRule, resources: ['pods'], operations: ['CREATE'] }];
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { rules }));
      const container = { name: 'side', image: 'example.com/side', nonsense: 1 };
      webhook.react = () => ({ allowed: true, ...add('/spec/containers/-', container) });
      const { object } = await api.service.create(pods, 'default', pod('injected'), { user });
      const side = (object as unknown as { spec: { containers: Record<string, unknown>[] } }).spec
        .containers[1];
      assert.equal(side?.['imagePullPolicy'], 'Always');
      assert.equal(side?.['nonsense'], undefined);
      webhook.react = () => ({ allowed: true, ...add('/spec/containers/-', { name: 'NOT A NAME' }) });
      await fails(
        api.service.create(pods, 'default', pod('invalid'), { user }),
        422,
        'Invalid',
        /spec\.containers\[1\]\.name: Invalid value/,
      );
    });

    it('is followed by the defaults of this process once more', async () => {
      const metadata = { name: 'limited' };
      await api.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata });
      const limits = [{ type: 'Container', default: { memory: '64Mi' } }];
      const range = { metadata: { name: 'l' }, spec: { limits } };
      await api.service.create(limitRanges, 'limited', range, { user });
      const rules = [{ ...configMapRule, resources: ['pods'], operations: ['CREATE'] }];
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { rules }));
      const side = { name: 'side', image: 'example.com/side' };
      webhook.react = () => ({ allowed: true, ...add('/spec/containers/-', side) });
      const { spec } = pod('injected');
      const { object } = await api.service.create(
        pods,
        'limited',
        { metadata: { name: 'p' }, spec },
        { user },
      );
      const { containers } = (object as unknown as { spec: { containers: { resources: object }[] } }).spec;
      const resources = { requests: { memory: '64Mi' }, limits: { memory: '64Mi' } };
      assert.deepEqual(
        containers.map((container) => container.resources),
        [resources, resources],
      );
      assert.equal(webhook.asked.length, 1);
    });

    it('may not change which object it is', async () => {
      await configure(api, 'mutating', 'm', hook(webhook, 'a'));
      webhook.react = () => ({ allowed: true, ...add('/metadata/name', 'other') });
      const { object } = await create('mine');
      assert.equal(object.metadata.name, 'mine');
    });

    it('is seen by validating webhooks and by the dry run', async () => {
      await configure(api, 'mutating', 'm', hook(webhook, 'a', { path: '/mutate' }));
      await configure(api, 'validating', 'v', hook(webhook, 'b', { path: '/validate' }));
      webhook.react = (_request, path) => ({
        allowed: true,
        ...(path.startsWith('/mutate') ? add('/data', { added: 'yes' }) : {}),
      });
      const dry = await api.service.create(configMaps, 'default', configMap('dry'), { user, dryRun: true });
      assert.deepEqual((dry.object as typeof dry.object & { data?: unknown }).data, { added: 'yes' });
      assert.deepEqual(
        webhook.asked.map(({ request }) => [request.dryRun, request.object?.['data']]),
        [
          [true, undefined],
          [true, { added: 'yes' }],
        ],
      );
    });

    it('asks again whoever wants it when the object has changed since, once', async () => {
      const reinvocationPolicy = 'IfNeeded';
      await configure(
        api,
        'mutating',
        'm',
        hook(webhook, 'a', { path: '/a', reinvocationPolicy }),
        hook(webhook, 'b', { path: '/b' }),
        hook(webhook, 'c', { path: '/c', reinvocationPolicy }),
      );
      webhook.react = ({ object }, path) => ({
        allowed: true,
        // Each question changes the object anew: without a bound this would never end.
        ...add('/data', {
          ...(object?.['data'] as object),
          [`${path.slice(1, 2)}${webhook.asked.length}`]: 'x',
        }),
      });
      await create('reinvoked');
      assert.deepEqual(
        webhook.asked.map(({ path }) => path.slice(1, 2)),
        ['a', 'b', 'c', 'a', 'c'],
      );
    });

    it('asks nobody again when nothing has changed', async () => {
      const reinvocationPolicy = 'IfNeeded';
      await configure(
        api,
        'mutating',
        'm',
        hook(webhook, 'a', { reinvocationPolicy }),
        hook(webhook, 'b', { reinvocationPolicy }),
      );
      webhook.react = () => ({ allowed: true, ...patch() });
      await create('quiet');
      assert.equal(webhook.asked.length, 2);
    });

    it('of a deletion is a mistake', async () => {
      await create('deleted');
      await configure(api, 'mutating', 'm', hook(webhook, 'a'));
      webhook.react = () => ({ allowed: true, ...add('/metadata/labels', {}) });
      await fails(
        api.service.delete(configMaps, at('deleted'), { user }),
        500,
        'InternalError',
        'Internal error occurred: admission webhook "a.example.com" attempted to modify the object, which is not supported for this operation',
      );
    });
  });
});
