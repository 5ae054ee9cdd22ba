import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock } from '../../../../src/base/clock.ts';
import { pods, secrets, serviceAccounts } from '../../../../src/api/kubernetes/index.ts';
import type { KubeObject } from '../../../../src/api/object.ts';
import type { ResourceDef } from '../../../../src/api/resource.ts';
import { signingKey, signToken, verifyToken } from '../../../../src/kube/server/authentication/jws.ts';
import { ensureTokenKey } from '../../../../src/kube/server/authentication/token-key.ts';
import { ServiceAccountTokens } from '../../../../src/kube/server/authentication/tokens.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';

const newKey = () => signingKey(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey);
const decode = (part: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Record<string, unknown>;
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('JSON web signatures', () => {
  const key = newKey();
  const token = signToken({ sub: 'me', admin: false }, key);

  it('carry what was signed', () => {
    assert.deepEqual(verifyToken(token, [newKey(), key]), { sub: 'me', admin: false });
    assert.equal(verifyToken(token, [newKey()]), undefined);
  });

  it('hold against other headers, payloads and signatures', () => {
    const [header, payload, signature] = token.split('.');
    const forged = encode({ sub: 'me', admin: true });
    const none = encode({ alg: 'none', kid: key.id });
    const hs = encode({ alg: 'HS256', kid: key.id });
    const publicPem = key.publicKey.export({ format: 'pem', type: 'spki' });
    const mac = createHmac('sha256', publicPem).update(`${hs}.${forged}`).digest('base64url');
    const zero = Buffer.alloc(64).toString('base64url');
    for (const attempt of [
      `${header}.${forged}.${signature}`,
      `${none}.${forged}.`,
      `${none}.${payload}.${signature}`,
      `${hs}.${forged}.${mac}`,
      `${encode({ alg: 'ES256', kid: key.id, crit: ['exp'] })}.${payload}.${signature}`,
      `${header}.${payload}.${zero}`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature}.${signature}`,
      `${header}.${payload}`,
      `${header} .${payload}.${signature}`,
      `${header}.${payload}.${'A'.repeat(20_000)}`,
      '',
      '..',
    ])
      assert.equal(verifyToken(attempt, [key]), undefined, attempt.slice(0, 100));
  });

  it('hold against any change of a character', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=';
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...alphabet.split('')), (at, letter) => {
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        assert.equal(verifyToken(changed, [key]) !== undefined, changed === token);
      }),
      { numRuns: 500 },
    );
  });

  it('are refused without a throw, whatever comes', () => {
    fc.assert(fc.property(fc.string(), (text) => verifyToken(text, [key]) === undefined));
    fc.assert(
      fc.property(fc.array(fc.json(), { minLength: 3, maxLength: 3 }), (parts) => {
        const text = parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
        return verifyToken(text, [key]) === undefined;
      }),
    );
  });
});

describe('the key of tokens', () => {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-key-'));
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('is kept, for its owner alone, and never replaced by mistake', () => {
    const key = ensureTokenKey(dir);
    assert.equal(ensureTokenKey(dir).id, key.id);
    assert.equal(statSync(join(dir, 'service-account.key')).mode & 0o777, 0o600);
    writeFileSync(join(dir, 'service-account.key'), 'damaged');
    assert.throws(() => ensureTokenKey(dir), { code: 'CLI_TOKEN_KEY_DAMAGED' });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    writeFileSync(join(dir, 'service-account.key'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
    assert.throws(() => ensureTokenKey(dir), /it is not a P-256 key/);
  });
});

describe('tokens of service accounts', () => {
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
  const key = newKey();
  let api: TestApi;
  let tokens: ServiceAccountTokens;
  before(async () => {
    api = await startTestApi({ clock });
    tokens = new ServiceAccountTokens({ store: api.store, clock, keys: [key] });
  });
  after(() => api.close());

  const create = async <T extends KubeObject>(def: ResourceDef<T>, name: string, rest: object = {}) => {
    const object = { apiVersion: 'v1', kind: def.kind, metadata: { name, namespace: 'default' }, ...rest };
    const { metadata } = await api.client.create(def, object as unknown as T);
    return { name, uid: metadata.uid ?? '' };
  };
  const remove = (def: ResourceDef, name: string, gracePeriodSeconds = 0): Promise<void> =>
    api.client.delete(def, { namespace: 'default', name }, { gracePeriodSeconds });
  const issue = (
    account: { name: string; uid: string },
    more: Partial<Parameters<ServiceAccountTokens['issue']>[0]> = {},
  ): string =>
    tokens.issue({ namespace: 'default', account, audiences: [], expirationSeconds: 600, ...more }).token;
  const errorOf = (token: string, audiences?: string[]): string => {
    const verdict = tokens.verify(token, audiences);
    assert.ok('error' in verdict, JSON.stringify(verdict));
    return verdict.error;
  };

  it('name account, groups and what they are bound to, as upstream', async () => {
    const account = await create(serviceAccounts, 'named');
    const pod = await create(pods, 'named', { spec: { containers: [{ name: 'a', image: 'a' }] } });
    const node = { name: 'n', uid: 'nu' };
    const token = issue(account, { pod, node });
    const verdict = tokens.verify(token);
    assert.ok('user' in verdict);
    const { extra, ...user } = verdict.user;
    assert.deepEqual(user, {
      name: 'system:serviceaccount:default:named',
      uid: account.uid,
      groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
    });
    const { jti, exp, iat, nbf, ...claims } = decode(token.split('.')[1]);
    assert.deepEqual(claims, {
      aud: ['https://kubernetes.default.svc.cluster.local'],
      iss: 'https://kubernetes.default.svc.cluster.local',
      sub: 'system:serviceaccount:default:named',
      'kubernetes.io': { namespace: 'default', node, pod, serviceaccount: account },
    });
    assert.deepEqual([exp, iat, nbf], [1767226200, 1767225600, 1767225600]);
    assert.deepEqual(extra, {
      'authentication.kubernetes.io/credential-id': [`JTI=${String(jti)}`],
      'authentication.kubernetes.io/pod-name': ['named'],
      'authentication.kubernetes.io/pod-uid': [pod.uid],
      'authentication.kubernetes.io/node-name': ['n'],
      'authentication.kubernetes.io/node-uid': ['nu'],
    });
  });

  it('end', async () => {
    const token = issue(await create(serviceAccounts, 'ends'));
    clock.advance(599_000);
    assert.ok('user' in tokens.verify(token));
    clock.advance(1000);
    assert.match(errorOf(token), /expired/);
  });

  it('are meant for audiences', async () => {
    const account = await create(serviceAccounts, 'audience');
    const token = issue(account, { audiences: ['vault', 'other'] });
    assert.match(errorOf(token), /audiences/);
    assert.match(errorOf(token, ['api']), /audiences/);
    const verdict = tokens.verify(token, ['api', 'vault']);
    assert.ok('audiences' in verdict);
    assert.deepEqual(verdict.audiences, ['vault']);
  });

  it('fall with their account, and do not rise with another of its name', async () => {
    const token = issue(await create(serviceAccounts, 'falls'));
    assert.ok('user' in tokens.verify(token));
    await remove(serviceAccounts, 'falls');
    assert.match(errorOf(token), /invalidated/);
    await create(serviceAccounts, 'falls');
    assert.match(errorOf(token), /invalidated/);
  });

  it('fall with their pod, a minute after it was told to go', async () => {
    const account = await create(serviceAccounts, 'with-pod');
    const pod = await create(pods, 'going', {
      spec: { nodeName: 'n', containers: [{ name: 'a', image: 'a' }] },
    });
    const token = issue(account, { pod });
    await remove(pods, 'going', 30);
    clock.advance(60_000);
    assert.ok('user' in tokens.verify(token), 'it may still say good-bye');
    clock.advance(31_000);
    assert.match(errorOf(token), /invalidated/);
    const other = await create(pods, 'gone', { spec: { containers: [{ name: 'a', image: 'a' }] } });
    const second = issue(account, { pod: other });
    assert.ok('user' in tokens.verify(second));
    await remove(pods, 'gone');
    assert.match(errorOf(second), /invalidated/);
  });

  it('last in a Secret as long as it holds them', async () => {
    const account = await create(serviceAccounts, 'old');
    const token = tokens.issueForSecret({ namespace: 'default', account, secretName: 'old' });
    assert.match(errorOf(token), /invalidated/, 'no Secret holds it yet');
    const data = { token: Buffer.from(token).toString('base64') };
    await create(secrets, 'old', { data });
    clock.advance(10 * 365 * 24 * 3600_000);
    assert.ok('user' in tokens.verify(token));
    const place = { namespace: 'default', name: 'old' };
    await api.client.patch(secrets, place, { type: 'merge', body: { data: { token: 'bm90aGluZw==' } } });
    assert.match(errorOf(token), /invalidated/);
  });

  it('of another issuer or form are nothing, though their signature is ours', () => {
    for (const payload of [
      { iss: 'https://elsewhere', sub: 'system:serviceaccount:default:named' },
      { iss: 'https://kubernetes.default.svc.cluster.local', sub: 'system:serviceaccount:default:named' },
      { iss: 'kubernetes/serviceaccount', sub: 'system:admin' },
      {},
    ])
      assert.equal(errorOf(signToken(payload, key)), 'invalid bearer token');
  });

  it('cost little when they are seen again', async () => {
    const token = issue(await create(serviceAccounts, 'quick'));
    const timeOf = (check: () => unknown): number => {
      const begun = performance.now();
      for (let i = 0; i < 200; i++) check();
      return performance.now() - begun;
    };
    const best = (check: () => unknown): number =>
      Math.min(...Array.from({ length: 5 }, () => timeOf(check)));
    const again = best(() => tokens.verify(token));
    const anew = best(() => verifyToken(token, [key]));
    assert.ok(again * 3 < anew, `${(again * 5).toFixed(1)} us again, ${(anew * 5).toFixed(1)} us anew`);
  });
});
