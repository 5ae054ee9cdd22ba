/** Services as rules of nft: text by tables, and by the kernel itself in a network namespace of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { EndpointSlice, Service } from '../../../src/api/kubernetes/services.ts';
import {
  makeTable,
  makeTableChange,
  makeTableRemoval,
  type ProxyPlace,
} from '../../../src/network/proxy/nft.ts';
import { makeRules, mergeRules, type RuleSet } from '../../../src/network/proxy/rules.ts';
import { hasProgram } from '../../support/drivers.ts';
import { service, slice } from '../support.ts';

const at = { hostAddress: '10.200.0.1' };
const web = (spec: NonNullable<Service['spec']> = {}): Service =>
  service('web', { clusterIP: '10.96.3.4', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec });

/** Rules with the names of chains in order of appearance instead of their digests. */
function shown(rules: RuleSet): string[] {
  const names = new Map([...rules.chains.keys()].map((name, i) => [name, `#${i}`]));
  const plain = (text: string): string =>
    text.replace(/[es][0-9a-f]{16}/g, (name) => names.get(name) ?? name);
  return [
    ...[...rules.chains].map(
      ([name, chain]) =>
        `${plain(name)}${chain.clientsFor ? ` (${chain.clientsFor} s)` : ''}: ${plain(chain.rules.join('; '))}`,
    ),
    ...[...rules.elements].flatMap(([map, entries]) =>
      [...entries].map(([key, value]) => `${map} ${key}${value && ` → ${plain(value)}`}`),
    ),
  ];
}

const cases: { name: string; service: Service; slices: EndpointSlice[]; rules: string[] }[] = [
  {
    name: 'one endpoint',
    service: web(),
    slices: [slice('web', ['10.200.0.2'])],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.2:8080',
      '#1: goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
    ],
  },
  {
    name: 'several, of several slices, each once',
    service: web(),
    slices: [slice('web', ['10.200.0.3', '10.200.0.2']), slice('web', ['10.200.0.2'])],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.2:8080',
      '#1: meta l4proto tcp dnat to 10.200.0.3:8080',
      '#2: numgen random mod 2 vmap { 0 : goto #0, 1 : goto #1 } comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #2',
    ],
  },
  {
    name: 'none: whatever goes to a cluster IP is refused',
    service: web(),
    slices: [slice('web', [])],
    rules: [],
  },
  {
    name: 'none behind a node port and another address: those are refused by name',
    service: web({
      type: 'NodePort',
      ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30_080 }],
      externalIPs: ['198.51.100.7', 'fd00::7'],
    }),
    slices: [],
    rules: ['empty_services 198.51.100.7 . tcp . 80', 'empty_node_ports tcp . 30080'],
  },
  {
    name: 'a node port, an external address and that of a load balancer',
    service: {
      ...web({ ports: [{ name: 'http', port: 80, nodePort: 30_080 }], externalIPs: ['198.51.100.7'] }),
      status: { loadBalancer: { ingress: [{ ip: '198.51.100.8' }, { hostname: 'x' }] } },
    },
    slices: [slice('web', ['10.200.0.2'])],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.2:8080',
      '#1: goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
      'services 198.51.100.7 . tcp . 80 → #1',
      'services 198.51.100.8 . tcp . 80 → #1',
      'node_ports tcp . 30080 → #1',
    ],
  },
  {
    name: 'clients that come back',
    service: web({
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    }),
    slices: [slice('web', ['10.200.0.2'])],
    rules: [
      '#0 (60 s): update @#0 { ip saddr }; meta l4proto tcp dnat to 10.200.0.2:8080',
      '#1: ip saddr @#0 goto #0; goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
    ],
  },
  {
    name: 'UDP, and a port of another name',
    service: web({
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'http', port: 80 },
      ],
    }),
    slices: [slice('web', ['10.200.0.2'], [{ name: 'dns', port: 5353, protocol: 'UDP' }])],
    rules: [
      '#0: meta l4proto udp dnat to 10.200.0.2:5353',
      '#1: goto #0 comment "default/web:dns"',
      'services 10.96.3.4 . udp . 53 → #1',
    ],
  },
  {
    name: 'pods that share the network of this machine',
    service: web(),
    slices: [slice('web', ['127.0.0.1'])],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.1:8080',
      '#1: goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
    ],
  },
  {
    name: 'pods that end, where no other is left',
    service: web(),
    slices: [
      slice('web', [
        { addresses: ['10.200.0.2'], conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ['10.200.0.3'], conditions: { ready: false, serving: false, terminating: true } },
      ]),
    ],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.2:8080',
      '#1: goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
    ],
  },
  {
    name: 'not those, where another is ready',
    service: web(),
    slices: [
      slice('web', [
        { addresses: ['10.200.0.2'], conditions: { ready: false, serving: true, terminating: true } },
        '10.200.0.4',
      ]),
    ],
    rules: [
      '#0: meta l4proto tcp dnat to 10.200.0.4:8080',
      '#1: goto #0 comment "default/web:http"',
      'services 10.96.3.4 . tcp . 80 → #1',
    ],
  },
  {
    name: 'no address of its own',
    service: web({ clusterIP: 'None' }),
    slices: [slice('web', ['10.200.0.2'])],
    rules: [],
  },
  {
    name: 'a name elsewhere',
    service: service('web', { type: 'ExternalName', externalName: 'example.com' }),
    slices: [],
    rules: [],
  },
  {
    name: 'a revision, which changes with each start from zero',
    service: service(
      'web',
      { clusterIP: '10.96.3.4', ports: [{ name: 'http', port: 80 }] },
      { labels: { 'networking.internal.knative.dev/serviceType': 'Public' } },
    ),
    slices: [slice('web', ['10.200.0.2'])],
    rules: [],
  },
  {
    name: 'IPv6 endpoints',
    service: web(),
    slices: [{ ...slice('web', ['2001:db8::1']), addressType: 'IPv6' }],
    rules: [],
  },
];

