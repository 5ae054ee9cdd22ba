/**
 * Names and addresses of Services, for pods and for this machine: what kube-proxy and CoreDNS do on a cluster. How it is
 * put together:
 *
 * ```ts
 * const network = new ServiceNetwork({ informers, … });
 * const dns = await network.open({ tag, hostAddress, pods });   // before any pod starts
 * const problem = await network.settled();                      // rules are in place, or why not
 * …
 * await network.close();                                        // after the last pod
 * ```
 */
import type { Clock } from '../base/clock.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { namespaces } from '../api/kubernetes/index.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { endpointSlices, services } from '../api/kubernetes/services.ts';
import type { Informers } from '../kube/client/informer.ts';
import type { DnsServer } from './dns/server.ts';
import { zoneName, type ZoneSource } from './dns/zone.ts';
import { serviceNameLabel } from './endpoints.ts';
import type { Redirect } from './proxy/nft.ts';
import { nftProgram } from './proxy/nft-program.ts';
import { ServiceProxy } from './proxy/proxy.ts';
import { isProxied } from './proxy/rules.ts';
import { openServiceRoute } from './route.ts';

/** The ports that clients take for granted. */
const dnsPort = 53;
const httpPort = 80;

export interface NetworkOptions {
  readonly informers: Informers;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where cluster IPs come from, `10.x.0.0/16`. */
  readonly range: string;
  /** Paths of programs; undefined where there is none, or no right to use it. */
  readonly programs: { readonly nft: string | undefined; readonly ip: string | undefined };
  /** Other machines may use node ports. */
  readonly open: boolean;
  /** Serves cluster-local HTTP at a further address, and resolves with its port. Throws CLI_PORT_TAKEN. */
  readonly listenLocal: (address: { host: string; port: number }) => Promise<{ readonly port: number }>;
}

/** Where pods are, seen from this machine. */
export interface NetworkPlace {
  readonly tag: string;
  /** Where pods reach this machine. */
  readonly hostAddress: string;
  /** The network of pods; undefined where they use that of this machine. */
  readonly pods: { readonly bridge: string; readonly subnet: string } | undefined;
}

