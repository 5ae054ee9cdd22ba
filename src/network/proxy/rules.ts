/**
 * What the packet filter of this machine has to know of Services: chains and elements of maps, as data. One chain for
 * each port of a Service picks one of the chains of its endpoints, and those rewrite the destination, as kube-proxy's
 * nftables mode has it.
 */
import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { headless, type EndpointSlice, type Service } from '../../api/kubernetes/services.ts';
import { keyOf } from '../../api/object.ts';
import { isRevisionService, portsOf, seenFromPods } from '../endpoints.ts';

/** Name of a map or set → key → value; '' in sets. */
export type Elements = ReadonlyMap<MapName, ReadonlyMap<string, string>>;
/**
 * `services`: address . protocol . port → chain. `node_ports`: protocol . port → chain. The others have what is to be
 * refused, as nothing is behind it; cluster IPs need none, since whatever still goes to one is refused.
 */
export type MapName = 'services' | 'node_ports' | 'empty_services' | 'empty_node_ports';
export const mapNames: readonly MapName[] = ['services', 'node_ports', 'empty_services', 'empty_node_ports'];

export interface Chain {
  readonly rules: readonly string[];
  /** A set of the chain's own name with the clients that are to come back, kept for this long, seconds. */
  readonly clientsFor?: number;
}

/** The rules of one Service, or of all. Chains are in an order in which none names a later one. */
export interface RuleSet {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly elements: Elements;
}

export interface RulePlace {
  /** Where pods reach this machine. */
  readonly hostAddress: string;
}

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** True when connections to the cluster IP of the Service are to be forwarded by rules. */
export function isProxied(service: Service): boolean {
  const { clusterIP, type } = service.spec ?? {};
  if (type === 'ExternalName' || clusterIP === undefined || clusterIP === headless) return false;
  return isIPv4(clusterIP) && !isRevisionService(service);
}

/** The rules of one Service; empty for one that has none. */
export function makeRules(service: Service, slices: readonly EndpointSlice[], place: RulePlace): RuleSet {
  const chains = new Map<string, Chain>();
  const elements = new Map<MapName, Map<string, string>>(mapNames.map((name) => [name, new Map()]));
  if (!isProxied(service)) return { chains, elements };
  const { spec = {} } = service;
  const behind = portsOf(slices);
  const affinity =
    spec.sessionAffinity === 'ClientIP'
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
      : undefined;
  const others = [
    ...(spec.externalIPs ?? []),
    ...(service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip ? [ip] : [])),
  ].filter((ip) => isIPv4(ip));
  for (const port of spec.ports ?? []) {
    const protocol = (port.protocol ?? 'TCP').toLowerCase();
    const targets = targetsOf(port, behind, place);
    const hasTargets = targets.length > 0;
    const chain = hasTargets ? addChains(chains, service, port, protocol, targets, affinity) : '';
    const put = (name: MapName, key: string): void => void elements.get(name)?.set(key, chain);
    if (hasTargets) put('services', `${spec.clusterIP} . ${protocol} . ${port.port}`);
    for (const ip of others)
      put(hasTargets ? 'services' : 'empty_services', `${ip} . ${protocol} . ${port.port}`);
    if (port.nodePort) put(hasTargets ? 'node_ports' : 'empty_node_ports', `${protocol} . ${port.nodePort}`);
  }
  return { chains, elements };
}

/** `address:port` of each endpoint, sorted, so that the same endpoints give the same rules. */
function targetsOf(
  port: ServicePort,
  behind: ReturnType<typeof portsOf>,
  { hostAddress }: RulePlace,
): string[] {
  const targets = behind
    .filter(({ name, protocol }) => name === (port.name ?? '') && protocol === (port.protocol ?? 'TCP'))
    .flatMap((group) =>
      group.endpoints
        .filter(({ ip }) => isIPv4(ip))
        .map(({ ip }) => `${seenFromPods(ip, hostAddress)}:${group.port}`),
    );
  return [...new Set(targets)].sort();
}

/** Adds the chains of one port and returns the name of the one to go to. */
function addChains(
  chains: Map<string, Chain>,
  service: Service,
  port: ServicePort,
  protocol: string,
  targets: readonly string[],
  affinity: number | undefined,
): string {
  const id = `${service.metadata.uid}/${protocol}/${port.port}`;
  // A set cannot change how long it remembers, so that another time makes another name.
  const names = targets.map((target) => `e${digest(`${id}/${target}/${affinity ?? ''}`)}`);
  targets.forEach((target, i) => {
    const name = names[i] ?? '';
    const remember = affinity === undefined ? [] : [`update @${name} { ip saddr }`];
    const rules = [...remember, `meta l4proto ${protocol} dnat to ${target}`];
    chains.set(name, { rules, ...(affinity === undefined ? {} : { clientsFor: affinity }) });
  });
  const chain = `s${digest(id)}`;
  const back = affinity === undefined ? [] : names.map((name) => `ip saddr @${name} goto ${name}`);
  const pick = names.map((name, i) => `${i} : goto ${name}`).join(', ');
  const choose =
    names.length === 1 ? `goto ${names[0]}` : `numgen random mod ${names.length} vmap { ${pick} }`;
  chains.set(chain, { rules: [...back, `${choose} comment "${commentOf(service, port)}"`] });
  return chain;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** For people who list the rules. nft takes 128 bytes at most. */
function commentOf(service: Service, { name, port }: ServicePort): string {
  return `${keyOf(service)}:${name ?? port}`.replace(/[^\w./:-]/g, '').slice(0, 120);
}

/**
 * All rules together. What two Services claim (an external IP, a node port) is the first one's, as one key cannot lead
 * to two places.
 */
export function mergeRules(parts: Iterable<RuleSet>): RuleSet {
  const chains = new Map<string, Chain>();
  const elements = new Map<MapName, Map<string, string>>(mapNames.map((name) => [name, new Map()]));
  for (const part of parts) {
    for (const [name, chain] of part.chains) chains.set(name, chain);
    for (const [map, entries] of part.elements) {
      const all = elements.get(map);
      for (const [key, value] of entries) if (all && !all.has(key)) all.set(key, value);
    }
  }
  return { chains, elements };
}