describe('rules of Services', () => {
  for (const { name, service: one, slices, rules } of cases)
    it(name, () => assert.deepEqual(shown(makeRules(one, slices, at)), rules));

  it('give what two claim to the first', () => {
    const ports = [{ name: 'http', port: 80, nodePort: 30_080 }];
    const [a, b] = ['a', 'b'].map((name, i) =>
      makeRules(
        service(name, { clusterIP: `10.96.0.${i + 5}`, ports }),
        [slice(name, [`10.200.0.${i + 2}`])],
        at,
      ),
    );
    assert.ok(a && b);
    const merged = mergeRules([a, b]);
    assert.equal(merged.elements.get('services')?.size, 2);
    assert.equal(
      merged.elements.get('node_ports')?.get('tcp . 30080'),
      a.elements.get('node_ports')?.get('tcp . 30080'),
    );
  });
});

const place: ProxyPlace = {
  tag: 'deadbeef',
  range: '10.96.0.0/16',
  pods: { bridge: 'knsdeadbeef', subnet: '10.200.0.0/16' },
  open: false,
  redirects: [],
};
const table = 'knapsack_deadbeef_services';
const nothing = mergeRules([]);

describe('nft text of Services', () => {
  it('replaces the table in one transaction, and names nothing else', () => {
    const text = makeTable(
      place,
      mergeRules(cases.map(({ service: one, slices }) => makeRules(one, slices, at))),
    );
    const lines = text.trimEnd().split('\n');
    assert.deepEqual(lines.slice(0, 3), [
      `add table ip ${table}`,
      `delete table ip ${table}`,
      `add table ip ${table}`,
    ]);
    for (const line of lines)
      assert.match(
        line,
        /^(?:add|delete) (?:table|chain|rule|set|map|element) ip knapsack_deadbeef_services(?: |$)/,
      );
    assert.deepEqual(makeTableRemoval('deadbeef').split('\n').slice(0, 2), lines.slice(0, 2));
  });

  it('lets only pods and this machine use cluster IPs, and other machines node ports if they may', () => {
    const rulesOf = (open: boolean, chain: string): string[] =>
      makeTable({ ...place, open }, nothing)
        .split('\n')
        .filter((line) => line.startsWith(`add rule ip ${table} ${chain} `))
        .map((line) => line.slice(`add rule ip ${table} ${chain} `.length));
    assert.ok(rulesOf(false, 'prerouting').every((rule) => rule.startsWith('iifname "knsdeadbeef" ')));
    const open = rulesOf(true, 'prerouting').filter((rule) => !rule.startsWith('iifname'));
    assert.equal(open.length, 1);
    assert.ok(
      rulesOf(true, 'guard').includes(
        'iifname != { "lo", "knsdeadbeef" } ip daddr { 10.200.0.0/16, 10.96.0.0/16 } drop',
      ),
    );
    assert.match(open[0] ?? '', /^ip daddr != 10\.96\.0\.0\/16 fib daddr type local .*@node_ports$/);
  });

  it('knows this machine alone where pods have no network of their own', () => {
    const text = makeTable({ ...place, pods: undefined }, nothing);
    assert.doesNotMatch(text, /prerouting|postrouting|forward|bridge/);
    assert.match(text, /hook output/);
  });

  it('says nothing when nothing changes', () => {
    const rules = makeRules(web(), [slice('web', ['10.200.0.2', '10.200.0.3'])], at);
    assert.equal(
      makeTableChange('deadbeef', rules, makeRules(web(), [slice('web', ['10.200.0.3', '10.200.0.2'])], at)),
      '',
    );
  });

  it('cannot be led astray by names', () => {
    const odd = { ...web(), metadata: { name: 'x"; flush ruleset; "', namespace: 'a\nb', uid: 'u' } };
    const text = makeTable(place, makeRules(odd, [slice('web', ['10.200.0.2'])], at));
    assert.doesNotMatch(text, /flush ruleset|; "|a\nb/);
  });
});

/** Runs scripts in a network namespace that ends with them, and returns what the table holds after each. */
function inKernel(scripts: readonly string[]): string[][] {
  const run = scripts.map(
    (script) =>
      `nft -f - <<'END' || exit 1\n${script}END\nnft -s list table ip ${table} || exit 1\necho =====\n`,
  );
  const result = spawnSync('unshare', ['-n', 'sh'], { input: run.join(''), encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.split('=====\n').slice(0, -1).map(contentsOf);
}

/** Each line with the chain, set or map that it is in, and its place there; the order of those means nothing. */
function contentsOf(listing: string): string[] {
  const lines = listing
    // Elements stand on several lines, in no order.
    .replace(/elements = \{([^}]*)\}/g, (_, list: string) => {
      const elements = list.split(',').map((element) => element.trim());
      return elements.toSorted().join(', ');
    })
    .split('\n')
    .map((line) => line.trim());
  let [block, place] = ['', 0];
  return lines
    .filter((line) => line !== '' && line !== '}')
    .flatMap((line) => {
      const [, kind, name] = /^(chain|set|map) (\w+) \{$/.exec(line) ?? [];
      if (kind !== undefined) [block, place] = [`${kind} ${name}`, 0];
      else return [`${block} ${place++} ${line}`];
      return [block];
    })
    .toSorted();
}

const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : hasProgram('nft') && hasProgram('unshare')
      ? false
      : 'needs nft and unshare';

describe('nft text of Services, taken by the kernel', { skip }, () => {
  const address = fc.integer({ min: 2, max: 6 }).map((host) => `10.200.0.${host}`);
  const oneService = fc.record({
    endpoints: fc.uniqueArray(address, { maxLength: 4 }),
    nodePort: fc.boolean(),
    external: fc.boolean(),
    affinity: fc.constantFrom(undefined, 60, 10_800),
  });
  const state = fc.dictionary(fc.constantFrom('a', 'b', 'c'), oneService, { noNullPrototype: true });
  const rulesOf = (services: {
    [name: string]: typeof oneService extends fc.Arbitrary<infer T> ? T : never;
  }): RuleSet =>
    mergeRules(
      Object.entries(services)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { endpoints, nodePort, external, affinity }]) => {
          const index = name.charCodeAt(0);
          const port = { name: 'http', port: 80, ...(nodePort ? { nodePort: 30_000 + index } : {}) };
          const one = service(name, {
            clusterIP: `10.96.0.${index}`,
            ports: [port, { name: 'dns', port: 53, protocol: 'UDP' }],
            ...(external ? { externalIPs: ['198.51.100.7'] } : {}),
            ...(affinity === undefined
              ? {}
              : {
                  sessionAffinity: 'ClientIP',
                  sessionAffinityConfig: { clientIP: { timeoutSeconds: affinity } },
                }),
          });
          const ports = [
            { name: 'http', port: 8080, protocol: 'TCP' },
            { name: 'dns', port: 53, protocol: 'UDP' },
          ];
          return makeRules(one, [slice(name, endpoints, ports)], at);
        }),
    );

  it('leads from any rules to any others as if they had been made anew', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 8 }), (states) => {
        const all = states.map(rulesOf);
        const [first = nothing, ...rest] = all;
        let before = first;
        const changes = rest.map((after) => {
          const script = makeTableChange('deadbeef', before, after);
          before = after;
          return script;
        });
        const changed = inKernel([makeTable(place, first), ...changes]);
        const anew = inKernel(all.map((rules) => makeTable(place, rules)));
        assert.deepEqual(changed, anew);
      }),
      { numRuns: 10 },
    );
  });

  it('takes every form of the table, and its removal', () => {
    const redirects = [{ protocol: 'udp', host: '10.200.0.1', from: 53, to: 5353 } as const];
    const forms: ProxyPlace[] = [place, { ...place, open: true, redirects }, { ...place, pods: undefined }];
    assert.equal(inKernel(forms.map((form) => makeTable(form, nothing))).length, 3);
    const removed = spawnSync('unshare', ['-n', 'nft', '-f', '-'], { input: makeTableRemoval('deadbeef') });
    assert.equal(removed.status, 0);
  });
});
