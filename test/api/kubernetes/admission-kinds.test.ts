/** Defaults and faults of the kinds that configure admission and disruption. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  mutatingWebhookConfigurations,
  podDisruptionBudgets,
  validatingWebhookConfigurations,
} from '../../../src/api/kubernetes/index.ts';
import { admitted, faults } from './support.ts';

const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] };
const webhook = {
  name: 'a.example.com',
  clientConfig: { service: { namespace: 'default', name: 'hook' } },
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
  rules: [rule],
};
const configuration = (kind: string, ...webhooks: object[]): object => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: `${kind}WebhookConfiguration`,
  metadata: { name: 'c' },
  webhooks,
});

describe('webhook configurations', () => {
  const defaults = {
    failurePolicy: 'Fail',
    matchPolicy: 'Equivalent',
    namespaceSelector: {},
    objectSelector: {},
    timeoutSeconds: 10,
    rules: [{ ...rule, scope: '*' }],
    clientConfig: { service: { namespace: 'default', name: 'hook', port: 443 } },
  };

  it('are filled in', () => {
    const validating = admitted(validatingWebhookConfigurations, configuration('Validating', webhook));
    assert.deepEqual(validating.webhooks, [{ ...webhook, ...defaults }]);
    const mutating = admitted(mutatingWebhookConfigurations, configuration('Mutating', webhook));
    assert.deepEqual(mutating.webhooks, [{ ...webhook, ...defaults, reinvocationPolicy: 'Never' }]);
  });

  const byUrl = (url: string): object => ({ clientConfig: { url } });
  const byRule = (members: object): object => ({ rules: [{ ...rule, ...members }] });
  const form = '; desired format: https://host[:port][/path]';
  const cases: [object, string | undefined][] = [
    [{}, undefined],
    [byUrl('https://example.com:8443/path'), undefined],
    [byRule({ resources: ['pods', 'pods/status', '*/scale'] }), undefined],
    [
      { name: 'short' },
      'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots',
    ],
    [
      { clientConfig: {} },
      'webhooks[0].clientConfig: Required value: exactly one of url or service is required',
    ],
    [
      { clientConfig: { ...webhook.clientConfig, url: 'https://example.com' } },
      'webhooks[0].clientConfig: Required value: exactly one of url or service is required',
    ],
    [
      byUrl('http://example.com'),
      `webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme${form}`,
    ],
    [
      byUrl('nonsense'),
      `webhooks[0].clientConfig.url: Invalid value: "nonsense": url must be a valid URL${form}`,
    ],
    [
      byUrl('https://me@example.com'),
      'webhooks[0].clientConfig.url: Invalid value: "me": user information is not permitted in the URL',
    ],
    [
      byUrl('https://example.com?a=b'),
      'webhooks[0].clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
    ],
    [
      { clientConfig: { service: { namespace: 'n', name: 's', path: 'x' } } },
      `webhooks[0].clientConfig.service.path: Invalid value: "x": must start with a '/'`,
    ],
    [
      { clientConfig: { service: { namespace: 'n', name: 's', port: 70000 } } },
      'webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive',
    ],
    [
      { sideEffects: 'Some' },
      'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
    ],
    [
      { failurePolicy: 'Maybe' },
      'webhooks[0].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
    ],
    [
      { timeoutSeconds: 31 },
      'webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds',
    ],
    [
      { admissionReviewVersions: ['v2'] },
      'webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
    ],
    [byRule({ operations: [] }), 'webhooks[0].rules[0].operations: Required value'],
    [
      byRule({ operations: ['READ'] }),
      'webhooks[0].rules[0].operations[0]: Unsupported value: "READ": supported values: "*", "CREATE", "UPDATE", "DELETE", "CONNECT"',
    ],
    [
      byRule({ operations: ['*', 'CREATE'] }),
      `webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations`,
    ],
    [
      byRule({ resources: ['*/*', 'pods'] }),
      `webhooks[0].rules[0].resources: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources`,
    ],
    [
      byRule({ resources: ['pods/*', 'pods/status'] }),
      `webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status`,
    ],
    [
      byRule({ resources: ['*', 'pods'] }),
      `webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources`,
    ],
    [
      byRule({ scope: 'Some' }),
      'webhooks[0].rules[0].scope: Unsupported value: "Some": supported values: "*", "Cluster", "Namespaced"',
    ],
    [
      { objectSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } },
      'webhooks[0].objectSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
    ],
    [
      { matchConditions: [{ name: 'a', expression: ' ' }] },
      'webhooks[0].matchConditions[0].expression: Required value',
    ],
    [
      {
        matchConditions: [
          { name: 'a', expression: 'true' },
          { name: 'a', expression: 'true' },
        ],
      },
      'webhooks[0].matchConditions[1].name: Duplicate value: "a"',
    ],
  ];
  for (const [members, fault] of cases) {
    it(fault ?? `takes ${JSON.stringify(members)}`, () => {
      const found = faults(
        validatingWebhookConfigurations,
        configuration('Validating', { ...webhook, ...members }),
      );
      assert.deepEqual(found, fault === undefined ? [] : [fault]);
    });
  }

  it('have webhooks of different names', () => {
    assert.deepEqual(faults(mutatingWebhookConfigurations, configuration('Mutating', webhook, webhook)), [
      'webhooks[1].name: Duplicate value: "a.example.com"',
    ]);
  });
});

describe('disruption budgets', () => {
  const cases: [object, RegExp | undefined][] = [
    [{}, undefined],
    [{ minAvailable: 2 }, undefined],
    [{ maxUnavailable: '100%' }, undefined],
    [
      { minAvailable: 1, maxUnavailable: 1 },
      /^spec: Invalid value: .*: minAvailable and maxUnavailable cannot be both set$/,
    ],
    [{ minAvailable: -1 }, /^spec\.minAvailable: Invalid value: -1: must be greater than or equal to 0$/],
    [
      { maxUnavailable: '101%' },
      /^spec\.maxUnavailable: Invalid value: "101%": must not be greater than 100%$/,
    ],
    [{ maxUnavailable: 'some' }, /a valid percent string must be a numeric string/],
    [{ unhealthyPodEvictionPolicy: 'Never' }, /supported values: "AlwaysAllow", "IfHealthyBudget"$/],
  ];
  for (const [spec, fault] of cases) {
    it(`${JSON.stringify(spec)} ${fault ? 'is refused' : 'is taken'}`, () => {
      const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'b' }, spec };
      const [found, ...more] = faults(podDisruptionBudgets, budget);
      assert.deepEqual(more, []);
      if (fault) assert.match(found ?? '', fault);
      else assert.equal(found, undefined);
    });
  }
});
