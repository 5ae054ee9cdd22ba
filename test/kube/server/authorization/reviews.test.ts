/** Acting as others, asking what somebody may do, and the roles that are there from the start. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { clusterRoleBindings, clusterRoles } from '../../../../src/api/kubernetes/index.ts';
import { reconcileDefaultRoles } from '../../../../src/kube/server/authorization/reconcile-defaults.ts';
import { assertStatus, configMaps, type Reply, type TestServer } from '../support.ts';
import { as, AccessServer, binding, rbac, reader, user } from './support.ts';

describe('users and reviews over HTTPS', () => {
  let access: AccessServer;
  let server: TestServer;
  before(async () => {
    access = await AccessServer.start();
    ({ server } = access);
    const namespace = `${rbac}/namespaces/default`;
    await access.create(`${namespace}/roles`, reader);
    await access.create(`${namespace}/rolebindings`, binding('near', 'reader', [user('nina')], 'Role'));
  });
  after(() => server.close());

  const post = (...call: Parameters<AccessServer['post']>): Promise<Reply> => access.post(...call);
  const created = (path: string, body: object): Promise<void> => access.create(path, body);
  const account = (name: string): Promise<string> => access.account(name);

  describe('impersonation', () => {
    const whoami = async (headers: Record<string, string>): Promise<unknown> => {
      const reply = await post('/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, headers);
      return reply.json<{ status?: { userInfo: unknown } }>().status?.userInfo ?? reply.json();
    };

    it('takes name, groups, uid and extra', async () => {
      const headers = {
        'impersonate-user': 'jane',
        'impersonate-group': 'devs',
        'impersonate-uid': '7',
        'impersonate-extra-acme.com%2Fproject': 'x',
      };
      assert.deepEqual(await whoami(headers), {
        username: 'jane',
        uid: '7',
        groups: ['devs', 'system:authenticated'],
        extra: { 'acme.com/project': ['x'] },
      });
    });

    it('gives service accounts their groups, and nobody those of the known', async () => {
      assert.deepEqual(await whoami(as('system:serviceaccount:a:b').headers), {
        username: 'system:serviceaccount:a:b',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:a', 'system:authenticated'],
      });
      const reply = await post(
        '/apis/authentication.k8s.io/v1/selfsubjectreviews',
        {},
        as('system:anonymous').headers,
      );
      assertStatus(
        reply,
        403,
        'Forbidden',
        /User "system:anonymous" cannot create resource "selfsubjectreviews"/,
      );
    });

    it('needs a name, and leave for each part', async () => {
      assertStatus(
        await post(configMaps, {}, { 'impersonate-group': 'a' }),
        400,
        'BadRequest',
        /together with a user name/,
      );
      const rules = [
        { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['jane'] },
      ];
      await created(`${rbac}/clusterroles`, { metadata: { name: 'to-jane' }, rules });
      const subjects = [{ kind: 'ServiceAccount', name: 'actor', namespace: 'default' }];
      await created(`${rbac}/clusterrolebindings`, binding('to-jane', 'to-jane', subjects));
      const token = await account('actor');
      const call = (headers: Record<string, string>) => server.call('GET', configMaps, { token, headers });
      const cases: [Record<string, string>, RegExp][] = [
        [{}, /^configmaps is forbidden: User "jane" cannot list/],
        [
          { 'impersonate-group': 'system:masters' },
          /^groups "system:masters" is forbidden: .* cannot impersonate resource "groups"/,
        ],
        [
          { 'impersonate-uid': '1' },
          /cannot impersonate resource "uids" in API group "authentication.k8s.io"/,
        ],
        [
          { 'impersonate-extra-a': 'b' },
          /^userextras.authentication.k8s.io "b" is forbidden: .* "userextras\/a"/,
        ],
        [{ 'impersonate-user': 'joe' }, /^users "joe" is forbidden/],
        [
          { 'impersonate-user': 'system:serviceaccount:a:b' },
          /^serviceaccounts "b" is forbidden: .* in the namespace "a"/,
        ],
      ];
      for (const [headers, message] of cases)
        assertStatus(await call({ ...as('jane').headers, ...headers }), 403, 'Forbidden', message);
    });
  });

  describe('reviews', () => {
    const review = async (
      group: string,
      plural: string,
      spec: object,
      headers = {},
      ns = '',
    ): Promise<unknown> => {
      const path = `/apis/${group}.k8s.io/v1/${ns}${plural}`;
      const reply = await post(path, { spec }, headers);
      return reply.status === 201 ? reply.json()['status'] : reply.json()['message'];
    };
    const resourceAttributes = { verb: 'list', resource: 'configmaps', namespace: 'default' };

    it('tell why', async () => {
      assert.deepEqual(
        await review('authorization', 'subjectaccessreviews', { user: 'nina', resourceAttributes }),
        {
          allowed: true,
          reason: 'RBAC: allowed by RoleBinding "near/default" of Role "reader" to User "nina"',
        },
      );
      assert.deepEqual(
        await review('authorization', 'subjectaccessreviews', { user: 'nobody', resourceAttributes }),
        {
          allowed: false,
        },
      );
      const nonResourceAttributes = { verb: 'get', path: '/version' };
      const groups = ['system:authenticated'];
      assert.deepEqual(
        (
          (await review('authorization', 'subjectaccessreviews', { groups, nonResourceAttributes })) as {
            allowed: boolean;
          }
        ).allowed,
        true,
      );
    });

    it('of oneself and of a namespace', async () => {
      const own = await review(
        'authorization',
        'selfsubjectaccessreviews',
        { resourceAttributes },
        as('nina').headers,
      );
      assert.equal((own as { allowed: boolean }).allowed, true);
      const ns = 'namespaces/default/';
      const local = { user: 'nina', resourceAttributes };
      assert.equal(
        ((await review('authorization', 'localsubjectaccessreviews', local, {}, ns)) as { allowed: boolean })
          .allowed,
        true,
      );
      const other = { user: 'nina', resourceAttributes: { ...resourceAttributes, namespace: 'other' } };
      assert.match(
        String(await review('authorization', 'localsubjectaccessreviews', other, {}, ns)),
        /must match namespace: default/,
      );
    });

    it('refuse questions that ask nothing', async () => {
      assert.match(
        String(await review('authorization', 'subjectaccessreviews', { resourceAttributes })),
        /at least one of user or group must be specified/,
      );
      assert.match(
        String(await review('authorization', 'selfsubjectaccessreviews', {})),
        /exactly one of nonResourceAttributes or resourceAttributes/,
      );
      assert.equal(await review('authorization', 'selfsubjectrulesreviews', {}), 'no namespace on request');
      assert.equal(
        await review('authentication', 'tokenreviews', {}),
        'token is required for TokenReview in authentication',
      );
    });

    it('check tokens for others', async () => {
      const token = await account('reviewed');
      const good = (await review('authentication', 'tokenreviews', { token })) as {
        authenticated: boolean;
        user: { username: string };
      };
      assert.deepEqual(
        [good.authenticated, good.user.username],
        [true, 'system:serviceaccount:default:reviewed'],
      );
      const bad = await review('authentication', 'tokenreviews', { token: `${token}x` });
      assert.deepEqual(bad, { user: {}, error: 'invalid bearer token' });
      const meant = await review('authentication', 'tokenreviews', { token, audiences: ['vault'] });
      assert.match((meant as { error: string }).error, /audiences/);
    });
  });

  describe('default roles', () => {
    it('come back to what they must grant, with what was added, unless their owner says no', async () => {
      const { client } = server.api;
      const patch = (name: string, body: object) =>
        client.patch(clusterRoles, { name }, { type: 'merge', body });
      const added = { verbs: ['get'], apiGroups: ['acme.com'], resources: ['things'] };
      await patch('system:discovery', { rules: [added] });
      await patch('system:basic-user', {
        rules: [added],
        metadata: { annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'false' } },
      });
      await client.patch(
        clusterRoleBindings,
        { name: 'system:discovery' },
        { type: 'merge', body: { subjects: [user('x')] } },
      );
      await client.delete(clusterRoles, { name: 'system:monitoring' });
      await reconcileDefaultRoles(client);
      const { rules = [] } = await client.get(clusterRoles, { name: 'system:discovery' });
      assert.ok(rules.some((rule) => rule.apiGroups?.includes('acme.com')));
      assert.ok(rules.some((rule) => rule.nonResourceURLs?.includes('/openapi/*')));
      assert.deepEqual((await client.get(clusterRoles, { name: 'system:basic-user' })).rules, [added]);
      const { subjects = [] } = await client.get(clusterRoleBindings, { name: 'system:discovery' });
      assert.deepEqual(
        subjects.map(({ name }) => name),
        ['x', 'system:authenticated'],
      );
      const before = await client.get(clusterRoles, { name: 'system:monitoring' });
      await reconcileDefaultRoles(client);
      assert.deepEqual(
        await client.get(clusterRoles, { name: 'system:monitoring' }),
        before,
        'nothing to do',
      );
    });
  });
});
