/**
 * Which range of addresses the pods of a data directory get, by what the kernel routes. Interfaces alone would not tell:
 * Node.js leaves out those that do not run, and a bridge whose pods are all gone does not run, but still has its route.
 */
import { KnapsackError } from '../../../base/errors.ts';
import type { Ipv4Route } from '../../../base/ipv4-routes.ts';

/** Second octets of 10.0.0.0/8 that are seldom in use. */
const firstOctet = 128;
const octets = 120;
/** A route for more addresses than a range has (a VPN's 10.0.0.0/8) is not in the way: the more precise one holds. */
const rangeBits = 16;

/** What a choice depends on. */
export interface Surroundings {
  /** Our bridge. */
  readonly bridge: string;
  readonly routes: readonly Ipv4Route[];
  /** Addresses of interfaces, by interface. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
}

/**
 * `10.x` for a tag of hexadecimal digits: the same each time while nobody else has it, or else the next free one. Throws
 * NODE_NETWORK_FAILED when there is none.
 */
export function choosePrefix(tag: string, around: Surroundings): string {
  const start = Number.parseInt(tag.slice(0, 6), 16);
  for (let i = 0; i < octets; i++) {
    const prefix = `10.${firstOctet + ((start + i) % octets)}`;
    if (isFree(prefix, around)) return prefix;
  }
  throw new KnapsackError(
    'NODE_NETWORK_FAILED',
    `no free address range for pods in 10.${firstOctet}.0.0 to 10.${firstOctet + octets - 1}.0.0`,
  );
}

function isFree(prefix: string, { bridge, routes, addresses }: Surroundings): boolean {
  return (
    !routes.some((route) => route.interface !== bridge && isWithin(prefix, route)) &&
    ![...addresses].some(([name, own]) => name !== bridge && own.some((one) => one.startsWith(`${prefix}.`)))
  );
}

function isWithin(prefix: string, { destination, bits }: Ipv4Route): boolean {
  return bits >= rangeBits && destination.startsWith(`${prefix}.`);
}

/**
 * Whether our bridge, which has the range, has to leave it to somebody who took it at the same moment. The kernel decides
 * who was first, and so exactly one of two gives way: the one whose route comes later, as it would get no traffic.
 */
export function mustYield(prefix: string, bridge: string, routes: readonly Ipv4Route[]): boolean {
  const first = routes.find((route) => route.bits === rangeBits && isWithin(prefix, route));
  return first !== undefined && first.interface !== bridge;
}

/** The `10.x` that a bridge has, from what `ip -4 -o address show` says of it; undefined when it has none. */
export function prefixOf(addresses: string): string | undefined {
  return /\binet (10\.\d{1,3})\.0\.1\/16\b/.exec(addresses)?.[1];
}
