/** Which addresses the Services of a data directory get: a range that no other network of this machine has. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { defaultServiceRange } from '../api/kubernetes/service-addresses.ts';
import type { Service } from '../api/kubernetes/services.ts';

/** 10.96.0.0 to 10.127.255.255, of which Kubernetes' usual range is the first; pods have what follows. */
const firstOctet = 96;
const ranges = 32;
/** Addresses of a network beyond which it is no reason to stay away: /11, all that there is to choose from. */
const widest = 2 ** 21 - 1;

/** IPv4 networks as first and last address, both as numbers. */
type Network = readonly [first: number, last: number];

/**
 * The networks that this machine has a way to, as Linux tells it in /proc/net/route. Wide ones are left out: a default
 * route, or one for all of 10.0.0.0/8, leaves nothing to choose from and says little about what is in use.
 */
export function parseRoutes(text: string): Network[] {
  return text.split('\n').flatMap((line): Network[] => {
    const [, destination = '', , , , , , mask = ''] = line.split('\t');
    if (!/^[0-9A-F]{8}$/.test(destination) || !/^[0-9A-F]{8}$/.test(mask)) return [];
    const first = fromLittleEndian(destination);
    const size = 2 ** 32 - fromLittleEndian(mask);
    return size > widest ? [] : [[first, first + size - 1]];
  });
}

/** The kernel prints addresses as numbers of the machine's own byte order: little-endian wherever Node.js runs. */
function fromLittleEndian(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE();
}

/**
 * The range that the stored Service `kubernetes` has, as addresses that were given out never change. Otherwise one that
 * no route of this machine is in; the same data directory begins its search at the same place.
 */
export function decideServiceRange(
  stored: Service | undefined,
  directory: string,
  routes: readonly Network[],
): string {
  const address = stored?.spec?.clusterIP;
  if (address) return `${address.split('.').slice(0, 2).join('.')}.0.0/16`;
  const start = createHash('sha256').update(directory).digest().readUInt16BE() % ranges;
  for (let i = 0; i < ranges; i++) {
    const octet = firstOctet + ((start + i) % ranges);
    const first = 10 * 2 ** 24 + octet * 2 ** 16;
    const isTaken = routes.some(([from, to]) => from < first + 2 ** 16 && to >= first);
    if (!isTaken) return `10.${octet}.0.0/16`;
  }
  return defaultServiceRange;
}

/** {@link decideServiceRange} on this machine. */
export function chooseServiceRange(stored: Service | undefined, directory: string): string {
  return decideServiceRange(stored, directory, parseRoutes(readRoutes()));
}

function readRoutes(): string {
  try {
    return readFileSync('/proc/net/route', 'utf8');
  } catch {
    // Not Linux: nobody else's networks are known.
    return '';
  }
}
