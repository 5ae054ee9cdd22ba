/** Who gets in, and what they may do, over HTTPS. */
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { assertStatus, configMaps, type Reply, type TestServer } from '../support.ts';
import { accounts, as, AccessServer, binding, rbac, reader, user } from './support.ts';

describe('access over HTTPS', () => {
  let access: AccessServer;
  let server: TestServer;
  before(async () => {
    access = await AccessServer.start();
    ({ server } = access);
  });
  after(() => server.close());

  const post = (...call: Parameters<AccessServer['post']>): Promise<Reply> => access.post(...call);
  const created = (path: string, body: object): Promise<void> => access.create(path, body);
  const account = (name: string): Promise<string> => access.account(name);

  describe('credentials', () => {
    it('none are needed for health and version alone', async () => {
      for (const path of ['/healthz', '/livez', '/readyz', '/version', '//version/', '/readyz/ping']) {
        assert.equal((await server.call('GET', path, { identity: 'anonymous' })).status, 200, path);
      }
      for (const path of ['/', '/api', '/apis', '/openapi/v3', '/openid/v1/jwks', configMaps])
        assertStatus(
          await server.call('GET', path, { identity: 'anonymous' }),
          401,
          'Unauthorized',
          'Unauthorized',
        );
    });

    it('are not got around by a path that begins like a probe', async () => {
      const reply = await server.call('GET', '/healthz/../api/v1/secrets', { identity: 'anonymous' });
      assert.equal(reply.body.toString(), 'ok');
    });

    it('that are wrong are refused everywhere', async () => {
      for (const token of ['x', 'a.b.c', '%'])
        assertStatus(await server.call('GET', '/version', { token }), 401, 'Unauthorized', 'Unauthorized');
    });

    it('of another scheme are none', async () => {
      const headers = { authorization: 'Basic YWRtaW46YWRtaW4=' };
      const reply = await server.call('GET', configMaps, { identity: 'anonymous', headers });
      assertStatus(reply, 401, 'Unauthorized', 'Unauthorized');
    });

    it('of browsers come as a subprotocol of a WebSocket', async () => {
      const call = async (token: string): Promise<Reply> => {
        const encoded = Buffer.from(token).toString('base64url');
        const headers = {
          connection: 'upgrade',
          upgrade: 'websocket',
          'sec-websocket-protocol': `base64url.bearer.authorization.k8s.io.${encoded}, v5.channel.k8s.io`,
        };
        return server.call('GET', configMaps, { identity: 'anonymous', headers });
      };
      const message = /^configmaps is forbidden: User "system:serviceaccount:default:browser"/;
      assertStatus(await call(await account('browser')), 403, 'Forbidden', message);
      assertStatus(await call('nonsense'), 401, 'Unauthorized', 'Unauthorized');
    });

    it('by certificate come before those by token', async () => {
      const headers = { authorization: 'Bearer nonsense' };
      assert.equal((await server.call('GET', configMaps, { headers })).status, 200);
    });
  });

  describe('token requests', () => {
    it('give what was asked for', async () => {
      await created(accounts, { metadata: { name: 'asked' } });
      const spec = { audiences: ['vault'], expirationSeconds: 1200 };
      const reply = await post(`${accounts}/asked/token`, { kind: 'TokenRequest', spec });
      assert.equal(reply.status, 201);
      const answer = reply.json<{
        kind: string;
        spec: object;
        metadata: Record<string, string>;
        status: { token: string; expirationTimestamp: string };
      }>();
      assert.deepEqual([answer.kind, answer.spec], ['TokenRequest', spec]);
      const { name, namespace, creationTimestamp = '' } = answer.metadata;
      assert.deepEqual([name, namespace], ['asked', 'default']);
      const { token, expirationTimestamp } = answer.status;
      assert.equal(Date.parse(expirationTimestamp) - Date.parse(creationTimestamp), 1_200_000);
      assert.equal((await server.call('GET', configMaps, { token })).status, 401, 'meant for others');
    });

    it('are refused in upstream words', async () => {
      await created(accounts, { metadata: { name: 'plain' } });
      const pod = {
        metadata: { name: 'of-plain' },
        spec: { serviceAccountName: 'plain', containers: [{ name: 'a', image: 'a' }] },
      };
      await created('/api/v1/namespaces/default/pods', pod);
      const bound = (kind: string, name: string, uid?: string): object => ({
        boundObjectRef: { kind, apiVersion: 'v1', name, ...(uid === undefined ? {} : { uid }) },
      });
      const cases: [string, object, number, string, RegExp][] = [
        [
          'plain',
          { expirationSeconds: 599 },
          422,
          'Invalid',
          /may not specify a duration less than 10 minutes/,
        ],
        ['plain', { expirationSeconds: 2 ** 32 + 1 }, 422, 'Invalid', /larger than 2\^32 seconds/],
        ['plain', { expirationSeconds: 'soon' }, 400, 'BadRequest', /whole number/],
        ['nobody', {}, 404, 'NotFound', /^serviceaccounts "nobody" not found$/],
        ['plain', bound('Pod', 'nothing'), 404, 'NotFound', /^pods "nothing" not found$/],
        [
          'plain',
          bound('Pod', 'of-plain', 'other'),
          409,
          'Conflict',
          /the UID in the bound object reference \(other\) does not match/,
        ],
        [
          'default',
          bound('Pod', 'of-plain'),
          400,
          'BadRequest',
          /cannot bind token for serviceaccount "default" to pod running with different serviceaccount name/,
        ],
        ['plain', bound('Service', 'x'), 400, 'BadRequest', /cannot bind token to object of type/],
      ];
      await created(accounts, { metadata: { name: 'default' } });
      for (const [name, spec, code, reason, message] of cases)
        assertStatus(await post(`${accounts}/${name}/token`, { spec }), code, reason, message);
      assertStatus(await server.call('GET', `${accounts}/plain/token`), 405, 'MethodNotAllowed', /./);
    });

    it('need a permission of their own', async () => {
      const reply = await server.call('POST', `${accounts}/plain/token`, {
        body: { spec: {} },
        ...as('jane'),
      });
      assertStatus(
        reply,
        403,
        'Forbidden',
        /cannot create resource "serviceaccounts\/token" in API group ""/,
      );
    });
  });

  describe('discovery of the issuer', () => {
    it('lets others check tokens', async () => {
      const token = await account('checked');
      const configuration = await server.call('GET', '/.well-known/openid-configuration', { token });
      assert.equal(configuration.json()['issuer'], 'https://kubernetes.default.svc.cluster.local');
      const reply = await server.call('GET', '/openid/v1/jwks', { token });
      assert.equal(reply.headers['content-type'], 'application/jwk-set+json');
      const [jwk] = reply.json<{ keys: { kid: string; alg: string; [member: string]: string }[] }>().keys;
      assert.ok(jwk);
      const [header = '', payload = '', signature = ''] = token.split('.');
      const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
      assert.deepEqual([jwk.kid, jwk.alg], [kid, 'ES256']);
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      assert.ok(
        verify(
          'sha256',
          Buffer.from(`${header}.${payload}`),
          { key, dsaEncoding: 'ieee-p1363' },
          Buffer.from(signature, 'base64url'),
        ),
      );
    });

    it('is for service accounts', async () => {
      assertStatus(
        await server.call('GET', '/openid/v1/jwks', as('jane')),
        403,
        'Forbidden',
        /cannot get path "\/openid\/v1\/jwks"/,
      );
    });
  });

  describe('roles', () => {
    it('hold with the next request after they were granted, and no longer than they last', async () => {
      const token = await account('quick');
      await created(`${rbac}/namespaces/default/roles`, reader);
      const subjects = [{ kind: 'ServiceAccount', name: 'quick' }];
      for (let i = 0; i < 20; i++) {
        await created(
          `${rbac}/namespaces/default/rolebindings`,
          binding('quick', 'reader', subjects, 'Role'),
        );
        assert.equal((await server.call('GET', configMaps, { token })).status, 200, `round ${i}`);
        await server.call('DELETE', `${rbac}/namespaces/default/rolebindings/quick`);
        assert.equal((await server.call('GET', configMaps, { token })).status, 403, `round ${i}`);
      }
    });

    it('reach no further than their namespace', async () => {
      await created(
        `${rbac}/namespaces/default/rolebindings`,
        binding('near', 'reader', [user('nina')], 'Role'),
      );
      assert.equal((await server.call('GET', configMaps, as('nina'))).status, 200);
      for (const path of ['/api/v1/configmaps', '/api/v1/namespaces/kube-system/configmaps'])
        assert.equal((await server.call('GET', path, as('nina'))).status, 403, path);
      const watch = await server.call('GET', `${configMaps}?watch=1`, as('nina'));
      assertStatus(watch, 403, 'Forbidden', /cannot watch resource "configmaps"/);
    });

    it('for names allow those, also where a list asks for one', async () => {
      const rules = [
        { apiGroups: [''], resources: ['configmaps'], resourceNames: ['a'], verbs: ['get', 'list', 'watch'] },
      ];
      await created(`${rbac}/namespaces/default/roles`, { metadata: { name: 'only-a' }, rules });
      await created(
        `${rbac}/namespaces/default/rolebindings`,
        binding('only-a', 'only-a', [user('ada')], 'Role'),
      );
      const status = async (path: string): Promise<number> =>
        (await server.call('GET', path, as('ada'))).status;
      assert.equal(await status(`${configMaps}/a`), 404);
      assert.equal(await status(`${configMaps}/b`), 403);
      assert.equal(await status(configMaps), 403);
      assert.equal(await status(`${configMaps}?fieldSelector=metadata.name%3Da`), 200);
      assert.equal(await status(`${configMaps}?fieldSelector=metadata.name%3Db`), 403);
    });

    it('of the core group reach no other group through an escaped slash', async () => {
      const rules = [{ apiGroups: [''], resources: ['*'], verbs: ['*'] }];
      await created(`${rbac}/clusterroles`, { metadata: { name: 'core' }, rules });
      await created(`${rbac}/clusterrolebindings`, binding('core', 'core', [user('corey')]));
      const get = (path: string): Promise<Reply> => server.call('GET', path, as('corey'));
      assert.equal((await get('/api/v1/secrets')).status, 200);
      assert.equal((await get(`${rbac}/clusterroles`)).status, 403);
      for (const path of [
        '/api/rbac.authorization.k8s.io%2Fv1/clusterroles',
        '/api/rbac.authorization.k8s.io%2fv1/clusterroles/core',
        '/api/apps%2Fv1/namespaces/default/deployments',
      ]) {
        assert.equal((await get(path)).status, 404, path);
      }
    });

    it('to patch do not create by server-side apply', async () => {
      const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['patch'] }];
      await created(`${rbac}/namespaces/default/roles`, { metadata: { name: 'patcher' }, rules });
      await created(
        `${rbac}/namespaces/default/rolebindings`,
        binding('patcher', 'patcher', [user('pat')], 'Role'),
      );
      const apply = (name: string): Promise<Reply> =>
        server.call('PATCH', `${configMaps}/${name}?fieldManager=t`, {
          body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } },
          headers: { ...as('pat').headers, 'content-type': 'application/apply-patch+yaml' },
        });
      const message = /^configmaps "applied" is forbidden: User "pat" cannot create resource "configmaps"/;
      assertStatus(await apply('applied'), 403, 'Forbidden', message);
      await created(configMaps, { metadata: { name: 'applied' } });
      assert.equal((await apply('applied')).status, 200);
    });

    it('that do not exist are named in the refusal', async () => {
      // A role that is bound and then deleted.
      await created(`${rbac}/clusterroles`, { metadata: { name: 'lost' }, rules: [] });
      await created(`${rbac}/clusterrolebindings`, binding('lost', 'lost', [user('lou')]));
      await server.call('DELETE', `${rbac}/clusterroles/lost`);
      const reply = await server.call('GET', configMaps, as('lou'));
      assertStatus(
        reply,
        403,
        'Forbidden',
        /namespace "default": RBAC: clusterrole\.rbac\.authorization\.k8s\.io "lost" not found$/,
      );
    });

    it('are refused when they say nothing or too much', async () => {
      const role = (rules: object[]): object => ({ metadata: { name: 'wrong' }, rules });
      const cases: [string, object, RegExp][] = [
        [
          'namespaces/default/roles',
          role([{ verbs: [] }]),
          /rules\[0\]\.verbs: Required value: verbs must contain at least one value/,
        ],
        [
          'namespaces/default/roles',
          role([{ verbs: ['get'], nonResourceURLs: ['/a'] }]),
          /namespaced rules cannot apply to non-resource URLs/,
        ],
        [
          'clusterroles',
          role([{ verbs: ['get'], nonResourceURLs: ['/a'], resources: ['b'] }]),
          /rules cannot apply to both regular resources and non-resource URLs/,
        ],
        [
          'clusterroles',
          role([{ verbs: ['get'], resources: ['b'] }]),
          /resource rules must supply at least one api group/,
        ],
        [
          'clusterrolebindings',
          binding('wrong', 'x', [], 'Role'),
          /roleRef\.kind: Unsupported value: "Role": supported values: "ClusterRole"/,
        ],
        [
          'clusterrolebindings',
          binding('wrong', 'view', [{ kind: 'ServiceAccount', name: 'a' }]),
          /subjects\[0\]\.namespace: Required value/,
        ],
        [
          'clusterrolebindings',
          binding('wrong', 'view', [{ kind: 'Robot', name: 'a' }]),
          /subjects\[0\]\.kind: Unsupported value: "Robot"/,
        ],
      ];
      for (const [path, body, message] of cases)
        assertStatus(await post(`${rbac}/${path}`, body), 422, 'Invalid', message);
    });

    it('once bound stay bound', async () => {
      const path = `${rbac}/clusterrolebindings`;
      await created(path, binding('fast', 'view', []));
      const reply = await server.call('PUT', `${path}/fast`, { body: binding('fast', 'edit', []) });
      assertStatus(reply, 422, 'Invalid', /roleRef: Invalid value: .*: cannot change roleRef/);
    });
  });

  describe('granting', () => {
    before(async () => {
      const rules = [
        {
          apiGroups: ['rbac.authorization.k8s.io'],
          resources: ['*'],
          verbs: ['create', 'update', 'patch', 'get'],
        },
        ...reader.rules,
      ];
      await created(`${rbac}/clusterroles`, { metadata: { name: 'granter' }, rules });
      await created(`${rbac}/clusterrolebindings`, binding('granter', 'granter', [user('gus')]));
    });
    const asGus = (method: string, path: string, body: object, type = 'application/json') =>
      server.call(method, `${rbac}/${path}`, {
        body,
        headers: { ...as('gus').headers, 'content-type': type },
      });

    it('is for what one holds', async () => {
      const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
      const held = await asGus('POST', 'clusterroles', { metadata: { name: 'held' }, rules });
      assert.equal(held.status, 201, held.body.toString());
      const more = await asGus(
        'PATCH',
        'clusterroles/held',
        { rules: [{ ...rules[0], verbs: ['*'] }] },
        'application/merge-patch+json',
      );
      assertStatus(
        more,
        403,
        'Forbidden',
        'clusterroles.rbac.authorization.k8s.io "held" is forbidden: user "gus" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["configmaps"], Verbs:["*"]}',
      );
    });

    it('compares no more permissions than it can: three short lists make millions', async () => {
      const names = (prefix: string): string[] => Array.from({ length: 1000 }, (_, i) => `${prefix}${i}`);
      const rules = [{ apiGroups: names('g'), resources: names('r'), verbs: names('v') }];
      const body = { metadata: { name: 'huge' }, rules };
      assertStatus(
        await asGus('POST', 'clusterroles', body),
        403,
        'Forbidden',
        /"huge" is forbidden: the rules make 1000000000 permissions, of which 20000 at most can be compared/,
      );
      const reply = await server.call('POST', `${rbac}/clusterroles`, { body });
      assert.equal(reply.status, 201, 'the administrator is not asked');
      const bound = await asGus('POST', 'clusterrolebindings', binding('huge', 'huge', [user('gus')]));
      assertStatus(bound, 403, 'Forbidden', /make 1000000000 permissions/);
    });

    it('cannot be had by aggregation', async () => {
      const body = {
        metadata: { name: 'gathers' },
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { any: 'thing' } }] },
      };
      assertStatus(
        await asGus('POST', 'clusterroles', body),
        403,
        'Forbidden',
        /must have cluster-admin privileges to use an aggregationRule/,
      );
    });

    it('of a role that does not exist is not possible', async () => {
      const reply = await asGus(
        'POST',
        'clusterrolebindings',
        binding('none', 'no-such-role', [user('gus')]),
      );
      assertStatus(reply, 404, 'NotFound', 'clusterroles.rbac.authorization.k8s.io "no-such-role" not found');
    });

    it('leaves garbage collection its work', async () => {
      await created(`${rbac}/clusterroles`, {
        metadata: { name: 'kept', finalizers: ['a.b/c'] },
        rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      });
      const reply = await asGus(
        'PATCH',
        'clusterroles/kept',
        { metadata: { finalizers: null } },
        'application/merge-patch+json',
      );
      assert.equal(reply.status, 200, reply.body.toString());
    });
  });
});
