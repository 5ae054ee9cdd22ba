/** Which addresses the pods of a platform get, beside other platforms and networks of the machine. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseRoutes } from '../../src/base/ipv4-routes.ts';
import { choosePrefix, mustYield, prefixOf } from '../../src/node/drivers/oci/address-range.ts';
import { ociSkipReason } from '../support/drivers.ts';

const run = promisify(execFile);
const child = fileURLToPath(new URL('network-child.ts', import.meta.url));

async function subnets(scenario: string): Promise<string[]> {
  const { stdout } = await run('unshare', ['-n', process.execPath, child, scenario]);
  return JSON.parse(stdout) as string[];
}

const header = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT';
const line = (name: string, destination: string, mask: string): string =>
  `${name}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0   `;

describe('the range of addresses of pods', () => {
  it('reads what the kernel routes', () => {
    const text = [
      header,
      line('eth0', '000200C0', '00FFFFFF'),
      line('kns1', '0000800A', '0000FFFF'),
      '',
    ].join('\n');
    assert.deepEqual(parseRoutes(text, 'LE'), [
      { interface: 'eth0', destination: '192.0.2.0', bits: 24 },
      { interface: 'kns1', destination: '10.128.0.0', bits: 16 },
    ]);
    assert.deepEqual(parseRoutes('nonsense\n\t\t'), []);
    const big = [header, line('kns1', '0A800000', 'FFFF0000')].join('\n');
    assert.deepEqual(parseRoutes(big, 'BE'), [{ interface: 'kns1', destination: '10.128.0.0', bits: 16 }]);
  });

  it('is the next one that nobody has: by route, down to a single address, or by interface', () => {
    const choose = (destination: string, bits: number, addresses: [string, string[]][] = []): string =>
      choosePrefix('00000000', {
        bridge: 'kns0',
        routes: [{ interface: 'other', destination, bits }],
        addresses: new Map(addresses),
      });
    assert.equal(choose('10.128.0.0', 16), '10.129');
    assert.equal(choose('10.128.7.0', 24), '10.129');
    assert.equal(choose('10.128.7.9', 32), '10.129');
    // A network of everybody who works for somebody: a more precise route holds.
    assert.equal(choose('10.0.0.0', 8), '10.128');
    assert.equal(choose('0.0.0.0', 0), '10.128');
    assert.equal(choose('10.12.0.0', 16), '10.128');
    assert.equal(choose('0.0.0.0', 0, [['eth0', ['10.128.3.4']]]), '10.129');
    assert.equal(choose('0.0.0.0', 0, [['kns0', ['10.128.0.1']]]), '10.128');
  });

  it('says that there is none', () => {
    const routes = Array.from({ length: 256 }, (_, i) => ({
      interface: 'other',
      destination: `10.${i}.0.0`,
      bits: 16,
    }));
    assert.throws(
      () => choosePrefix('00000000', { bridge: 'kns0', routes, addresses: new Map() }),
      /no free address range for pods in 10\.128\.0\.0 to 10\.247\.0\.0/,
    );
  });

  it('goes to the one whose route the kernel has first', () => {
    const routes = ['kns1', 'kns2'].map((name) => ({ interface: name, destination: '10.128.0.0', bits: 16 }));
    assert.equal(mustYield('10.128', 'kns1', routes), false);
    assert.equal(mustYield('10.128', 'kns2', routes), true);
    assert.equal(mustYield('10.129', 'kns2', routes), false);
  });

  it('is read off a bridge', () => {
    const text = '9: kns1    inet 10.128.0.1/16 scope global kns1\\       valid_lft forever';
    assert.equal(prefixOf(text), '10.128');
    assert.equal(prefixOf(''), undefined);
    assert.equal(prefixOf('9: kns1    inet 192.0.2.1/24 scope global kns1'), undefined);
  });
});

describe('bridges of several platforms', { skip: ociSkipReason() ?? false, concurrency: 5 }, () => {
  it('do not share a range with one that has no pods at the moment, which keeps its own', async () => {
    assert.deepEqual(await subnets('idle'), ['10.128.0.0/16', '10.128.0.0/16', '10.129.0.0/16']);
  });

  it('keep their range while they are down', async () => {
    assert.deepEqual(await subnets('down'), ['10.129.0.0/16', '10.129.0.0/16']);
  });

  it('get ranges of their own when all start at the same moment', async () => {
    const all = await subnets('together');
    assert.equal(new Set(all).size, 6, all.join(' '));
  });

  it('give way to a network that took their range while they were down', async () => {
    assert.deepEqual(await subnets('late'), ['10.129.0.0/16']);
  });

  it('take no routes from pods, and nothing that comes from elsewhere', async () => {
    const [advertisements, sources] = await subnets('settings');
    assert.match(advertisements ?? '', /^(?:0|none)$/);
    assert.equal(sources, '1');
  });

  it('are made again when somebody removed them', async () => {
    assert.deepEqual(await subnets('removed'), ['10.128.0.0/16', '10.128.0.0/16']);
  });
});

describe('the network namespace that is made ahead', { skip: ociSkipReason() ?? false }, () => {
  it('is taken by the next pod when it is whole, and goes with the platform', async () => {
    assert.deepEqual(await subnets('spare'), [
      'taken',
      'kept',
      'made anew',
      'adopted',
      'spare removed',
      'swept',
      '',
    ]);
  });
});
