/** Names, as the Kubernetes DNS specification (1.1.0) has them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointSlice, Service } from '../../../src/api/kubernetes/services.ts';
import { types, type DnsRecord } from '../../../src/network/dns/message.ts';
import { Zone } from '../../../src/network/dns/zone.ts';
import { isProxied } from '../../../src/network/proxy/rules.ts';
import { service, slice } from '../support.ts';

const http = [{ name: 'http', port: 80 }];
const objects: Service[] = [
  service('web', { clusterIP: '10.96.3.4', ports: [...http, { name: 'dns', port: 53, protocol: 'UDP' }] }),
  service('heads', { clusterIP: 'None', ports: [{ name: 'http', port: 8080 }] }),
  service('none', { clusterIP: 'None', ports: http }),
  service('alias', { type: 'ExternalName', externalName: 'Example.com.' }),
  service('six', { clusterIP: 'None', ports: http }),
  service(
    'hello-00001-private',
    { clusterIP: '10.96.9.9', ports: http },
    { labels: { 'networking.internal.knative.dev/serviceType': 'Private' } },
  ),
];
const slices: EndpointSlice[] = [
  slice('web', ['10.200.0.2']),
  slice('heads', [
    { addresses: ['10.200.0.2'], hostname: 'db-0' },
    '10.200.0.3',
    { addresses: ['10.200.0.4'], conditions: { ready: false } },
    '127.0.0.1',
  ]),
  { ...slice('six', ['2001:db8::2']), addressType: 'IPv6' },
  slice('hello-00001-private', ['10.200.0.9']),
];

function zone(proxying = true): Zone {
  const source = {
    service: (namespace: string, name: string) =>
      objects.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
    services: () => objects,
    slices: (namespace: string, name: string) =>
      slices.filter(
        ({ metadata }) =>
          metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name,
      ),
    hasNamespace: (name: string) => name === 'default',
    hasPod: (namespace: string, address: string) => namespace === 'default' && address === '10.200.0.7',
    isProxied: (one: Service) => proxying && isProxied(one),
  };
  const place = { server: '10.200.0.1', networks: ['10.96.0.0/16', '10.200.0.0/16'] };
  return new Zone(source, place, (items) => [...items]);
}

function text(record: DnsRecord): string {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return `${record.type} ${record.address}`;
    case 'SRV':
      return `SRV ${record.port} ${record.target}`;
    case 'TXT':
      return `TXT ${record.text}`;
    case 'SOA':
      return `SOA ${record.server}`;
    default:
      return `${record.type} ${record.target}`;
  }
}

const nothing = 'no data';
const noName = 'no such name';

/** Answers in one line; '…' before what an alias leads to. */
function ask(name: string, type: keyof typeof types, proxying = true): string {
  const reply = zone(proxying).answer(name, types[type]);
  if (!reply) return 'not ours';
  assert.ok(reply.authoritative);
  for (const { ttl } of [...reply.answers, ...reply.authority]) assert.ok(ttl >= 5 && ttl <= 30);
  if (reply.answers.length === 0) {
    assert.equal(reply.authority[0]?.type, 'SOA', 'negative answers say for how long');
    return reply.rcode === 3 ? noName : nothing;
  }
  for (const record of reply.answers) assert.equal(record.name, name);
  const target = reply.target === undefined ? [] : [`… ${reply.target}`];
  return [...reply.answers.map(text), ...target].join(', ');
}

