/** Which addresses the Services of a data directory get: a range that no other network of this machine has. */
import { createHash } from 'node:crypto';
import { defaultServiceRange } from '../api/kubernetes/service-addresses.ts';
import type { Service } from '../api/kubernetes/services.ts';
import { readRoutes, type Ipv4Route } from '../base/ipv4-routes.ts';

/** 10.96.0.0 to 10.127.255.255, of which Kubernetes' usual range is the first; pods have what follows. */
const firstOctet = 96;
const ranges = 32;
/** A wider network is no reason to stay away: a default route, or one for all of 10.0.0.0/8, leaves nothing to choose from. */
const widestBits = 12;
/** Of the ranges. */
const rangeBits = 16;

/**
 * The range that the stored Service `kubernetes` has, as addresses that were given out never change. Otherwise one that
 * no route of this machine is in; the same data directory begins its search at the same place.
 */
export function decideServiceRange(
  stored: Service | undefined,
  directory: string,
  routes: readonly Ipv4Route[],
): string {
  const address = stored?.spec?.clusterIP;
  if (address) return `${address.split('.').slice(0, 2).join('.')}.0.0/16`;
  const start = createHash('sha256').update(directory).digest().readUInt16BE() % ranges;
  for (let i = 0; i < ranges; i++) {
    const octet = firstOctet + ((start + i) % ranges);
    if (!routes.some((route) => overlaps(octet, route))) return `10.${octet}.0.0/16`;
  }
  return defaultServiceRange;
}

function overlaps(octet: number, { destination, bits }: Ipv4Route): boolean {
  const [first, second = 0] = destination.split('.').map(Number);
  if (first !== 10 || bits < widestBits) return false;
  const shared = 8 - Math.max(0, rangeBits - bits);
  return octet >> (8 - shared) === second >> (8 - shared);
}

/** {@link decideServiceRange} on this machine. */
export function chooseServiceRange(stored: Service | undefined, directory: string): string {
  return decideServiceRange(stored, directory, readRoutes());
}
