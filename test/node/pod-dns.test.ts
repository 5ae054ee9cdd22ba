/** How pods look up names: policies, and the file that comes of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Pod } from '../../src/api/pods.ts';
import { makeResolvConf } from '../../src/node/drivers/oci/resolv-conf.ts';
import { fullHostnameOf, makePodDns } from '../../src/node/pod-dns.ts';

type PodSpec = NonNullable<Pod['spec']>;
const pod = (spec: Partial<PodSpec>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'team' },
  spec: { containers: [], ...spec },
});
const cluster = { server: '10.128.0.1', domain: 'cluster.local' };
const host = 'nameserver 192.0.2.53\nsearch example.com .\noptions timeout:1 edns0\n';
const own = 'search team.svc.cluster.local svc.cluster.local cluster.local example.com';
const dnsConfig = {
  nameservers: ['192.0.2.1'],
  searches: ['my.test', 'cluster.local'],
  options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
};

const cases: [what: string, spec: Partial<PodSpec>, text: string][] = [
  ['nothing said', {}, `nameserver 10.128.0.1\n${own}\noptions ndots:5\n`],
  ['the cluster first', { dnsPolicy: 'ClusterFirst' }, `nameserver 10.128.0.1\n${own}\noptions ndots:5\n`],
  [
    'the cluster first, and more',
    { dnsConfig },
    `nameserver 10.128.0.1\nnameserver 192.0.2.1\n${own} my.test\noptions ndots:2 edns0\n`,
  ],
  ['as the machine', { dnsPolicy: 'Default' }, host],
  [
    'as the machine, and more',
    { dnsPolicy: 'Default', dnsConfig },
    'nameserver 192.0.2.53\nnameserver 192.0.2.1\nsearch example.com . my.test cluster.local\noptions timeout:1 ndots:2 edns0\n',
  ],
  [
    'its own alone',
    { dnsPolicy: 'None', dnsConfig },
    'nameserver 192.0.2.1\nsearch my.test cluster.local\noptions ndots:2 edns0\n',
  ],
  ['none at all', { dnsPolicy: 'None' }, ''],
  ['the network of the machine', { hostNetwork: true }, host],
  [
    'the network of the machine, the cluster first',
    { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' },
    `nameserver 10.128.0.1\n${own}\noptions ndots:5\n`,
  ],
];

describe('resolv.conf of a pod that wants', () => {
  for (const [what, spec, text] of cases)
    it(what, () => assert.equal(makeResolvConf(host, makePodDns(pod(spec), cluster)), text));

  it('the cluster first, where the cluster has no name server', () => {
    assert.equal(makeResolvConf(host, makePodDns(pod({}), undefined)), host);
  });

  it('more servers than the C library reads: three are left', () => {
    const nameservers = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
    const text = makeResolvConf(host, makePodDns(pod({ dnsConfig: { nameservers } }), cluster));
    assert.deepEqual(text.match(/^nameserver .*$/gm), [
      'nameserver 10.128.0.1',
      'nameserver 192.0.2.1',
      'nameserver 192.0.2.2',
    ]);
  });
});

describe('full host name of a pod', () => {
  it('is the one below its subdomain', () => {
    assert.equal(
      fullHostnameOf(pod({ hostname: 'db-0', subdomain: 'db' }), 'cluster.local'),
      'db-0.db.team.svc.cluster.local',
    );
    assert.equal(fullHostnameOf(pod({ hostname: 'db-0' }), 'cluster.local'), undefined);
  });
});
