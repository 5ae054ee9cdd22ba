/**
 * What the names of the cluster stand for, as "Kubernetes DNS-Based Service Discovery" 1.1.0 has it: Services, their
 * ports, the pods behind them, pods by address, and addresses back to names.
 */
import { isIPv4 } from 'node:net';
import { headless, type EndpointSlice, type Service } from '../../api/kubernetes/services.ts';
import { endpointsOf, portsOf, seenFromPods, type Endpoint } from '../endpoints.ts';
import { rcodes, types, type DnsRecord, type Reply } from './message.ts';
import { labelsOf } from './name.ts';

/** The cluster's domain. */
export const zoneName = 'cluster.local';
/** Endpoints come and go: answers are good for this long, seconds. */
export const ttl = 5;

/** What there is. */
export interface ZoneSource {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, name: string): readonly EndpointSlice[];
  hasNamespace(name: string): boolean;
  /** Whether a pod of the namespace has the address. */
  hasPod(namespace: string, address: string): boolean;
  /** All Services, for the way back from an address. */
  services(): readonly Service[];
  /** True when the cluster IP of the Service can be connected to; otherwise the pods behind it stand in. */
  isProxied(service: Service): boolean;
}

export interface ZonePlace {
  /** Where this server is. */
  readonly server: string;
  /** Networks whose addresses have no names but those from here, `10.x.0.0/16`: Services and pods. */
  readonly networks: readonly string[];
}

/** An answer. `target`: an alias that was not followed yet. */
export interface ZoneReply extends Reply {
  readonly target?: string;
}

export class Zone {
  readonly #source: ZoneSource;
  readonly #place: ZonePlace;
  readonly #shuffle: <T>(items: readonly T[]) => T[];

  constructor(source: ZoneSource, place: ZonePlace, shuffle = shuffled) {
    this.#source = source;
    this.#place = place;
    this.#shuffle = shuffle;
  }

  /** The answer to a name in lower case; undefined for names of others. */
  answer(name: string, type: number): ZoneReply | undefined {
    const apex = this.#apexOf(name);
    if (apex === undefined) return undefined;
    const records = apex === zoneName ? this.#forward(name) : this.#reverse(name, apex);
    const soa: DnsRecord = {
      type: 'SOA',
      name: apex,
      ttl,
      server: `ns.dns.${zoneName}`,
      mailbox: `hostmaster.${zoneName}`,
      negativeTtl: ttl,
    };
    if (name === apex && type === types.SOA) return { ...empty, answers: [soa] };
    if (!records) return { ...empty, rcode: rcodes.nameError, authority: [soa] };
    const alias = records.answers.find((record) => record.type === 'CNAME');
    if (alias?.type === 'CNAME') {
      const follows = type !== types.CNAME && type !== types.ANY;
      return { ...empty, answers: [alias], ...(follows ? { target: alias.target } : {}) };
    }
    const answers = records.answers.filter((record) => type === types.ANY || types[record.type] === type);
    if (answers.length === 0) return { ...empty, authority: [soa] };
    const additional = type === types.SRV ? (records.additional ?? []) : [];
    return { ...empty, answers: this.#shuffle(answers), additional };
  }

  #apexOf(name: string): string | undefined {
    if (name === zoneName || name.endsWith(`.${zoneName}`)) return zoneName;
    return this.#place.networks
      .map((network) => `${network.split('.').slice(0, 2).reverse().join('.')}.in-addr.arpa`)
      .find((apex) => name === apex || name.endsWith(`.${apex}`));
  }

