import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decideServiceRange, parseRoutes } from '../../src/network/range.ts';
import { service } from './support.ts';

const header = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
const line = (destination: string, mask: string): string =>
  `eth0\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;

describe('range of Services', () => {
  it('is that of the addresses which were given out', () => {
    const api = service('kubernetes', { clusterIP: '10.99.0.1' });
    assert.equal(decideServiceRange(api, '/a', [[0x0a_63_00_00, 0x0a_63_ff_ff]]), '10.99.0.0/16');
  });

  it('is the same for a directory each time, and seldom the same for two', () => {
    const ranges = Array.from({ length: 40 }, (_, i) => decideServiceRange(undefined, `/data/${i}`, []));
    assert.equal(decideServiceRange(undefined, '/data/7', []), ranges[7]);
    assert.ok(new Set(ranges).size > 15, `${new Set(ranges).size} of 32`);
    for (const range of ranges) {
      const octet = Number(/^10\.(\d+)\.0\.0\/16$/.exec(range)?.[1]);
      assert.ok(octet >= 96 && octet < 128, range);
    }
  });

  it('is never one that this machine has a way to, while there is another', () => {
    const octets = fc.uniqueArray(fc.integer({ min: 96, max: 127 }), { maxLength: 31 });
    fc.assert(
      fc.property(octets, fc.string(), (taken, directory) => {
        // Whole ranges, and single addresses within them.
        const routes = taken.map((octet, i): [number, number] => {
          const first = 10 * 2 ** 24 + octet * 2 ** 16;
          return i % 2 ? [first, first + 65_535] : [first + 77, first + 77];
        });
        const range = decideServiceRange(undefined, directory, routes);
        assert.ok(!taken.includes(Number(range.split('.')[1])), range);
      }),
    );
  });

  it('does not mind a default route or one for all private addresses', () => {
    const text = `${header}${line('00000000', '00000000')}${line('0000000A', '000000FF')}${line('0000610A', '0000FFFF')}`;
    assert.deepEqual(parseRoutes(text), [[0x0a_61_00_00, 0x0a_61_ff_ff]]);
    assert.deepEqual(parseRoutes('nonsense\n\t\t'), []);
  });
});
