/**
 * The network of pods: one bridge of this Knapsack, one veth pair and one named network namespace per pod. Pods reach
 * each other and this machine, and are reached from it; the way to other machines is `outbound.ts`'s.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { KnapsackError } from '../../../base/errors.ts';
import { readRoutes } from '../../../base/ipv4-routes.ts';
import { quote, type Shell } from '../shell.ts';
import { choosePrefix, mustYield, prefixOf, type Surroundings } from './address-range.ts';

const netnsDir = '/run/netns';
/** Host numbers of a /16 that pods get; the first is the bridge. */
const firstHost = 2;
const lastHost = 65_533;
/** How often another range is tried when somebody took the same one at the same moment. */
const rangeTries = 8;
/** How long after a pod's start the next spare namespace is made: the start has the machine to itself before, ms. */
const spareAfterMs = 500;

/** A network namespace with its address and its way to the bridge. */
interface Namespace {
  readonly name: string;
  readonly ip: string;
  /** The end of its veth pair on this machine. */
  readonly link: string;
}

export class PodNetwork {
  readonly bridge: string;
  readonly #shell: Shell;
  readonly #tag: string;
  /** `10.x`; rests once it was found. */
  #prefix: string | undefined;
  readonly #used = new Set<string>();
  #next = firstHost;
  #ready: Promise<void> | undefined;
  /** By uid of the pod: names of namespaces. */
  readonly #names = new Map<string, string>();
  /** Made ahead: the kernel takes longer over a namespace than over anything else of a pod's start. */
  #spare: Namespace | undefined;
  /** The one that is being made. */
  #making: { readonly name: string; readonly done: Promise<void> } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(shell: Shell, tag: string) {
    this.#shell = shell;
    this.#tag = tag;
    this.bridge = `kns${tag}`;
  }

  get #range(): string {
    if (this.#prefix === undefined) throw new Error('the network of pods has not been opened');
    return this.#prefix;
  }

  /** Address of the bridge: this machine, seen from pods. Known once the bridge was made, as is the subnet. */
  get gateway(): string {
    return `${this.#range}.0.1`;
  }

  /** Of every pod, `10.x.0.0/16`. */
  get subnet(): string {
    return `${this.#range}.0.0/16`;
  }

  /** Makes the bridge, once. A bridge that is there keeps its range. Throws NODE_NETWORK_FAILED. */
  ensureBridge(): Promise<void> {
    this.#ready ??= this.#makeBridge().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #makeBridge(): Promise<void> {
    const { bridge } = this;
    for (let tries = 0; tries < rangeTries; tries++) {
      const wanted = this.#prefix ?? choosePrefix(this.#tag, lookAround(bridge));
      const prefix = await this.#addBridge(wanted);
      confine(bridge);
      if (!mustYield(prefix, bridge, readRoutes())) {
        this.#prefix ??= prefix;
        if (prefix === this.#prefix) return;
      }
      await this.#ip(`ip -4 addr flush dev ${bridge}`, `bridge ${bridge}`);
      if (this.#prefix !== undefined) break;
    }
    throw new KnapsackError(
      'NODE_NETWORK_FAILED',
      `bridge ${bridge}: another interface has its address range, so it gets no traffic; a restart finds another one`,
    );
  }

  /** Returns the range that the bridge has: its own when it was there with one, or else the one that is wanted. */
  async #addBridge(wanted: string): Promise<string> {
    const { bridge } = this;
    const show = `ip -4 -o addr show dev ${bridge}`;
    const address = `addr add ${wanted}.0.1/16 dev ${bridge}`;
    const up = `link set ${bridge} up`;
    const script = [
      `if ip link show ${bridge} >/dev/null 2>&1`,
      `then { ${show} | grep -q 'inet 10\\.[0-9]*\\.0\\.1/16' || ${batch([address])}; } && ${batch([up])}`,
      // The kernel routes the range from the moment that the bridge is up.
      `else ${batch([`link add ${bridge} type bridge`, address, up])}`,
      `fi && ${show}`,
    ].join('; ');
    const output = await this.#ip(script, `bridge ${bridge}`, true);
    return prefixOf(output) ?? wanted;
  }

  /** Of the pod's namespace, which exists from {@link attach} or {@link adopt} on. */
  netnsName(uid: string): string {
    return this.#names.get(uid) ?? `${this.#namePrefix}${uid}`;
  }

  get #namePrefix(): string {
    return `knapsack-${this.#tag}-`;
  }

  /** Through this process, because a runtime in another mount namespace does not see the name. */
  netnsPath(uid: string): string {
    return `/proc/${process.pid}/root${netnsDir}/${this.netnsName(uid)}`;
  }

  /** Whether the namespace of a pod still exists, with the name and the address that it had. */
  adopt(uid: string, name: string, ip: string): boolean {
    if (!name.startsWith(this.#namePrefix) || !ip.startsWith(`${this.#range}.`)) return false;
    if (!existsSync(`${netnsDir}/${name}`)) return false;
    this.#names.set(uid, name);
    this.#used.add(ip);
    return true;
  }

  /** Gives the pod a namespace on the bridge, and returns the address. Throws NODE_NETWORK_FAILED. */
  async attach(uid: string): Promise<string> {
    const spare = this.#takeSpare();
    this.#planSpare();
    if (spare) {
      this.#names.set(uid, spare.name);
      return spare.ip;
    }
    await this.ensureBridge();
    const name = `${this.#namePrefix}${uid}`;
    this.#names.set(uid, name);
    try {
      return (await this.#make(name)).ip;
    } catch (error) {
      this.#names.delete(uid);
      throw error;
    }
  }

  /** Makes namespace and veth pair; after a failure nothing of them is left. */
  async #make(name: string): Promise<Namespace> {
    const ip = this.#allocate();
    const link = `kv${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
    const outside = batch([
      `netns add ${name}`,
      `link add ${link} type veth peer name eth0 netns ${name}`,
      `link set ${link} master ${this.bridge} up`,
      // A pod that connects to a Service may be led to itself, where the kernel lets the bridge see to that (br_netfilter).
      `link set ${link} type bridge_slave hairpin on`,
    ]);
    const inside = batch(
      [
        'link set lo up',
        `addr add ${ip}/16 dev eth0`,
        'link set eth0 up',
        `route add default via ${this.gateway}`,
      ],
      `-n ${name}`,
    );
    try {
      await this.#ip(`${outside} && ${inside}`, `network namespace ${name}`);
    } catch (error) {
      // It would go with the namespace, but only a moment later, in the way of the next try.
      await this.#shell.run(`ip link del ${link} || :`);
      await this.#remove(name, ip);
      // Somebody may have removed the bridge: the next try looks.
      this.#ready = undefined;
      throw error;
    }
    return { name, ip, link };
  }

  /** The spare namespace, unless somebody has taken it, its link or the bridge away meanwhile. */
  #takeSpare(): Namespace | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    if (!spare || this.#isWhole(spare)) return spare;
    this.#remove(spare.name, spare.ip).catch(() => undefined);
    return undefined;
  }

  #isWhole({ name, link }: Namespace): boolean {
    const links = readLinks();
    return existsSync(`${netnsDir}/${name}`) && links.has(link) && links.has(this.bridge);
  }

  /** Soon makes a spare namespace, where there is none. */
  #planSpare(): void {
    if (this.#closed || this.#ready === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#closed || this.#spare || this.#making) return;
      const name = `${this.#namePrefix}${randomUUID()}`;
      const done = this.#makeSpare(name).finally(() => (this.#making = undefined));
      this.#making = { name, done };
    }, spareAfterMs).unref();
  }

  /** Without one the next pod makes its own, and learns why it cannot. */
  async #makeSpare(name: string): Promise<void> {
    try {
      await this.ensureBridge();
      this.#spare = await this.#make(name);
    } catch {
      this.#spare = undefined;
    }
  }

  async #remove(name: string, ip: string): Promise<void> {
    await this.#shell.run(`ip netns del ${quote(name)} || :`);
    this.#used.delete(ip);
  }

  /** Removes the namespace; the veth pair goes with it. */
  async detach(uid: string, ip: string): Promise<void> {
    await this.#remove(this.netnsName(uid), ip);
    this.#names.delete(uid);
  }

  /** Removes the namespaces of pods that are no more. Those that are have been adopted: from now on there is a spare one. */
  async sweep(livePodUids: ReadonlySet<string>): Promise<void> {
    const kept = new Set([...livePodUids].map((uid) => this.netnsName(uid)));
    for (const own of [this.#spare, this.#making]) if (own) kept.add(own.name);
    for (const name of this.#present()) {
      if (!kept.has(name)) await this.#shell.run(`ip netns del ${quote(name)} || :`);
    }
    this.#planSpare();
  }

  #present(): string[] {
    if (!existsSync(netnsDir)) return [];
    return readdirSync(netnsDir).filter((name) => name.startsWith(this.#namePrefix));
  }

  /** Removes what was made ahead, and with `everything` the bridge. Pods keep their namespaces. */
  async close(everything: boolean): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#making?.done;
    if (this.#spare) await this.#remove(this.#spare.name, this.#spare.ip);
    this.#spare = undefined;
    if (!everything) return;
    await this.#shell.run(`ip link del ${this.bridge} 2>/dev/null || :`);
    this.#ready = undefined;
  }

  async #ip(script: string, what: string, keepOutput = false): Promise<string> {
    const { code, output } = await this.#shell.run(script, keepOutput);
    if (code !== 0) throw new KnapsackError('NODE_NETWORK_FAILED', `${what}: ${output.trim()}`);
    return output;
  }

  /** Goes round, so that an address rests before another pod gets it. */
  #allocate(): string {
    for (let tries = 0; tries <= lastHost; tries++) {
      const host = this.#next;
      this.#next = host >= lastHost ? firstHost : host + 1;
      const ip = `${this.#range}.${host >> 8}.${host & 255}`;
      if ((host & 255) === 255 || (host & 255) === 0 || this.#used.has(ip)) continue;
      this.#used.add(ip);
      return ip;
    }
    throw new KnapsackError('NODE_NETWORK_FAILED', 'every pod address is in use');
  }
}

function batch(lines: readonly string[], options = ''): string {
  return `printf '%s\\n' ${lines.map(quote).join(' ')} | ip ${options} -batch -`;
}

/**
 * What pods send to the bridge must not change how this machine routes: an advertisement of a router, which a container
 * can make up, would lead its IPv6 traffic into a pod (CVE-2020-13401). And nobody sends under addresses of other networks.
 */
function confine(bridge: string): void {
  const settings = { [`ipv6/conf/${bridge}/accept_ra`]: '0', [`ipv4/conf/${bridge}/rp_filter`]: '1' };
  for (const [name, value] of Object.entries(settings)) {
    try {
      writeFileSync(`/proc/sys/net/${name}`, value);
    } catch {
      // Without IPv6 there is no such setting; in some surroundings settings cannot be changed.
    }
  }
}

function lookAround(bridge: string): Surroundings {
  const addresses = Object.entries(networkInterfaces()).map(
    ([name, list]) => [name, (list ?? []).map(({ address }) => address)] as const,
  );
  return { bridge, routes: readRoutes(), addresses: new Map(addresses) };
}

/** Names of the network links of this machine. */
function readLinks(): ReadonlySet<string> {
  const lines = readFileSync('/proc/net/dev', 'latin1').split('\n');
  return new Set(lines.map((line) => line.split(':', 1)[0]?.trim() ?? ''));
}
