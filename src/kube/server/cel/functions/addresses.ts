/** IP addresses and networks (Kubernetes' `ip` and `cidr` libraries). */
import { BlockList, isIP } from 'node:net';
import { bool, int, opaque, string } from '../types.ts';
import { parsed, value, walk, type Value } from './opaque.ts';
import { fn, method, type Overload } from './signature.ts';

const ipType = opaque('net.IP');
const cidrType = opaque('net.CIDR');

interface Address {
  readonly text: string;
  readonly family: 4 | 6;
  readonly bits: bigint;
}
interface Network {
  readonly text: string;
  readonly address: Address;
  readonly prefix: number;
}
type Ip = Value<Address>;
type Cidr = Value<Network>;

/** No zones, no IPv4 inside IPv6. */
function parseIp(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 4) {
    const bits = text.split('.').reduce((total, part) => total * 256n + BigInt(part), 0n);
    return { text, family, bits };
  }
  if (family !== 6 || text.includes('%') || text.includes('.')) return undefined;
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return {
    text: canonicalV6(all),
    family,
    bits: all.reduce((total, part) => total * 65536n + BigInt(`0x${part}`), 0n),
  };
}

/** The longest run of zeros shortened (RFC 5952). */
function canonicalV6(groups: readonly string[]): string {
  const plain = groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':');
  return new URL(`http://[${plain}]`).hostname.slice(1, -1);
}

function parseCidr(text: string): Network | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match && parseIp(match[1] ?? '');
  const prefix = Number(match?.[2]);
  if (!address || prefix > (address.family === 4 ? 32 : 128)) return undefined;
  return { text: `${address.text}/${prefix}`, address, prefix };
}

const sameAddress = (x: Address, y: Address): boolean => x.family === y.family && x.bits === y.bits;
const ip = (address: Address): Ip => value('net.IP', address, sameAddress);
const cidr = (network: Network): Cidr =>
  value('net.CIDR', network, (x, y) => x.prefix === y.prefix && sameAddress(x.address, y.address));

function width(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function networkBits({ address, prefix }: Network): bigint {
  const rest = BigInt(width(address.family) - prefix);
  return (address.bits >> rest) << rest;
}

function masked(network: Network): Network {
  const { address, prefix } = network;
  const bits = networkBits(network);
  const text = formatBits(address.family, bits);
  return { text: `${text}/${prefix}`, address: { text, family: address.family, bits }, prefix };
}

function formatBits(family: 4 | 6, bits: bigint): string {
  const size = family === 4 ? 8n : 16n;
  const parts = Array.from(
    { length: family === 4 ? 4 : 8 },
    (_, i) => (bits >> (size * BigInt((family === 4 ? 3 : 7) - i))) & ((1n << size) - 1n),
  );
  return family === 4 ? parts.join('.') : canonicalV6(parts.map((part) => part.toString(16)));
}

function contains(network: Network, address: Address): boolean {
  if (network.address.family !== address.family) return false;
  const rest = BigInt(width(address.family) - network.prefix);
  return network.address.bits >> rest === address.bits >> rest;
}

function blocks(
  ...ranges: readonly (readonly [string, number, 'ipv4' | 'ipv6'])[]
): (address: Address) => boolean {
  const list = new BlockList();
  for (const [net, prefix, family] of ranges) list.addSubnet(net, prefix, family);
  return ({ text, family }) => list.check(text, family === 4 ? 'ipv4' : 'ipv6');
}

const isLoopback = blocks(['127.0.0.0', 8, 'ipv4'], ['::1', 128, 'ipv6']);
const isLinkLocalMulticast = blocks(['224.0.0.0', 24, 'ipv4'], ['ff02::', 16, 'ipv6']);
const isLinkLocalUnicast = blocks(['169.254.0.0', 16, 'ipv4'], ['fe80::', 10, 'ipv6']);
const isMulticast = blocks(['224.0.0.0', 4, 'ipv4'], ['ff00::', 8, 'ipv6']);
const isUnspecified = ({ bits }: Address): boolean => bits === 0n;
const isBroadcast = ({ family, bits }: Address): boolean => family === 4 && bits === 0xffff_ffffn;

function isGlobalUnicast(address: Address): boolean {
  return ![isUnspecified, isBroadcast, isLoopback, isMulticast, isLinkLocalUnicast].some((test) =>
    test(address),
  );
}

const traits = { isUnspecified, isLoopback, isLinkLocalMulticast, isLinkLocalUnicast, isGlobalUnicast };

const ipOf = (text: string): Address =>
  parsed(text, parseIp, 'IP Address parse error during conversion from string');
const cidrOf = (text: string): Network =>
  parsed(text, parseCidr, 'network address parse error during conversion from string');

export const addressFunctions: readonly Overload[] = [
  fn('ip', [string], ipType, ([text]: readonly [string]) => ip(ipOf(text)), walk),
  fn(
    'isIP',
    [string],
    bool,
    ([text]: readonly [string]) => text.length <= 64 && parseIp(text) !== undefined,
    walk,
  ),
  fn('ip.isCanonical', [string], bool, ([text]: readonly [string]) => ipOf(text).text === text, walk),
  method('family', [ipType], int, ([x]: readonly [Ip]) => BigInt(x.value.family)),
  ...Object.entries(traits).map(([name, test]) =>
    method(name, [ipType], bool, ([x]: readonly [Ip]) => test(x.value)),
  ),
  fn('cidr', [string], cidrType, ([text]: readonly [string]) => cidr(cidrOf(text)), walk),
  fn(
    'isCIDR',
    [string],
    bool,
    ([text]: readonly [string]) => text.length <= 64 && parseCidr(text) !== undefined,
    walk,
  ),
  method('containsIP', [cidrType, ipType], bool, ([x, y]: readonly [Cidr, Ip]) => contains(x.value, y.value)),
  method('containsIP', [cidrType, string], bool, ([x, y]: readonly [Cidr, string]) =>
    contains(x.value, ipOf(y)),
  ),
  method('containsCIDR', [cidrType, cidrType], bool, ([x, y]: readonly [Cidr, Cidr]) =>
    containsNetwork(x.value, y.value),
  ),
  method('containsCIDR', [cidrType, string], bool, ([x, y]: readonly [Cidr, string]) =>
    containsNetwork(x.value, cidrOf(y)),
  ),
  method('ip', [cidrType], ipType, ([x]: readonly [Cidr]) => ip(x.value.address)),
  method('masked', [cidrType], cidrType, ([x]: readonly [Cidr]) => cidr(masked(x.value))),
  method('prefixLength', [cidrType], int, ([x]: readonly [Cidr]) => BigInt(x.value.prefix)),
];

function containsNetwork(outer: Network, inner: Network): boolean {
  return inner.prefix >= outer.prefix && contains(outer, inner.address);
}
