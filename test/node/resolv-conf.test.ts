import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decideResolvConf } from '../../src/node/drivers/oci/resolv-conf.ts';

const file = (...servers: string[]): string => servers.map((server) => `nameserver ${server}\n`).join('');

const cases: {
  name: string;
  host: string;
  upstream?: string;
  text: string;
}[] = [
  {
    name: 'servers, search list and options as on the host',
    host: '# by hand\nnameserver 192.0.2.53\nsearch example.com\noptions ndots:2 edns0\n',
    text: 'nameserver 192.0.2.53\nsearch example.com\noptions ndots:2 edns0\n',
  },
  {
    name: 'the servers behind systemd-resolved, with their search list',
    host: 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n',
    upstream: '# kept by resolved\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lan\n',
    text: 'nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lan\n',
  },
  {
    name: 'what systemd-resolved keeps does not matter to a host that asks others',
    host: file('192.0.2.53'),
    upstream: file('192.0.2.1'),
    text: file('192.0.2.53'),
  },
  {
    name: 'the reachable of several when there is no upstream file',
    host: file('127.0.0.1', '192.0.2.53'),
    text: file('192.0.2.53'),
  },
  {
    name: 'an upstream file of unreachable servers does not stand in',
    host: file('127.0.0.1', '192.0.2.53'),
    upstream: file('fe80::1%eth0'),
    text: file('192.0.2.53'),
  },
  {
    name: 'no IPv6, which pods do not have',
    host: file('fe80::1%eth0', 'fe80::1', '2001:db8::53', '192.0.2.53'),
    text: file('192.0.2.53'),
  },
  {
    name: 'at most three, each once',
    host: file('192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'),
    text: file('192.0.2.1', '192.0.2.2', '192.0.2.3'),
  },
  {
    name: 'none left',
    host: `${file('127.0.0.53', '::1', '0.0.0.0')}search example.com\n`,
    text: 'search example.com\n',
  },
  { name: 'no file', host: '', text: '' },
  {
    name: 'tabs, comments, and words that are no addresses',
    host: 'nameserver\t192.0.2.53 # here\n;nameserver 192.0.2.54\n#nameserver 192.0.2.55\nnameserver dns\nnameserver\n',
    text: file('192.0.2.53'),
  },
];

describe('resolv.conf of pods with a network of their own', () => {
  for (const { name, host, upstream, text } of cases) {
    it(name, () => {
      const decision = decideResolvConf(host, upstream);
      assert.equal(decision.text, text);
      const named = [...text.matchAll(/^nameserver (.*)$/gm)].map((match) => match[1]);
      assert.deepEqual(decision.servers, named);
    });
  }

  it('never names a server that pods cannot reach, nor more than three, whatever the files say', () => {
    const line = fc.oneof(
      fc.ipV4().map((ip) => `nameserver ${ip}`),
      fc.ipV6().map((ip) => `nameserver ${ip}`),
      fc.integer({ min: 0, max: 255 }).map((last) => `nameserver 127.0.0.${last}`),
      fc.string(),
    );
    const text = fc.array(line).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(text, fc.option(text, { nil: undefined }), (host, upstream) => {
        const { servers } = decideResolvConf(host, upstream);
        assert.ok(servers.length <= 3);
        for (const server of servers) assert.doesNotMatch(server, /^(?:127|0)\.|:/);
      }),
    );
  });
});