  /** Records of a name below cluster.local; undefined when there is no such name. */
  #forward(name: string): Found | undefined {
    const path = labelsOf(name).slice(0, -labelsOf(zoneName).length).reverse();
    const [kind, namespace, first, ...rest] = path;
    if (kind === undefined) return { answers: [{ type: 'NS', name, ttl, target: `ns.dns.${zoneName}` }] };
    if (kind === 'dns-version' && path.length === 1)
      return { answers: [{ type: 'TXT', name, ttl, text: '1.1.0' }] };
    if (kind === 'dns' && path.length === 1) return nothing;
    if (kind === 'dns' && namespace === 'ns' && path.length === 2)
      return { answers: [addressRecord(name, this.#place.server)] };
    if (kind !== 'svc' && kind !== 'pod') return undefined;
    if (namespace === undefined) return nothing;
    if (first === undefined) return this.#source.hasNamespace(namespace) ? nothing : undefined;
    if (kind === 'pod') return rest.length === 0 ? this.#pod(name, namespace, first) : undefined;
    const service = this.#source.service(namespace, first);
    return service && this.#service(name, service, rest);
  }

  /** `10-1-2-3.namespace.pod`: only for pods that are there, so that nobody can have a name for any address. */
  #pod(name: string, namespace: string, dashed: string): Found | undefined {
    const address = dashed.replaceAll('-', '.');
    if (!isIPv4(address) || !this.#source.hasPod(namespace, address)) return undefined;
    return { answers: [addressRecord(name, address)] };
  }

  /** `rest`: the labels before the Service's name, from its side. */
  #service(name: string, service: Service, rest: readonly string[]): Found | undefined {
    const { externalName, type, clusterIP } = service.spec ?? {};
    if (type === 'ExternalName') {
      if (rest.length > 0 || externalName === undefined) return undefined;
      return {
        answers: [{ type: 'CNAME', name, ttl, target: externalName.toLowerCase().replace(/\.$/, '') }],
      };
    }
    const [first, second, ...more] = rest;
    if (more.length > 0) return undefined;
    const isProxied = this.#source.isProxied(service);
    const ports = this.#ports(service, isProxied);
    if (first === undefined) {
      const addresses = isProxied && clusterIP ? [clusterIP] : this.#endpoints(service).map(({ ip }) => ip);
      const answers = [...addresses.map((ip) => addressRecord(name, ip)), ...srvRecords(name, ports)];
      return { answers, additional: hostRecords(ports) };
    }
    if (second !== undefined) {
      const [protocol, port] = [first, second];
      const wanted = ports.filter(
        (one) => `_${one.protocol}` === protocol && `_${one.name}` === port && one.name,
      );
      return wanted.length === 0
        ? undefined
        : { answers: srvRecords(name, wanted), additional: hostRecords(wanted) };
    }
    if (ports.some(({ protocol }) => `_${protocol}` === first)) return nothing;
    // Only without a cluster IP are the pods behind a Service names of their own.
    if (isProxied) return undefined;
    const hosts = this.#endpoints(service).filter((endpoint) => hostOf(endpoint) === first);
    return hosts.length === 0 ? undefined : { answers: hosts.map(({ ip }) => addressRecord(name, ip)) };
  }

  #endpoints({ metadata: { namespace = '', name } }: Service): Endpoint[] {
    return endpointsOf(this.#source.slices(namespace, name)).map((endpoint) => this.#seen(endpoint));
  }

  /** Each port of the Service with the hosts that it is to be found at. */
  #ports(service: Service, isProxied: boolean): Port[] {
    const { namespace = '', name } = service.metadata;
    const base = nameOf(service);
    if (isProxied) {
      const { clusterIP = '', ports = [] } = service.spec ?? {};
      return ports.map((port) => ({
        name: port.name ?? '',
        protocol: (port.protocol ?? 'TCP').toLowerCase(),
        port: port.port,
        hosts: [{ name: base, address: clusterIP }],
      }));
    }
    return portsOf(this.#source.slices(namespace, name)).map((group) => ({
      name: group.name,
      protocol: group.protocol.toLowerCase(),
      port: group.port,
      hosts: group.endpoints
        .map((endpoint) => this.#seen(endpoint))
        .map((endpoint) => ({ name: `${hostOf(endpoint)}.${base}`, address: endpoint.ip })),
    }));
  }

  #seen(endpoint: Endpoint): Endpoint {
    return { ...endpoint, ip: seenFromPods(endpoint.ip, this.#place.server) };
  }

  /** Names of an address of Services or pods. */
  #reverse(name: string, apex: string): Found | undefined {
    const parts = labelsOf(name).slice(0, -2);
    if (parts.length < 4)
      return name === apex || parts.every((part) => /^\d{1,3}$/.test(part)) ? nothing : undefined;
    const address = parts.reverse().join('.');
    if (!isIPv4(address)) return undefined;
    const answers = this.#source.services().flatMap((service): DnsRecord[] => {
      const { clusterIP, type } = service.spec ?? {};
      if (type === 'ExternalName') return [];
      if (clusterIP === address) return [{ type: 'PTR', name, ttl, target: nameOf(service) }];
      if (clusterIP !== headless) return [];
      return this.#endpoints(service)
        .filter(({ ip, hostname }) => ip === address && hostname !== undefined)
        .map((endpoint) => ({ type: 'PTR', name, ttl, target: `${hostOf(endpoint)}.${nameOf(service)}` }));
    });
    return answers.length === 0 ? undefined : { answers };
  }
}

/** All records of a name, of every type. */
interface Found {
  readonly answers: readonly DnsRecord[];
  /** Addresses of the hosts that SRV records name. */
  readonly additional?: readonly DnsRecord[];
}

interface Port {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
}

const nothing: Found = { answers: [] };
const empty: Reply = { rcode: rcodes.ok, authoritative: true, answers: [], authority: [], additional: [] };

function nameOf({ metadata: { namespace, name } }: Service): string {
  return `${name}.${namespace}.svc.${zoneName}`;
}

/** What a pod is called below its Service: as it calls itself, or by its address. */
function hostOf({ hostname, ip }: Endpoint): string {
  return hostname ?? ip.replace(/[.:]/g, '-');
}

function addressRecord(name: string, address: string): DnsRecord {
  return { type: isIPv4(address) ? 'A' : 'AAAA', name, ttl, address };
}

function srvRecords(name: string, ports: readonly Port[]): DnsRecord[] {
  return ports.flatMap(({ port, hosts }) =>
    hosts.map((host): DnsRecord => ({ type: 'SRV', name, ttl, port, target: host.name })),
  );
}

function hostRecords(ports: readonly Port[]): DnsRecord[] {
  const hosts = new Map(
    ports.flatMap((port) => port.hosts.map((host) => [`${host.name} ${host.address}`, host])),
  );
  return [...hosts.values()].map(({ name, address }) => addressRecord(name, address));
}

/** In another order each time, so that clients that take the first do not all take the same. */
function shuffled<T>(items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    const [a, b] = [out[i], out[j]];
    if (a !== undefined && b !== undefined) [out[i], out[j]] = [b, a];
  }
  return out;
}
