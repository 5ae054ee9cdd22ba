import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  endpoints,
  endpointSlices,
  ingressClasses,
  leases,
  networkPolicies,
} from '../../../src/api/kubernetes/index.ts';
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

  it('Endpoints and EndpointSlices', async () => {
    const make = (subset: object) =>
      api.client.create(endpoints, {
        apiVersion: 'v1',
        kind: 'Endpoints',
        metadata: { name: 'e', namespace: 'default' },
        subsets: [subset],
      });
    await refused(make({ ports: [{ port: 1 }] }), /subsets\[0\]: Required value: must specify `addresses`/);
    await refused(
      make({ addresses: [{ ip: 'host' }] }),
      /addresses\[0\].ip: Invalid value: "host": must be a valid IP/,
    );
    await refused(
      make({ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 0 }] }),
      /ports\[0\].port: Invalid value: 0/,
    );
    await make({
      addresses: [{ ip: '127.0.0.1' }],
      notReadyAddresses: [{ ip: 'fd00::1' }],
      ports: [{ port: 1 }],
    });
    const slice = (addressType: string, addresses: string[]) =>
      api.client.create(endpointSlices, {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `s-${addressType.toLowerCase()}`, namespace: 'default' },
        addressType,
        endpoints: [{ addresses }],
      });
    await refused(slice('IPv4', []), /must contain at least 1 address/);
    await refused(slice('IPv4', ['fd00::1']), /must be a valid IPv4 address/);
    await refused(slice('FQDN', ['Not A Name']), /RFC 1123 subdomain/);
    await slice('IPv6', ['fd00::1']);
    await slice('FQDN', ['example.com']);
  });
});