export class ServiceNetwork {
  readonly #options: NetworkOptions;
  readonly #log: Logger;
  #dns: DnsServer | undefined;
  #endDns: () => void = () => undefined;
  #proxy: ServiceProxy | undefined;
  #settled: Promise<string | undefined> = Promise.resolve(undefined);
  /** Cluster IPs can be connected to, as far as is known. */
  #isProxying = false;
  #gateway: { readonly host: string; readonly port: number } | undefined;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#log = options.log.child({ component: 'network' });
  }

  /** Where pods ask for names; undefined where they ask as this machine does. Never rejects: pods run without it, too. */
  async open(place: NetworkPlace): Promise<{ readonly server: string; readonly domain: string } | undefined> {
    const { nft } = this.#options.programs;
    const redirects: Redirect[] = [];
    const problems: string[] = [];
    if (place.pods) {
      await this.#serveHttp(place.hostAddress, redirects).catch((error: unknown) => {
        problems.push(`pods cannot reach Knative services by name: ${messageOf(error)}`);
      });
      await this.#serveDns(place, place.pods, redirects).catch((error: unknown) => {
        problems.push(`pods do not find Services by name: ${messageOf(error)}`);
      });
    }
    if (nft === undefined) {
      if (redirects.length > 0)
        problems.push('ports of pods’ names are taken by another program, and only nft could lead around it');
      problems.push(
        'cluster IPs and node ports of Services lead nowhere: they take root and nft (Debian: apt-get install nftables)',
      );
      this.#settled = Promise.resolve(this.#tell(problems));
    } else {
      this.#isProxying = true;
      this.#settled = this.#startProxy(nft, place, redirects).then((problem) =>
        this.#tell(problem === undefined ? problems : [...problems, problem]),
      );
      // Only then can it be asked at its usual port.
      if (redirects.length > 0) await this.#settled;
    }
    const isUsable = this.#dns && (this.#dns.udpPort === dnsPort || this.#isProxying);
    return isUsable ? { server: place.hostAddress, domain: zoneName } : undefined;
  }

  /** Where pods reach cluster-local HTTP; undefined where they reach the listeners of this machine themselves. */
  get gateway(): { readonly host: string; readonly port: number } | undefined {
    return this.#gateway;
  }

  /** Why something does not work, for people; undefined when everything does. */
  settled(): Promise<string | undefined> {
    return this.#settled;
  }

  #tell(problems: readonly string[]): string | undefined {
    for (const problem of problems) this.#log.warn({ problem }, 'names and addresses of Services');
    return problems.length > 0 ? problems.join('; ') : undefined;
  }

  async #startProxy(
    nft: string,
    place: NetworkPlace,
    redirects: readonly Redirect[],
  ): Promise<string | undefined> {
    const { informers, clock, range, open, programs } = this.#options;
    const { tag, pods: network, hostAddress } = place;
    this.#proxy = new ServiceProxy({
      informers,
      clock,
      log: this.#log,
      place: { tag, range, pods: network, open, redirects },
      hostAddress,
      run: nftProgram(nft),
    });
    const problem = await this.#proxy.start();
    if (problem !== undefined) {
      this.#isProxying = false;
      return `cluster IPs and node ports of Services lead nowhere: ${problem}`;
    }
    // After the rules, which keep pods from this machine's loopback.
    if (!network || programs.ip === undefined) return undefined;
    return openServiceRoute(programs.ip, { range, bridge: network.bridge, source: hostAddress });
  }

  /** The gateway at the address and port that names of Knative services lead to. */
  async #serveHttp(host: string, redirects: Redirect[]): Promise<void> {
    const { listenLocal } = this.#options;
    this.#gateway = { host, port: httpPort };
    try {
      await listenLocal({ host, port: httpPort });
    } catch (error) {
      if (!(error instanceof KnapsackError) || error.code !== 'CLI_PORT_TAKEN') throw error;
      const { port } = await listenLocal({ host, port: 0 });
      redirects.push({ protocol: 'tcp', host, from: httpPort, to: port });
    }
  }

  async #serveDns(
    { hostAddress }: NetworkPlace,
    { subnet }: { readonly subnet: string },
    redirects: Redirect[],
  ): Promise<void> {
    // Nobody else pays for loading it.
    const [{ startDnsServer }, { Forwarder }, { Resolver }, { NameServers }, { Zone }] = await Promise.all([
      import('./dns/server.ts'),
      import('./dns/forwarder.ts'),
      import('./dns/resolver.ts'),
      import('./dns/upstreams.ts'),
      import('./dns/zone.ts'),
    ]);
    const { informers, range } = this.#options;
    const upstreams = new NameServers([hostAddress]);
    const forwarder = new Forwarder({ servers: () => upstreams.current() });
    const zone = new Zone(this.#source(), { server: hostAddress, networks: [range, subnet] });
    const ready = Promise.all([
      informers.for(services).synced(),
      informers.for(endpointSlices).synced(),
      informers.for(namespaces).synced(),
      informers.for(pods).synced(),
    ]).then(() => undefined);
    const prefix = subnet.split('.').slice(0, 2).join('.');
    this.#dns = await startDnsServer({
      resolver: new Resolver({ zone, forwarder, ready }),
      host: hostAddress,
      port: dnsPort,
      answers: (address) => address.startsWith(`${prefix}.`) || address.startsWith('127.'),
      log: this.#log,
    });
    this.#endDns = () => forwarder.close();
    const { udpPort, tcpPort } = this.#dns;
    if (udpPort !== dnsPort)
      redirects.push({ protocol: 'udp', host: hostAddress, from: dnsPort, to: udpPort });
    if (tcpPort !== dnsPort)
      redirects.push({ protocol: 'tcp', host: hostAddress, from: dnsPort, to: tcpPort });
  }

  #source(): ZoneSource {
    const { informers } = this.#options;
    const [all, slices, spaces, podCache] = [
      informers.for(services),
      informers.for(endpointSlices),
      informers.for(namespaces),
      informers.for(pods),
    ];
    return {
      service: (namespace, name) => all.get(`${namespace}/${name}`),
      services: () => all.list(),
      slices: (namespace, name) => slices.list({ namespace, labels: { [serviceNameLabel]: name } }),
      hasNamespace: (name) => spaces.get(name) !== undefined,
      hasPod: (namespace, address) =>
        podCache.list({ namespace }).some(({ status }) => status?.podIP === address),
      isProxied: (service) => this.#isProxying && isProxied(service),
    };
  }

  /** Rules and servers are gone afterwards. */
  async close(): Promise<void> {
    this.#endDns();
    await Promise.all([this.#dns?.close(), this.#proxy?.close()]);
  }
}
