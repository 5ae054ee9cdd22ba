import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { attributesOf, type Attributes } from '../../../../src/kube/server/authorization/attributes.ts';
import { forbidden } from '../../../../src/kube/server/authorization/authorizer.ts';
import {
  compactRules,
  describeRule,
  ruleAllows,
  uncovered,
  type PolicyRule,
} from '../../../../src/kube/server/authorization/rules.ts';

const on = (verb: string, what: string, more: { group?: string; name?: string } = {}): Attributes => {
  const [resource = '', subresource = ''] = what.split('/');
  const { group = '', name = '' } = more;
  return { verb, group, version: 'v1', resource, subresource, namespace: 'ns', name };
};
const rule = (verbs: string, groups: string, resources: string, names?: string): PolicyRule => ({
  verbs: verbs.split(','),
  apiGroups: groups.split(','),
  resources: resources.split(','),
  ...(names === undefined ? {} : { resourceNames: names.split(',') }),
});
const onPaths = (verbs: string, urls: string): PolicyRule => ({
  verbs: verbs.split(','),
  nonResourceURLs: urls.split(','),
});

describe('a rule', () => {
  const cases: [PolicyRule, Attributes, boolean][] = [
    [rule('get,list', '', 'pods'), on('get', 'pods'), true],
    [rule('get,list', '', 'pods'), on('delete', 'pods'), false],
    [rule('*', '', 'pods'), on('anything', 'pods'), true],
    [rule('get', '', 'pods'), on('get', 'pods/log'), false],
    [rule('get', '', 'pods/log'), on('get', 'pods/log'), true],
    [rule('get', '', 'pods/log'), on('get', 'pods'), false],
    [rule('get', '', '*'), on('get', 'pods/exec'), true],
    [rule('get', '', '*/scale'), on('get', 'deployments/scale'), true],
    [rule('get', '', '*/scale'), on('get', 'deployments'), false],
    [rule('get', '', 'pods/*'), on('get', 'pods/log'), false],
    [rule('get', 'apps', 'deployments'), on('get', 'deployments', { group: 'apps' }), true],
    [rule('get', '', 'deployments'), on('get', 'deployments', { group: 'apps' }), false],
    [rule('get', '*', 'deployments'), on('get', 'deployments', { group: 'apps' }), true],
    [rule('get', '', 'configmaps', 'a,b'), on('get', 'configmaps', { name: 'b' }), true],
    [rule('get', '', 'configmaps', 'a,b'), on('get', 'configmaps', { name: 'c' }), false],
    [rule('list', '', 'configmaps', 'a'), on('list', 'configmaps'), false],
    [rule('create', '', 'configmaps', 'a'), on('create', 'configmaps'), false],
    [rule('*', '*', '*'), { verb: 'get', path: '/healthz' }, false],
    [onPaths('get', '/healthz'), { verb: 'get', path: '/healthz' }, true],
    [onPaths('get', '/healthz'), { verb: 'get', path: '/healthz/etcd' }, false],
    [onPaths('get', '/healthz/*'), { verb: 'get', path: '/healthz/etcd' }, true],
    [onPaths('get', '/healthz/*'), { verb: 'get', path: '/healthz' }, false],
    [onPaths('get', '/api*'), { verb: 'get', path: '/apis' }, true],
    [onPaths('get', '/a*c'), { verb: 'get', path: '/abc' }, false],
    [onPaths('*', '*'), { verb: 'post', path: '/anything' }, true],
    [onPaths('get', '*'), { verb: 'post', path: '/anything' }, false],
    [onPaths('*', '*'), on('get', 'pods'), false],
  ];
  for (const [given, asked, allowed] of cases) {
    const what = Object.values(asked).join(' ');
    it(`${describeRule(given)} ${allowed ? 'allows' : 'does not allow'} ${what}`, () =>
      assert.equal(ruleAllows(given, asked), allowed));
  }
});

