import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import {
  certificateSigningRequests,
  clusterRoles,
  endpoints,
  endpointSlices,
  secrets,
  serviceAccounts,
  services,
  type CertificateSigningRequest,
  type ClusterRole,
  type Secret,
} from '../../src/api/kubernetes/index.ts';
import type { ResourceDef } from '../../src/api/resource.ts';
import { accessControllers } from '../../src/cluster/access.ts';
import { decideEnd } from '../../src/cluster/certificate-signing.ts';
import { ensureKubernetesService } from '../../src/cluster/kubernetes-service.ts';
import { gatherRules } from '../../src/cluster/role-aggregation.ts';
import { isNotFound } from '../../src/kube/api-error.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers, type Kernel } from '../../src/kube/controller/kernel.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

const hour = 3600_000;

describe('controllers of access', () => {
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
  const address = { host: '10.1.0.1', port: 6443 };
  let api: TestApi;
  let informers: SharedInformers;
  let kernel: Kernel;
  before(async () => {
    api = await startTestApi({ clock });
    const { client } = api;
    informers = new SharedInformers({ client, clock, log: silentLogger });
    const env = { client, informers, clock, log: silentLogger };
    await ensureKubernetesService(env, address);
    const controllers = accessControllers(env, {
      apiAddress: address,
      rootCertificate: 'PEM',
      issueToken: ({ namespace, account, secretName }) =>
        `token of ${namespace}/${account.name} ${account.uid} in ${secretName}`,
      signRequest: ({ signerName }) => {
        if (signerName === 'acme.com/others') return undefined;
        return signerName === 'acme.com/refuses' ? { refusal: 'no' } : { certificate: 'CERT' };
      },
    });
    kernel = await startControllers(controllers, env);
  });
  after(async () => {
    await kernel.stop();
    informers.close();
    await api.close();
  });

  const key = (name: string) => ({ namespace: 'default', name });
  const isGone = (def: ResourceDef, place: { name: string; namespace?: string }): Promise<boolean> =>
    api.client.get(def, place).then(
      () => false,
      (error: unknown) => {
        if (isNotFound(error)) return true;
        throw error;
      },
    );
  /** Lets time pass until the object is gone: the controller may still be about to set its timer. */
  const goneWithin = (def: ResourceDef, name: string): Promise<boolean> =>
    waitFor(`${name} to go`, () => {
      clock.advance(1000);
      return isGone(def, { name });
    });

  describe('roles that gather others', () => {
    const role = (name: string, labels: Record<string, string>, ...resources: string[]): ClusterRole => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name, labels },
      rules: resources.map((resource) => ({
        verbs: ['get'],
        apiGroups: ['acme.com'],
        resources: [resource],
      })),
    });
    const gathering = (name: string, ...labels: string[]): ClusterRole => ({
      ...role(name, {}),
      aggregationRule: {
        clusterRoleSelectors: labels.map((label) => ({ matchLabels: { [label]: 'true' } })),
      },
    });
    const resourcesOf = async (name: string): Promise<string> => {
      const { rules = [] } = await api.client.get(clusterRoles, { name });
      return rules.flatMap((rule) => rule.resources ?? []).join();
    };

    it('have what matches, once, in the order of names', () => {
      const all = [
        role('c', { x: 'true' }, 'three', 'one'),
        role('a', { x: 'true', y: 'true' }, 'one'),
        role('b', { z: 'true' }, 'no'),
      ];
      const rules = gatherRules(gathering('all', 'x', 'y'), all);
      assert.deepEqual(
        rules.flatMap((rule) => rule.resources),
        ['one', 'three'],
      );
    });

    it('follow labels and rules, also through each other', async () => {
      const { client } = api;
      await client.create(clusterRoles, {
        ...gathering('inner', 'in'),
        metadata: { name: 'inner', labels: { out: 'true' } },
      });
      await client.create(clusterRoles, gathering('outer', 'out'));
      await client.create(clusterRoles, role('leaf', { in: 'true' }, 'a'));
      await waitFor('the outer role to gather', async () => (await resourcesOf('outer')) === 'a');
      await client.update(clusterRoles, role('leaf', { in: 'true' }, 'b'));
      await waitFor('the change', async () => (await resourcesOf('outer')) === 'b');
      await client.update(clusterRoles, role('leaf', {}, 'b'));
      await waitFor('the end', async () => (await resourcesOf('outer')) === '');
    });
  });

  describe('token secrets', () => {
    const secret = (name: string, account: string, uid?: string): Secret => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        ...key(name),
        annotations: {
          'kubernetes.io/service-account.name': account,
          ...(uid === undefined ? {} : { 'kubernetes.io/service-account.uid': uid }),
        },
      },
      type: 'kubernetes.io/service-account-token',
    });
    const account = (name: string) =>
      api.client.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: key(name) });

    it('are filled, and repaired', async () => {
      const { metadata } = await account('bot');
      await api.client.create(secrets, secret('bot', 'bot'));
      const filled = await waitFor('the token', async () => {
        const found = await api.client.get(secrets, key('bot'));
        return found.data?.['token'] !== undefined && found;
      });
      const text = (name: string): string => Buffer.from(filled.data?.[name] ?? '', 'base64').toString();
      assert.equal(text('token'), `token of default/bot ${metadata.uid} in bot`);
      assert.deepEqual([text('ca.crt'), text('namespace')], ['PEM', 'default']);
      assert.equal(filled.metadata.annotations?.['kubernetes.io/service-account.uid'], metadata.uid);
      const body = { data: { 'ca.crt': null } };
      await api.client.patch(secrets, key('bot'), { type: 'merge', body });
      await waitFor(
        'the certificate',
        async () => (await api.client.get(secrets, key('bot'))).data?.['ca.crt'],
      );
    });

    it('go with their account', async () => {
      await api.client.delete(serviceAccounts, key('bot'));
      await waitFor('the secret to go', () => isGone(secrets, key('bot')));
    });

    it('without an account, or of another of its name, go', async () => {
      await account('new');
      await api.client.create(secrets, secret('lost', 'nobody'));
      await api.client.create(secrets, secret('older', 'new', 'another-uid'));
      for (const name of ['lost', 'older']) await waitFor(`${name} to go`, () => isGone(secrets, key(name)));
    });

    it('need the name of an account', async () => {
      await assert.rejects(
        api.client.create(secrets, secret('nameless', '')),
        /metadata\.annotations\[kubernetes\.io\/service-account\.name\]: Required value/,
      );
    });
  });

  describe('certificate requests', () => {
    const ask = async (name: string, signerName = 'acme.com/signs', type?: string): Promise<void> => {
      const made = await api.client.create(certificateSigningRequests, {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name },
        spec: { request: '', signerName, usages: ['client auth'] },
      });
      if (type === undefined) return;
      const status = { conditions: [{ type, status: 'True' }] };
      // As `approval` does it, which clients in this process do not have.
      await api.service.update(
        certificateSigningRequests,
        { name },
        { ...made, status },
        { user: 'me', subresource: 'approval' },
      );
    };
    const statusOf = async (name: string): Promise<CertificateSigningRequest['status']> =>
      (await api.client.get(certificateSigningRequests, { name })).status;

    it('are signed when approved, and only then', async () => {
      await ask('approved', undefined, 'Approved');
      await ask('denied', undefined, 'Denied');
      await ask('waiting');
      await ask('of-others', 'acme.com/others', 'Approved');
      await ask('refused', 'acme.com/refuses', 'Approved');
      await waitFor('the certificate', async () => (await statusOf('approved'))?.certificate === 'Q0VSVA==');
      await waitFor('the refusal', async () =>
        (await statusOf('refused'))?.conditions?.some(
          ({ type, reason, message }) =>
            type === 'Failed' && reason === 'SignerValidationFailure' && message === 'no',
        ),
      );
      for (const name of ['denied', 'waiting', 'of-others'])
        assert.equal((await statusOf(name))?.certificate, undefined, name);
    });

    it('are cleared away: decided ones after an hour, others after a day', async () => {
      clock.advance(hour - 60_000);
      for (const name of ['approved', 'denied', 'refused', 'waiting', 'of-others']) await statusOf(name);
      clock.advance(60_000);
      for (const name of ['approved', 'denied', 'refused'])
        await goneWithin(certificateSigningRequests, name);
      for (const name of ['waiting', 'of-others']) await statusOf(name);
      clock.advance(23 * hour);
      for (const name of ['waiting', 'of-others']) await goneWithin(certificateSigningRequests, name);
    });

    it('keep an hour from their last decision', () => {
      const request = {
        metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' },
        status: {
          certificate: 'x',
          conditions: [{ type: 'Approved', status: 'True', lastUpdateTime: '2026-01-01T05:00:00Z' }],
        },
      } as unknown as CertificateSigningRequest;
      assert.equal(decideEnd(request), Date.parse('2026-01-01T06:00:00Z'));
    });
  });

  describe('the Service of the API', () => {
    it('leads to it, and comes back', async () => {
      const { client } = api;
      const place = key('kubernetes');
      assert.equal((await client.get(services, place)).spec?.clusterIP, '10.96.0.1');
      const addressOf = async (): Promise<string | undefined> => {
        const { subsets = [] } = await client.get(endpoints, place);
        return subsets[0]?.addresses?.[0]?.ip;
      };
      assert.equal(await addressOf(), address.host);
      await client.patch(endpoints, place, { type: 'merge', body: { subsets: [] } });
      await waitFor('the address', async () => (await addressOf()) === address.host);
      for (const def of [services, endpoints, endpointSlices] as ResourceDef[]) {
        const { uid } = (await client.get(def, place)).metadata;
        await client.delete(def, place);
        await waitFor(
          `another ${def.kind}`,
          async () => !(await isGone(def, place)) && (await client.get(def, place)).metadata.uid !== uid,
        );
      }
    });
  });
});