const web = 'web.default.svc.cluster.local';
const heads = 'heads.default.svc.cluster.local';
const cases: [name: string, type: keyof typeof types, answer: string][] = [
  [web, 'A', 'A 10.96.3.4'],
  [web, 'AAAA', nothing],
  [web, 'TXT', nothing],
  ['_http._tcp.web.default.svc.cluster.local', 'SRV', `SRV 80 ${web}`],
  ['_dns._udp.web.default.svc.cluster.local', 'SRV', `SRV 53 ${web}`],
  ['_dns._tcp.web.default.svc.cluster.local', 'SRV', noName],
  ['_http._tcp.web.default.svc.cluster.local', 'A', nothing],
  ['_tcp.web.default.svc.cluster.local', 'SRV', nothing],
  [web, 'SRV', `SRV 80 ${web}, SRV 53 ${web}`],
  // Pods behind a cluster IP have no names.
  [`10-200-0-2.${web}`, 'A', noName],
  [heads, 'A', 'A 10.200.0.2, A 10.200.0.3, A 10.200.0.1'],
  [`db-0.${heads}`, 'A', 'A 10.200.0.2'],
  [`10-200-0-3.${heads}`, 'A', 'A 10.200.0.3'],
  [`10-200-0-4.${heads}`, 'A', noName],
  [`x.db-0.${heads}`, 'A', noName],
  [
    `_http._tcp.${heads}`,
    'SRV',
    `SRV 8080 db-0.${heads}, SRV 8080 10-200-0-3.${heads}, SRV 8080 10-200-0-1.${heads}`,
  ],
  ['none.default.svc.cluster.local', 'A', nothing],
  ['six.default.svc.cluster.local', 'AAAA', 'AAAA 2001:db8::2'],
  ['six.default.svc.cluster.local', 'A', nothing],
  ['alias.default.svc.cluster.local', 'A', 'CNAME example.com, … example.com'],
  ['alias.default.svc.cluster.local', 'CNAME', 'CNAME example.com'],
  ['x.alias.default.svc.cluster.local', 'A', noName],
  // Those of a revision change too often for rules: the pods themselves answer.
  ['hello-00001-private.default.svc.cluster.local', 'A', 'A 10.200.0.9'],
  ['nope.default.svc.cluster.local', 'A', noName],
  ['web.other.svc.cluster.local', 'A', noName],
  ['10-200-0-7.default.pod.cluster.local', 'A', 'A 10.200.0.7'],
  ['10-200-0-8.default.pod.cluster.local', 'A', noName],
  ['192-0-2-1.default.pod.cluster.local', 'A', noName],
  ['cluster.local', 'SOA', 'SOA ns.dns.cluster.local'],
  ['cluster.local', 'NS', 'NS ns.dns.cluster.local'],
  ['cluster.local', 'A', nothing],
  ['ns.dns.cluster.local', 'A', 'A 10.200.0.1'],
  ['dns-version.cluster.local', 'TXT', 'TXT 1.1.0'],
  ['svc.cluster.local', 'A', nothing],
  ['default.svc.cluster.local', 'A', nothing],
  ['other.svc.cluster.local', 'A', noName],
  ['example.com.default.svc.cluster.local', 'A', noName],
  ['example.com.cluster.local', 'A', noName],
  ['4.3.96.10.in-addr.arpa', 'PTR', `PTR ${web}`],
  ['5.3.96.10.in-addr.arpa', 'PTR', noName],
  ['2.0.200.10.in-addr.arpa', 'PTR', `PTR db-0.${heads}`],
  ['3.0.200.10.in-addr.arpa', 'PTR', noName],
  ['0.200.10.in-addr.arpa', 'PTR', nothing],
  ['example.com', 'A', 'not ours'],
  ['notcluster.local', 'A', 'not ours'],
  ['1.2.0.192.in-addr.arpa', 'PTR', 'not ours'],
];

describe('names of the cluster', () => {
  for (const [name, type, answer] of cases) {
    it(`${type} ${name}: ${answer}`, () => assert.equal(ask(name, type), answer));
  }

  it('lead to the pods themselves where no cluster IP can be connected to', () => {
    assert.equal(ask(web, 'A', false), 'A 10.200.0.2');
    assert.equal(ask(`_http._tcp.${web}`, 'SRV', false), `SRV 8080 10-200-0-2.${web}`);
    assert.equal(ask(`10-200-0-2.${web}`, 'A', false), 'A 10.200.0.2');
  });

  it('bring the addresses of the hosts that SRV records name', () => {
    const additional = zone().answer(`_http._tcp.${heads}`, types.SRV)?.additional ?? [];
    assert.deepEqual(
      additional.map((record) => `${record.name} ${text(record)}`),
      [`db-0.${heads} A 10.200.0.2`, `10-200-0-3.${heads} A 10.200.0.3`, `10-200-0-1.${heads} A 10.200.0.1`],
    );
  });

  it('give everything to a client that asks for anything', () => {
    assert.equal(ask(web, 'ANY'), `A 10.96.3.4, SRV 80 ${web}, SRV 53 ${web}`);
  });
});
