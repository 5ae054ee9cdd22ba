import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PolicySpec } from '../../../../src/api/kubernetes/index.ts';
import { customResourceDefinitions } from '../../../../src/api/crd.ts';
import { resources } from '../../../../src/api/registry.ts';
import { typeWarnings } from '../../../../src/kube/server/policies/type-check.ts';
import { widgets } from '../../service/support.ts';

const served = { resources: [...resources, widgets] };
const over = (group: string, ...plurals: string[]): PolicySpec => ({
  matchConstraints: {
    resourceRules: [
      { apiGroups: [group], apiVersions: ['v1'], resources: plurals, operations: ['*'], scope: '*' },
    ],
  },
});
const warnings = (spec: PolicySpec) => typeWarnings(spec, served);

it('expressions that fit the kind give no warning', () => {
  const validations = [
    'object.spec.replicas > 1',
    "object.spec.template.spec.containers.all(c, c.image.startsWith('good/'))",
    "object.metadata.labels['team'] == 'red'",
    'object.spec.strategy.rollingUpdate.maxSurge == 1 || oldObject.metadata.generation > 3',
    "object.metadata.creationTimestamp > timestamp('2020-01-01T00:00:00Z')",
    'has(object.metadata.namespace) && request.namespace == object.metadata.namespace',
    "authorizer.requestResource.check('x').allowed()",
  ].map((expression) => ({ expression }));
  assert.deepEqual(warnings({ ...over('apps', 'deployments'), validations }), []);
});

it('expressions that do not are told with their place and their kind', () => {
  const validations = [
    { expression: "object.spec.replicas > '1'", messageExpression: "'replicas: ' + object.spec.replicas" },
    { expression: 'object.spec.unknown == 1' },
  ];
  const found = warnings({ ...over('apps', 'deployments', 'replicasets'), validations });
  assert.deepEqual(
    found.map(({ fieldRef }) => fieldRef),
    [
      'spec.validations[0].expression',
      'spec.validations[0].messageExpression',
      'spec.validations[1].expression',
    ],
  );
  const [first, second, third] = found.map(({ warning }) => warning);
  assert.match(first ?? '', /^apps\/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:/);
  assert.match(first ?? '', /found no matching overload for '_>_' applied to '\(int, string\)'/);
  assert.match(first ?? '', /apps\/v1, Kind=ReplicaSet: /);
  assert.match(second ?? '', /found no matching overload for '_\+_' applied to '\(string, int\)'/);
  assert.match(third ?? '', /undefined field 'unknown'/);
});

it('variables and params have the types of what they are', () => {
  const spec: PolicySpec = {
    ...over('', 'pods'),
    paramKind: { apiVersion: 'test.knapsack.dev/v1', kind: 'Widget' },
    variables: [{ name: 'size', expression: 'params.spec.size' }],
    validations: [{ expression: 'variables.size > 1' }, { expression: "variables.size > 'a'" }],
  };
  const [only, ...more] = warnings(spec);
  assert.equal(more.length, 0);
  assert.equal(only?.fieldRef, 'spec.validations[1].expression');
});

it('kinds of custom resources are known, and kinds named by wildcards are not looked at', () => {
  const validations = [{ expression: "object.spec.size > 'a'" }];
  assert.equal(warnings({ ...over('test.knapsack.dev', 'widgets'), validations }).length, 1);
  assert.deepEqual(warnings({ ...over('*', 'widgets'), validations }), []);
  assert.deepEqual(warnings({ ...over('', 'absent'), validations }), []);
});

it('a kind that contains itself does not end the check', () => {
  const spec = over('apiextensions.k8s.io', 'customresourcedefinitions');
  const schema = 'object.spec.versions[0].schema.openAPIV3Schema';
  const validations = [
    { expression: `${schema}.not.not.not.type == 'object'` },
    { expression: `${schema}.type == 1` },
  ];
  const found = typeWarnings({ ...spec, validations }, { resources: [customResourceDefinitions] });
  assert.deepEqual(
    found.map(({ fieldRef }) => fieldRef),
    ['spec.validations[1].expression'],
  );
});
