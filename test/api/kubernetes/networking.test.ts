import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ingressClasses, leases, networkPolicies } from '../../../src/api/kubernetes/index.ts';
import { hasReason } from '../../../src/kube/api-error.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

describe('kinds that are checked and stored', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  const refused = (write: Promise<unknown>, words: RegExp) =>
    assert.rejects(write, (error: Error) => {
      assert.ok(hasReason(error, 'Invalid'), error.message);
      assert.match(error.message, words);
      return true;
    });

  const policy = (spec: object) =>
    api.client.create(networkPolicies, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'p', namespace: 'default' },
      spec: { podSelector: {}, ...spec },
    });

  it('NetworkPolicies', async () => {
    await refused(
      policy({ ingress: [{ from: [{}] }] }),
      /spec.ingress\[0\].from\[0\]: Required value: must specify a peer/,
    );
    await refused(policy({ egress: [{ to: [{ ipBlock: { cidr: 'x' } }] }] }), /must be a valid CIDR value/);
    await refused(
      policy({ egress: [{ ports: [{ port: 'http', endPort: 9 }] }] }),
      /may not be specified when `port` is non-numeric/,
    );
    await refused(
      policy({ ingress: [{ ports: [{ port: 9, endPort: 8 }] }] }),
      /must be greater than or equal to `port`/,
    );
    await refused(
      policy({ policyTypes: ['Sideways'] }),
      /spec.policyTypes\[0\]: Unsupported value: "Sideways"/,
    );
    const made = await policy({
      ingress: [
        { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }], ports: [{ port: 80 }] },
      ],
      egress: [{ to: [{ podSelector: { matchLabels: { a: 'b' } } }] }],
    });
    assert.deepEqual(made.spec?.policyTypes, ['Ingress', 'Egress']);
    assert.equal(made.spec.ingress?.[0]?.ports?.[0]?.protocol, 'TCP');
  });

  it('IngressClasses', async () => {
    const make = (controller: string) =>
      api.client.create(ingressClasses, {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'IngressClass',
        metadata: { name: 'c' },
        spec: { controller },
      });
    await refused(make('plain'), /must be a domain-prefixed path/);
    await make('example.com/c');
    const body = { spec: { controller: 'example.com/d' } };
    await refused(
      api.client.patch(ingressClasses, { name: 'c' }, { type: 'merge', body }),
      /spec.controller: Invalid value: "example.com\/d": field is immutable/,
    );
  });

  it('Leases', async () => {
    const make = (spec: object) =>
      api.client.create(leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: 'l', namespace: 'default' },
        spec,
      });
    await refused(
      make({ leaseDurationSeconds: -1 }),
      /spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0/,
    );
    await refused(make({ leaseTransitions: -1 }), /must be greater than or equal to 0/);
    await make({ holderIdentity: '', leaseDurationSeconds: 15 });
  });
});
