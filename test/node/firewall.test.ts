import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import {
  decidePrograms,
  firewallPattern,
  makeIptablesRemoval,
  makeIptablesRules,
  parseFirewall,
  type Firewall,
} from '../../src/node/drivers/oci/firewall.ts';
import { Outbound } from '../../src/node/drivers/oci/outbound.ts';
import { Shell } from '../../src/node/drivers/shell.ts';

const place = { tag: '0a1b2c3d', bridge: 'kns0a1b2c3d', subnet: '10.150.0.0/16' };
const nothing: Firewall = { hasTable: false, chains: [], jumps: [], forwardDrops: false, blockers: [] };
const nft = '/usr/sbin/nft';
const iptables = { save: '/usr/sbin/iptables-save', restore: '/usr/sbin/iptables-restore' };

/** What is left of the listings once the driver has filtered them. */
function parse(output: string): Firewall {
  const wanted = new RegExp(firewallPattern(place.tag));
  const lines = output.split('\n').filter((line) => wanted.test(line));
  return parseFirewall(lines.join('\n'), place.tag);
}

const nftDocker = `table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
`;
const iptablesDocker = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [12:720]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER -j RETURN
COMMIT
`;

describe('firewall of pods', () => {
  const cases: { name: string; output: string; firewall: Partial<Firewall> }[] = [
    { name: 'nothing', output: '', firewall: {} },
    { name: 'Docker, seen by both', output: nftDocker + iptablesDocker, firewall: { forwardDrops: true } },
    { name: 'Docker, without iptables', output: nftDocker, firewall: { forwardDrops: true } },
    {
      name: 'a last rule that rejects',
      output: '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n',
      firewall: { forwardDrops: true },
    },
    {
      name: 'rules that drop something else',
      output:
        '*mangle\n:FORWARD DROP [0:0]\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth7 -j DROP\n',
      firewall: {},
    },
    {
      name: 'a table of the administrator',
      output:
        'table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n',
      firewall: { blockers: ['inet filter'] },
    },
    {
      name: 'firewalld',
      output:
        'table inet firewalld {\n\tchain filter_FORWARD {\n\t\ttype filter hook forward priority filter + 10; policy accept;\n\t}\n}\n',
      firewall: { blockers: ['inet firewalld'] },
    },
    {
      name: 'IPv6 only',
      output:
        'table ip6 filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n',
      firewall: {},
    },
    {
      name: 'ours, and those of another data directory',
      output: `table ip knapsack_ffffffff {
}
table ip knapsack_0a1b2c3d {
}
*nat
:KNAPSACK-0a1b2c3d - [0:0]
:KNAPSACK-ffffffff - [0:0]
-A POSTROUTING -j KNAPSACK-0a1b2c3d
-A POSTROUTING -j KNAPSACK-0a1b2c3d
-A POSTROUTING -j KNAPSACK-ffffffff
-A KNAPSACK-0a1b2c3d -s 10.150.0.0/16 ! -o kns0a1b2c3d -j MASQUERADE
COMMIT
`,
      firewall: {
        hasTable: true,
        chains: ['nat'],
        jumps: [
          { table: 'nat', from: 'POSTROUTING' },
          { table: 'nat', from: 'POSTROUTING' },
        ],
      },
    },
  ];
  for (const { name, output, firewall } of cases) {
    it(`reads: ${name}`, () => assert.deepEqual(parse(output), { ...nothing, ...firewall }));
  }

  it('prefers nft, unless iptables would drop what is forwarded', () => {
    const drops = { ...nothing, forwardDrops: true };
    assert.deepEqual(decidePrograms(nothing, { nft, iptables }), ['nft', 'iptables']);
    assert.deepEqual(decidePrograms(drops, { nft, iptables }), ['iptables']);
    assert.deepEqual(decidePrograms(drops, { nft, iptables: undefined }), ['nft']);
    assert.deepEqual(decidePrograms(nothing, { nft: undefined, iptables }), ['iptables']);
    assert.deepEqual(decidePrograms(nothing, { nft: undefined, iptables: undefined }), []);
  });

  it('takes away every jump of an earlier run before it adds one', () => {
    const twice = { table: 'nat', from: 'POSTROUTING' };
    const firewall = { ...nothing, chains: ['nat'], jumps: [twice, twice] };
    const rules = makeIptablesRules(place, firewall);
    assert.equal(rules.filter((line) => line === '-D POSTROUTING -j KNAPSACK-0a1b2c3d').length, 2);
    assert.equal(rules.filter((line) => line.startsWith('-I POSTROUTING')).length, 1);
    assert.deepEqual(makeIptablesRemoval(place.tag, firewall), [
      '*nat',
      '-D POSTROUTING -j KNAPSACK-0a1b2c3d',
      '-D POSTROUTING -j KNAPSACK-0a1b2c3d',
      '-F KNAPSACK-0a1b2c3d',
      '-X KNAPSACK-0a1b2c3d',
      'COMMIT',
    ]);
    assert.deepEqual(makeIptablesRemoval(place.tag, nothing), []);
  });

  it('says what to install when there is no program for it', async () => {
    const outbound = new Outbound({
      shell: new Shell({ dir: tmpdir(), privateMounts: false }),
      place,
      programs: { nft: undefined, iptables: undefined },
      log: silentLogger,
    });
    assert.match((await outbound.open(place.subnet)) ?? '', /cannot reach other machines: install nftables/);
  });
});