describe('rules cover rules', () => {
  const covered: [PolicyRule[], PolicyRule[]][] = [
    [[rule('*', '*', '*')], [rule('get,list', 'apps', 'deployments,pods/log')]],
    [[rule('get', '', 'pods'), rule('list', '', 'pods')], [rule('get,list', '', 'pods')]],
    [[rule('get', '', 'pods')], [rule('get', '', 'pods', 'a')]],
    [[rule('get', '', 'pods', 'a,b')], [rule('get', '', 'pods', 'a')]],
    [[rule('get', '', '*/scale')], [rule('get', '', 'deployments/scale')]],
    [[onPaths('get', '/a*')], [onPaths('get', '/ab,/ac*')]],
    [[onPaths('*', '*')], [onPaths('post', '/x/*')]],
    [[], []],
  ];
  const notCovered: [PolicyRule[], PolicyRule[]][] = [
    [[rule('get', '', 'pods')], [rule('*', '', 'pods')]],
    [[rule('get', '', 'pods')], [rule('get', '*', 'pods')]],
    [[rule('get', '', 'pods')], [rule('get', '', '*')]],
    [[rule('get', '', 'pods', 'a')], [rule('get', '', 'pods')]],
    [[rule('get', '', 'pods', 'a')], [rule('get', '', 'pods', 'a,b')]],
    [[rule('get', '', 'pods')], [rule('get', '', 'pods/log')]],
    [[onPaths('get', '/a')], [onPaths('get', '/a*')]],
    [[rule('*', '*', '*')], [onPaths('get', '/a')]],
  ];
  const text = (rules: PolicyRule[]): string => rules.map(describeRule).join(' ') || 'nothing';
  for (const [held, wanted] of covered)
    it(`${text(held)} covers ${text(wanted)}`, () => assert.deepEqual(uncovered(held, wanted), []));
  for (const [held, wanted] of notCovered)
    it(`${text(held)} does not cover ${text(wanted)}`, () =>
      assert.notDeepEqual(uncovered(held, wanted), []));

  const someOf = (...values: string[]) => fc.subarray(values, { minLength: 1 });
  const anyRule: fc.Arbitrary<PolicyRule> = fc.record({
    verbs: someOf('get', 'list', '*'),
    apiGroups: someOf('', 'apps', '*'),
    resources: someOf('pods', 'pods/log', '*', '*/log'),
    resourceNames: fc.subarray(['a', 'b']),
  });
  const anyAttributes = fc
    .record({
      verb: fc.constantFrom('get', 'list', 'watch'),
      what: fc.constantFrom('pods', 'pods/log', 'nodes', 'nodes/log'),
      group: fc.constantFrom('', 'apps', 'x'),
      name: fc.constantFrom('', 'a', 'b', 'c'),
    })
    .map(({ verb, what, group, name }) => on(verb, what, { group, name }));

  it('means: whatever the covered allow, the covering allow', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 4 }), anyRule, anyAttributes, (held, wanted, asked) => {
        if (uncovered(held, [wanted]).length > 0 || !ruleAllows(wanted, asked)) return;
        assert.ok(held.some((one) => ruleAllows(one, asked)));
      }),
      { numRuns: 5000 },
    );
  });

  it('is reached by adding what is missing', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 4 }), fc.array(anyRule), (held, wanted) => {
        const missing = uncovered(held, wanted);
        assert.deepEqual(uncovered([...held, ...compactRules(missing)], wanted), []);
        assert.deepEqual(uncovered([...held, ...missing], wanted), []);
      }),
    );
  });
});

describe('what a request asks leave for', () => {
  const ask = (method: string, url: string): Attributes => {
    const [path = '', query = ''] = url.split('?');
    const segments = path.split('/').filter(Boolean).map(decodeURIComponent);
    return attributesOf(method, segments, new URLSearchParams(query));
  };
  const ns = '/api/v1/namespaces/ns';
  const apps = '/apis/apps/v1/namespaces/ns';
  const byName = '/api/v1/pods?fieldSelector=metadata.name';
  const cases: [string, string, string, RegExp][] = [
    [
      'GET',
      `${ns}/pods`,
      'list pods',
      /^pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "ns"$/,
    ],
    ['HEAD', `${ns}/pods/p`, 'get pods', /^pods "p" is forbidden: User "x" cannot get resource "pods"/],
    ['GET', '/api/v1/pods?watch=1', 'watch pods', /cannot watch resource "pods" .* at the cluster scope$/],
    ['GET', `${ns}/pods/p?watch=true`, 'watch pods', /pods "p" is forbidden/],
    ['GET', `${ns}/pods/p/log?watch=true`, 'get pods', /"pods\/log"/],
    ['GET', `${byName}%3Dp`, 'list pods', /^pods "p" is forbidden/],
    ['GET', '/api/v1/pods?fieldSelector=a!%3Dx,metadata.name%3D%3Dp', 'list pods', /^pods "p" is/],
    ['GET', `${byName}!%3Dp`, 'list pods', /^pods is forbidden/],
    [
      'GET',
      `${byName}%3D${encodeURIComponent('a\\\\,metadata.namespace=p')}`,
      'list pods',
      /^pods "a\\\\" is/,
    ],
    ['GET', `${byName}%3D${encodeURIComponent('a\\x')}`, 'list pods', /^pods is forbidden/],
    ['DELETE', `${ns}/pods?fieldSelector=metadata.name%3Dp`, 'deletecollection pods', /^pods is/],
    [
      'DELETE',
      `${apps}/deployments/d`,
      'delete deployments',
      /^deployments\.apps "d" is forbidden: .* in API group "apps" in the namespace "ns"$/,
    ],
    ['PATCH', `${apps}/deployments/d/scale`, 'patch deployments', /"deployments\/scale"/],
    ['POST', '/api/v1/namespaces', 'create namespaces', /resource "namespaces" .* at the cluster scope$/],
    ['GET', ns, 'get namespaces', /^namespaces "ns" is forbidden: .* in the namespace "ns"$/],
    ['PUT', `${ns}/finalize`, 'update namespaces', /"namespaces\/finalize"/],
    ['GET', '/api/v1/nodes/n', 'get nodes', /^nodes "n" is forbidden: .* at the cluster scope$/],
    ['GET', '/apis/apps/v1', 'get /apis/apps/v1', /^forbidden: User "x" cannot get path "\/apis\/apps\/v1"$/],
    ['POST', '/openapi/v2', 'post /openapi/v2', /^forbidden: User "x" cannot post path "\/openapi\/v2"$/],
    ['GET', '/', 'get /', /cannot get path "\/"$/],
  ];
  for (const [method, url, what, message] of cases) {
    it(`${method} ${url}`, () => {
      const asked = ask(method, url);
      assert.equal(`${asked.verb} ${'path' in asked ? asked.path : asked.resource}`, what);
      assert.match(forbidden({ name: 'x', groups: [] }, asked, '').message, message);
    });
  }
});
