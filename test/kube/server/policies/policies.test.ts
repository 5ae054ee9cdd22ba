/** ValidatingAdmissionPolicies: which writes they are about, what they know, and what becomes of a broken rule. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  deployments,
  namespaces,
  pods,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
  type PolicySpec,
} from '../../../../src/api/kubernetes/index.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { at, configMap, fails, pod, user, widget, widgets } from '../../service/support.ts';
import { binding, configMapWrites, enforce, policy, relax } from './support.ts';

const rule = (expression: string, more: object = {}): PolicySpec => ({
  validations: [{ expression, ...more }],
});

describe('ValidatingAdmissionPolicies', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi({ resources: [widgets] });
  });
  afterEach(async () => {
    await relax(api);
    await api.service.deleteCollection(configMaps, { namespace: 'default' }, { user });
  });
  after(() => api.close());

  const annotations: Record<string, string> = {};
  const create = (name: string, data?: Record<string, string>, meta: object = {}) =>
    api.service.create(configMaps, 'default', configMap(name, data, meta), {
      user,
      groups: ['testers'],
      annotate: (key, value) => void (annotations[key] = value),
    });
  const refused = (call: Promise<unknown>, why: string, code = 422, reason = 'Invalid') =>
    fails(call, code, reason, new RegExp(why.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')));

  describe('a broken rule', () => {
    it('refuses the write, in the words of Kubernetes, and leaves others alone', async () => {
      await enforce(api, 'sizes', rule("object.data['size'] == 'small'"));
      const error = await fails(
        create('large', { size: 'large' }),
        422,
        'Invalid',
        `configmaps "large" is forbidden: ValidatingAdmissionPolicy 'sizes' with binding 'sizes' denied request: failed expression: object.data['size'] == 'small'`,
      );
      assert.deepEqual(error.details, {
        name: 'large',
        kind: 'configmaps',
        causes: [
          {
            message:
              "ValidatingAdmissionPolicy 'sizes' with binding 'sizes' denied request: failed expression: object.data['size'] == 'small'",
          },
        ],
      });
      await create('small', { size: 'small' });
      await api.service.create(pods, 'default', pod('other'), { user });
    });

    it('is told with its message, its expression of one, and its reason', async () => {
      const spec: PolicySpec = {
        validations: [
          { expression: "object.data['a'] == '1'", message: ' a must be 1 ', reason: 'Forbidden' },
          { expression: "object.data['b'] == '1'", messageExpression: "'b is ' + object.data['b']" },
          {
            expression: "object.data['c'] == '1'",
            message: 'c must be 1',
            messageExpression: "'c is ' + string(object.data['absent'])",
          },
        ],
      };
      await enforce(api, 'words', spec);
      await refused(create('x', { a: '2', b: '1', c: '1' }), 'request: a must be 1', 403, 'Forbidden');
      await refused(create('x', { a: '1', b: '2', c: '1' }), 'request: b is 2');
      // What cannot be computed is no message.
      await refused(create('x', { a: '1', b: '1', c: '2' }), 'request: c must be 1');
    });

    it('only warns, or only goes to the audit log, where the binding says so', async () => {
      const bound = { validationActions: ['Warn', 'Audit'] };
      await enforce(api, 'advice', rule("object.data['a'] == '1'", { message: 'a should be 1' }), bound);
      const { warnings } = await create('warned', { a: '2' });
      assert.deepEqual(warnings, [
        "Validation failed for ValidatingAdmissionPolicy 'advice' with binding 'advice': a should be 1",
      ]);
      assert.deepEqual(
        JSON.parse(annotations['validation.policy.admission.k8s.io/validation_failure'] ?? ''),
        [
          {
            message: 'a should be 1',
            policy: 'advice',
            binding: 'advice',
            expressionIndex: 0,
            validationActions: ['Warn', 'Audit'],
          },
        ],
      );
    });

    it('is told before a resourceVersion that must not be there', async () => {
      await enforce(api, 'first', rule('false', { message: 'the rule comes first' }));
      const versioned = configMap('x', {}, { resourceVersion: '1' });
      await refused(api.service.create(configMaps, 'default', versioned, { user }), 'the rule comes first');
      await relax(api);
      await refused(
        api.service.create(configMaps, 'default', versioned, { user }),
        'resourceVersion should not be set on objects to be created',
        400,
        'BadRequest',
      );
    });

    it('is looked at in a dry run too, and on updates and deletions', async () => {
      await create('kept', { a: '1' });
      await enforce(
        api,
        'frozen',
        rule('oldObject == null || object != null && object.data == oldObject.data'),
      );
      const changed = configMap('kept', { a: '2' });
      await refused(
        api.service.update(configMaps, at('kept'), changed, { user, dryRun: true }),
        'denied request: failed expression: oldObject == null',
      );
      await refused(api.service.delete(configMaps, at('kept'), { user }), 'denied request');
      await api.service.update(configMaps, at('kept'), configMap('kept', { a: '1' }), { user });
      await relax(api);
      await api.service.delete(configMaps, at('kept'), { user });
    });
  });

  describe('an expression that fails', () => {
    const failing = "object.data['absent'] == '1'";

    it('refuses the write', async () => {
      await enforce(api, 'strict', rule(failing));
      await refused(
        create('x', { a: '1' }),
        "denied request: expression 'object.data['absent'] == '1'' resulted in error: no such key: absent",
      );
    });

    it('lets it pass under failurePolicy Ignore, and rules that are broken still refuse', async () => {
      const validations = [{ expression: failing }, { expression: "object.data['a'] == '1'" }];
      await enforce(api, 'lenient', { failurePolicy: 'Ignore', validations });
      await create('fine', { a: '1' });
      await refused(create('x', { a: '2' }), "failed expression: object.data['a'] == '1'");
    });

    it('ends when its budget is spent', async () => {
      const nested = '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]'.repeat(1);
      const loops = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].reduceRight(
        (inner, name) => `${nested}.all(${name}, ${inner})`,
        'true',
      );
      await enforce(api, 'endless', rule(loops));
      await refused(create('x'), 'actual cost limit exceeded');
    });
  });

  describe('what they know', () => {
    it('request, namespaceObject and composed variables', async () => {
      const spec: PolicySpec = {
        variables: [
          { name: 'team', expression: "object.metadata.labels['team']" },
          { name: 'expected', expression: "variables.team + '-' + namespaceObject.metadata.name" },
        ],
        validations: [
          {
            expression: "variables.expected == object.data['owner']",
            messageExpression: "'expected ' + variables.expected",
          },
          { expression: "request.userInfo.groups.exists(group, group == 'testers')" },
          { expression: "request.operation != 'CREATE' || oldObject == null" },
          { expression: "request.namespace == 'default' && request.resource.resource == 'configmaps'" },
        ],
      };
      await enforce(api, 'known', spec);
      await create('x', { owner: 'red-default' }, { labels: { team: 'red' } });
      await refused(create('y', { owner: 'blue' }, { labels: { team: 'red' } }), 'expected red-default');
    });

    it('a variable that fails does so where it is used', async () => {
      const spec: PolicySpec = {
        variables: [{ name: 'size', expression: "int(object.data['size'])" }],
        validations: [{ expression: '!has(object.data.size) || variables.size < 10' }],
      };
      await enforce(api, 'lazy', spec);
      await create('none', { other: '1' });
      await refused(create('x', { size: 'big' }), 'composited variable "size" fails to evaluate');
    });

    it('what the requester may do', async () => {
      const asked = (verb: string): string =>
        `authorizer.group('').resource('secrets').namespace(request.namespace).check('${verb}').allowed()`;
      await enforce(api, 'rights', {
        validations: [
          { expression: asked('get'), message: 'may not read' },
          { expression: `!${asked('delete')}`, message: 'may delete' },
          { expression: "authorizer.path('/healthz').check('get').allowed() == false", message: 'may look' },
          {
            expression:
              "authorizer.serviceAccount('default', 'robot').group('').resource('secrets').check('get').reason() == ''",
          },
          { expression: "authorizer.requestResource.check('approve').allowed()", message: 'may not approve' },
        ],
      });
      await refused(create('x'), 'may not read');
      const rbac = 'rbac.authorization.k8s.io';
      const rules = [
        { apiGroups: [''], resources: ['secrets'], verbs: ['get'] },
        { apiGroups: [''], resources: ['configmaps'], resourceNames: ['mine'], verbs: ['approve'] },
      ];
      const role = { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: 'readers' }, rules };
      await api.service.create(clusterRoles, undefined, role, { user });
      await api.service.create(
        clusterRoleBindings,
        undefined,
        {
          apiVersion: `${rbac}/v1`,
          kind: 'ClusterRoleBinding',
          metadata: { name: 'readers' },
          roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'readers' },
          subjects: [{ apiGroup: rbac, kind: 'Group', name: 'testers' }],
        },
        { user },
      );
      await refused(create('x'), 'may not approve');
      await create('mine');
    });

    it('subresources, as the kind that they are', async () => {
      await enforce(api, 'scales', {
        matchConstraints: {
          resourceRules: [
            {
              apiGroups: ['test.knapsack.dev'],
              apiVersions: ['v1'],
              resources: ['widgets/scale'],
              operations: ['UPDATE'],
            },
          ],
        },
        ...rule("object.kind == 'Scale' && object.spec.replicas < 5", { message: 'too many' }),
      });
      await api.service.create(widgets, 'default', widget('w', { replicas: 1 }), { user });
      const scale = (replicas: number) => ({
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: { name: 'w', namespace: 'default' },
        spec: { replicas },
      });
      const request = { user, subresource: 'scale' as const };
      await api.service.update(widgets, at('w'), scale(4), request);
      await refused(api.service.update(widgets, at('w'), scale(5), request), 'too many');
      await api.service.delete(widgets, at('w'), { user });
    });
  });

  describe('params', () => {
    const params = (name: string, limit: string, meta: object = {}) =>
      api.service.create(configMaps, 'default', configMap(name, { limit }, meta), { user });
    const spec: PolicySpec = {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      matchConstraints: {
        resourceRules: [
          { apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'], operations: ['CREATE'] },
        ],
      },
      ...rule('object.spec.replicas <= int(params.data.limit)', {
        messageExpression: "'at most ' + params.data.limit",
      }),
    };
    const deploy = (replicas: number) =>
      api.service.create(
        deployments,
        'default',
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'app' },
          spec: {
            replicas,
            selector: { matchLabels: { app: 'app' } },
            template: {
              metadata: { labels: { app: 'app' } },
              spec: { containers: [{ name: 'app', image: 'example.com/app' }] },
            },
          },
        },
        { user, dryRun: true },
      );

    it('are read by name, in the namespace of the request, as they are now', async () => {
      const paramRef = { name: 'limits', parameterNotFoundAction: 'Deny' };
      await enforce(api, 'limits', spec, { paramRef });
      await refused(
        deploy(1),
        'failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
      );
      await params('limits', '3');
      await deploy(3);
      await refused(deploy(4), 'at most 3');
      await api.service.update(configMaps, at('limits'), configMap('limits', { limit: '4' }), { user });
      await deploy(4);
    });

    it('are all those that a selector takes; none is fine where that is allowed', async () => {
      const selector = { matchLabels: { limits: 'yes' } };
      await enforce(api, 'many', spec, { paramRef: { selector, parameterNotFoundAction: 'Allow' } });
      await deploy(9);
      await params('one', '5', { labels: { limits: 'yes' } });
      await params('two', '3', { labels: { limits: 'yes' } });
      await params('other', '1');
      await refused(deploy(4), 'at most 3');
      await deploy(3);
    });

    it('of a kind that is not served refuse what the policy is about', async () => {
      const paramKind = { apiVersion: 'example.com/v1', kind: 'Limit' };
      const paramRef = { name: 'limits', parameterNotFoundAction: 'Allow' };
      await enforce(api, 'unknown', { ...spec, paramKind }, { paramRef });
      await refused(
        deploy(1),
        "failed to configure binding: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'",
      );
    });
  });

  describe('what they are about', () => {
    it('a policy without a binding holds nowhere', async () => {
      const never = policy('alone', rule('false'));
      await api.service.create(validatingAdmissionPolicies, undefined, never, { user });
      await create('free');
    });

    it('selectors, names, exclusions and what the binding narrows', async () => {
      await enforce(
        api,
        'narrow',
        {
          matchConstraints: {
            ...configMapWrites,
            objectSelector: { matchLabels: { watched: 'yes' } },
            excludeResourceRules: [
              {
                apiGroups: [''],
                apiVersions: ['v1'],
                resources: ['configmaps'],
                operations: ['CREATE'],
                resourceNames: ['excluded'],
              },
            ],
          },
          ...rule('false'),
        },
        {
          matchResources: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'default' } },
          },
        },
      );
      const watched = { labels: { watched: 'yes' } };
      await refused(create('x', {}, watched), 'failed expression: false');
      await create('excluded', {}, watched);
      await create('unwatched');
      const elsewhere = configMap('x', {}, { ...watched, namespace: 'kube-system' });
      await api.service.create(configMaps, 'kube-system', elsewhere, { user });
    });

    it('conditions: one that is false leaves the request alone, one that fails refuses it', async () => {
      await enforce(api, 'conditional', {
        matchConditions: [
          { name: 'not-exempt', expression: "!object.metadata.name.startsWith('exempt')" },
          { name: 'labelled', expression: "object.metadata.labels['a'] == 'b'" },
        ],
        ...rule('false'),
      });
      await create('exempt-1');
      await refused(create('x', {}, { labels: { a: 'b' } }), 'failed expression: false');
      await create('y', {}, { labels: { a: 'c' } });
      await refused(create('z'), "expression 'object.metadata.labels['a'] == 'b'' resulted in error");
    });

    it('what configures admission is exempt, or nobody could repair a policy', async () => {
      const everything = {
        resourceRules: [{ apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], operations: ['*'] }],
      };
      await enforce(api, 'closed', { matchConstraints: everything, ...rule('false') });
      await refused(create('x'), 'failed expression: false');
      const webhook = {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingWebhookConfiguration',
        metadata: { name: 'still' },
      };
      await api.service.create(validatingWebhookConfigurations, undefined, webhook, { user });
      await api.service.delete(validatingWebhookConfigurations, { name: 'still' }, { user });
      await api.service.delete(validatingAdmissionPolicyBindings, { name: 'closed' }, { user });
      await create('x');
    });

    it('namespaces themselves, which are in none', async () => {
      await enforce(api, 'spaces', {
        matchConstraints: {
          resourceRules: [
            { apiGroups: [''], apiVersions: ['v1'], resources: ['namespaces'], operations: ['CREATE'] },
          ],
        },
        ...rule("namespaceObject == null && object.metadata.name != 'bad'"),
      });
      const space = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      await api.service.create(namespaces, undefined, space('good'), { user });
      await refused(api.service.create(namespaces, undefined, space('bad'), { user }), 'failed expression');
    });
  });

  it('conditions of webhooks ask what the requester may do as well', async () => {
    const configuration = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'unreachable' },
      webhooks: [
        {
          name: 'unreachable.example.com',
          clientConfig: { url: 'https://127.0.0.1:1/' },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          rules: configMapWrites.resourceRules,
          matchConditions: [
            { name: 'trusted', expression: "!authorizer.requestResource.check('skip-checks').allowed()" },
          ],
        },
      ],
    };
    await api.service.create(validatingWebhookConfigurations, undefined, configuration, { user });
    await fails(create('x'), 500, 'InternalError', /failed calling webhook "unreachable.example.com"/);
    const masters = { user, groups: ['system:masters'] };
    await api.service.create(configMaps, 'default', configMap('x'), masters);
    await api.service.delete(validatingWebhookConfigurations, { name: 'unreachable' }, { user });
  });

  it('values for the audit log, with those of several params in one', async () => {
    const auditAnnotations = [
      { key: 'name', valueExpression: "'made ' + object.metadata.name" },
      { key: 'none', valueExpression: "object.metadata.name == 'x' ? '' : 'some'" },
    ];
    await enforce(api, 'noted.example.com', { auditAnnotations }, { validationActions: ['Audit'] });
    await create('x');
    assert.equal(annotations['noted.example.com/name'], 'made x');
    assert.equal(annotations['noted.example.com/none'], undefined);
  });

  describe('what is wrong with a policy or a binding', () => {
    const refuses = async (spec: PolicySpec, ...faults: string[]): Promise<void> => {
      const call = api.service.create(validatingAdmissionPolicies, undefined, policy('bad', spec), { user });
      const error = await fails(call, 422, 'Invalid', /is invalid/);
      for (const fault of faults) assert.ok(error.message.includes(fault), error.message);
    };

    it('expressions that do not compile, or give something else', async () => {
      await refuses(rule('object.'), 'spec.validations[0].expression: Invalid value', 'compilation failed');
      await refuses(rule('object.data'), 'must evaluate to bool but got dyn');
      await refuses(rule("'text'"), 'must evaluate to bool but got string');
      await refuses(rule('params == null'), "undeclared reference to 'params'");
      await refuses(rule('variables.x'), "undeclared reference to 'variables'");
      await refuses(
        {
          variables: [
            { name: 'a', expression: 'variables.b' },
            { name: 'b', expression: '1' },
          ],
          ...rule('true'),
        },
        'spec.variables[0].expression: Invalid value: "variables.b": compilation failed',
        "undefined field 'b'",
      );
      await refuses(
        rule('true', { messageExpression: "authorizer.path('/x').check('get').reason()" }),
        'spec.validations[0].messageExpression',
        "undeclared reference to 'authorizer'",
      );
      await refuses(
        { auditAnnotations: [{ key: 'k', valueExpression: '1 + 1' }] },
        'spec.auditAnnotations[0].valueExpression',
        'must evaluate to one of [string null_type] but got int',
      );
    });

    it('forms', async () => {
      await refuses({}, 'spec.validations: Required value', 'spec.auditAnnotations: Required value');
      await refuses({ ...rule('true'), failurePolicy: 'Perhaps' }, 'spec.failurePolicy: Unsupported value');
      await refuses({ ...rule('true'), matchConstraints: {} }, 'spec.matchConstraints.resourceRules');
      await refuses(rule('true', { reason: 'Gone' }), 'spec.validations[0].reason: Unsupported value');
      await refuses(rule('true', { message: 'a\nb' }), 'message must not contain line breaks');
      await refuses({ ...rule('true'), paramKind: { kind: 'A/B', apiVersion: 'v1' } }, 'spec.paramKind.kind');
      const bind = (spec: object) =>
        api.service.create(validatingAdmissionPolicyBindings, undefined, binding('bad', spec), { user });
      await fails(bind({}), 422, 'Invalid', /spec\.policyName: Required value/);
      await fails(
        bind({ policyName: 'p', validationActions: ['Deny', 'Warn'] }),
        422,
        'Invalid',
        /must not contain both Deny and Warn/,
      );
      await fails(
        bind({ policyName: 'p', paramRef: { name: 'a', selector: {}, parameterNotFoundAction: 'Deny' } }),
        422,
        'Invalid',
        /name and selector are mutually exclusive/,
      );
    });

    it('defaults are filled', async () => {
      await enforce(api, 'defaults', rule('true'), { matchResources: {} });
      const stored = await api.client.get(validatingAdmissionPolicies, { name: 'defaults' });
      assert.equal(stored.spec?.failurePolicy, 'Fail');
      assert.equal(stored.spec?.matchConstraints?.matchPolicy, 'Equivalent');
      assert.equal(stored.spec?.matchConstraints?.resourceRules?.[0]?.scope, '*');
      const bound = await api.client.get(validatingAdmissionPolicyBindings, { name: 'defaults' });
      assert.deepEqual(bound.spec?.matchResources, {
        matchPolicy: 'Equivalent',
        namespaceSelector: {},
        objectSelector: {},
      });
    });
  });
});
