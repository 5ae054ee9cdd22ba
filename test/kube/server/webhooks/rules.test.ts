import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matchesRule, type RuleSubject } from '../../../../src/kube/server/webhooks/rules.ts';

const pod: RuleSubject = {
  operation: 'CREATE',
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespaced: true,
};
const deployment = { ...pod, group: 'apps', resource: 'deployments' };
const node = { ...pod, resource: 'nodes', namespaced: false };
const all = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'] };

describe('rules of webhooks', () => {
  for (const [resources, resource, subresource, expected] of [
    [['pods'], 'pods', '', true],
    [['pods'], 'pods', 'status', false],
    [['pods'], 'services', '', false],
    [['pods/status'], 'pods', 'status', true],
    [['pods/status'], 'pods', '', false],
    [['pods/*'], 'pods', 'exec', true],
    [['pods/*'], 'pods', '', true],
    [['pods/*'], 'services', 'status', false],
    [['*'], 'pods', '', true],
    [['*'], 'pods', 'status', false],
    [['*/status'], 'services', 'status', true],
    [['*/status'], 'services', '', false],
    [['*/*'], 'services', 'status', true],
    [['*/*'], 'services', '', true],
    [['services', 'pods/scale'], 'pods', 'scale', true],
    [[], 'pods', '', false],
  ] as const) {
    it(`resources ${JSON.stringify(resources)} ${expected ? 'name' : 'do not name'} ${resource} ${subresource}`, () => {
      const rule = { ...all, resources: [...resources] };
      assert.equal(matchesRule(rule, { ...pod, resource, subresource }), expected);
    });
  }

  for (const [what, members, subject, expected] of [
    ['an operation', { operations: ['CREATE'] }, pod, true],
    ['another operation', { operations: ['UPDATE', 'DELETE'] }, pod, false],
    ['the core group', { apiGroups: [''] }, pod, true],
    ['the core group is not every group', { apiGroups: [''] }, deployment, false],
    ['a group', { apiGroups: ['batch', 'apps'] }, deployment, true],
    ['a version', { apiVersions: ['v1'] }, deployment, true],
    ['another version', { apiVersions: ['v1beta1'] }, deployment, false],
    ['scope *', { scope: '*' }, node, true],
    ['namespaced objects', { scope: 'Namespaced' }, pod, true],
    ['namespaced objects only', { scope: 'Namespaced' }, node, false],
    ['cluster objects', { scope: 'Cluster' }, node, true],
    ['cluster objects only', { scope: 'Cluster' }, pod, false],
  ] as const) {
    it(what, () => {
      const rule = { ...all, resources: ['*'], ...members };
      assert.equal(matchesRule(structuredClone(rule) as never, subject), expected);
    });
  }
});
