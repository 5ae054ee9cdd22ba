import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decideServiceRange } from '../../src/network/range.ts';
import { service } from './support.ts';

const route = (destination: string, bits: number) => ({ interface: 'eth0', destination, bits });

describe('range of Services', () => {
  it('is that of the addresses which were given out', () => {
    const api = service('kubernetes', { clusterIP: '10.99.0.1' });
    assert.equal(decideServiceRange(api, '/a', [route('10.99.0.0', 16)]), '10.99.0.0/16');
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
        const routes = taken.map((octet, i) =>
          i % 2 ? route(`10.${octet}.0.0`, 16) : route(`10.${octet}.0.77`, 32),
        );
        const range = decideServiceRange(undefined, directory, routes);
        assert.ok(!taken.includes(Number(range.split('.')[1])), range);
      }),
    );
  });

  it('does not mind a default route or one for all private addresses', () => {
    const wide = [route('0.0.0.0', 0), route('10.0.0.0', 8)];
    assert.equal(decideServiceRange(undefined, '/a', wide), decideServiceRange(undefined, '/a', []));
  });

  it('stays away from all of a network that has several', () => {
    const half = [route('10.96.0.0', 12)];
    for (let i = 0; i < 40; i++) {
      assert.match(decideServiceRange(undefined, `/data/${i}`, half), /^10\.1(?:1[2-9]|2\d)\.0\.0/);
    }
  });
});
