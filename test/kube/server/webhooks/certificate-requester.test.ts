import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { CertificateSigningRequest } from '../../../../src/api/kubernetes/certificates.ts';
import { startTestServer } from '../support.ts';
import { configure, hook, patch, startTestWebhook } from './support.ts';

const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const pem = readFileSync(new URL('../certificates/fixtures/jane.csr', import.meta.url));

test('who asks for a certificate is said by the server alone: neither the client nor a webhook can forge it', async (t) => {
  const webhook = await startTestWebhook();
  t.after(() => webhook.close());
  const server = await startTestServer();
  t.after(() => server.close());
  await configure(
    server.api,
    'mutating',
    'forger',
    hook(webhook, 'forger', {
      // Asked again, it has the last word.
      reinvocationPolicy: 'IfNeeded',
      rules: [
        {
          apiGroups: ['certificates.k8s.io'],
          apiVersions: ['v1'],
          resources: ['certificatesigningrequests', 'certificatesigningrequests/*'],
          operations: ['*'],
        },
      ],
    }),
  );
  webhook.react = () => ({
    allowed: true,
    ...patch(
      { op: 'add', path: '/spec/username', value: 'system:admin' },
      { op: 'add', path: '/spec/uid', value: 'forged' },
      { op: 'add', path: '/spec/groups', value: ['system:masters'] },
      { op: 'add', path: '/spec/extra', value: { forged: ['yes'] } },
      { op: 'add', path: '/metadata/labels', value: { seen: 'yes' } },
    ),
  });
  const forged = {
    username: 'system:admin',
    uid: 'forged',
    groups: ['system:masters'],
    extra: { forged: ['y'] },
  };
  const body = (name: string): object => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: pem.toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
      ...forged,
    },
  });
  const headers = {
    'impersonate-user': 'jane',
    'impersonate-uid': '42',
    'impersonate-group': 'system:masters',
    'impersonate-extra-reason': 'test',
  };
  const said = { username: 'jane', uid: '42', extra: { reason: ['test'] } };
  const check = (object: CertificateSigningRequest): void => {
    const { username, uid, groups, extra } = object.spec ?? {};
    assert.deepEqual({ username, uid, extra }, said);
    assert.deepEqual(groups, ['system:masters', 'system:authenticated']);
    assert.equal(object.metadata.labels?.['seen'], 'yes');
  };
  const created = await server.call('POST', csrs, { body: body('a'), headers });
  assert.equal(created.status, 201, created.body.toString());
  check(created.json<CertificateSigningRequest>());
  const applied = await server.call('PATCH', `${csrs}/b?fieldManager=m`, {
    body: body('b'),
    headers: { ...headers, 'content-type': 'application/apply-patch+yaml' },
  });
  assert.equal(applied.status, 201, applied.body.toString());
  check(applied.json<CertificateSigningRequest>());
  for (const subresource of ['', '/approval', '/status']) {
    const stored = (await server.call('GET', `${csrs}/a`)).json<CertificateSigningRequest>();
    const next = { ...stored, spec: { ...stored.spec, ...forged } };
    const updated = await server.call('PUT', `${csrs}/a${subresource}`, { body: next });
    assert.equal(updated.status, 200, updated.body.toString());
    check(updated.json<CertificateSigningRequest>());
  }
  assert.ok(webhook.asked.length >= 5);
});
