/** The networks that this machine has a way to, as Linux tells of them. */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';

export interface Ipv4Route {
  readonly interface: string;
  /** `10.200.0.0`. */
  readonly destination: string;
  /** Length of the prefix, 0 to 32. */
  readonly bits: number;
}

/** What `/proc/net/route` lists, in its order: of two routes for the same addresses the first one gets the traffic. */
export function parseRoutes(text: string, order: 'LE' | 'BE' = endianness()): Ipv4Route[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
    if (![destination, mask].every((hex) => /^[0-9A-F]{8}$/.test(hex))) return [];
    const bits = octetsOf(mask, order).reduce(
      (sum, octet) => sum + octet.toString(2).replaceAll('0', '').length,
      0,
    );
    return [{ interface: name, destination: octetsOf(destination, order).join('.'), bits }];
  });
}

/** The kernel prints the four bytes of an address as one number of this machine. */
function octetsOf(hex: string, order: 'LE' | 'BE'): number[] {
  const bytes = [...Buffer.from(hex, 'hex')];
  return order === 'LE' ? bytes.reverse() : bytes;
}

/** Those of this machine; none where there is no such file. */
export function readRoutes(): Ipv4Route[] {
  try {
    return parseRoutes(readFileSync('/proc/net/route', 'latin1'));
  } catch {
    // Not Linux: nobody else's networks are known.
    return [];
  }
}
