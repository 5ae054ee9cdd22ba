/**
 * The network of pods: one bridge of this Knapsack, one veth pair and one named network namespace per pod. Pods reach
 * each other and this machine, and are reached from it; the way to other machines is `outbound.ts`'s.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { KnapsackError } from '../../../base/errors.ts';
import { quote, type Shell } from '../shell.ts';

const netnsDir = '/run/netns';
/** Second octets of 10.0.0.0/8 that are seldom in use. */
const firstOctet = 128;
const octets = 120;
/** Host numbers of a /16 that pods get; the first is the bridge. */
const firstHost = 2;
const lastHost = 65_533;

export class PodNetwork {
  readonly bridge: string;
  /** Address of the bridge: this machine, seen from pods. */
  readonly gateway: string;
  /** Of every pod, `10.x.0.0/16`. */
  readonly subnet: string;
  readonly #shell: Shell;
  readonly #tag: string;
  readonly #prefix: string;
  readonly #used = new Set<string>();
  #next = firstHost;
  #ready: Promise<void> | undefined;

  constructor(shell: Shell, tag: string, prefix: string) {
    this.#shell = shell;
    this.#tag = tag;
    this.#prefix = prefix;
    this.bridge = `kns${tag}`;
    this.gateway = `${prefix}.0.1`;
    this.subnet = `${prefix}.0.0/16`;
  }

  /** Makes the bridge, once. */
  ensureBridge(): Promise<void> {
    this.#ready ??= this.#makeBridge().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #makeBridge(): Promise<void> {
    const { bridge, gateway } = this;
    const add = batch([`link add ${bridge} type bridge`, `addr add ${gateway}/16 dev ${bridge}`]);
    const script = `{ ip link show ${bridge} >/dev/null 2>&1 || ${add}; } && ip link set ${bridge} up`;
    await this.#ip(script, `bridge ${bridge}`);
  }

  netnsName(uid: string): string {
    return `knapsack-${this.#tag}-${uid}`;
  }

  /** Through this process, because a runtime in another mount namespace does not see the name. */
  netnsPath(uid: string): string {
    return `/proc/${process.pid}/root${netnsDir}/${this.netnsName(uid)}`;
  }

  /** Whether the namespace of a pod still exists, with the address that it had. */
  adopt(uid: string, ip: string): boolean {
    if (!ip.startsWith(`${this.#prefix}.`) || !existsSync(`${netnsDir}/${this.netnsName(uid)}`)) return false;
    this.#used.add(ip);
    return true;
  }

  /** Makes namespace and veth pair, and returns the address. Throws NODE_NETWORK_FAILED. */
  async attach(uid: string): Promise<string> {
    await this.ensureBridge();
    const ip = this.#allocate();
    const netns = this.netnsName(uid);
    const veth = `kv${createHash('sha256').update(netns).digest('hex').slice(0, 12)}`;
    const outside = batch([
      `netns add ${netns}`,
      `link add ${veth} type veth peer name eth0 netns ${netns}`,
      `link set ${veth} master ${this.bridge} up`,
    ]);
    const inside = batch(
      [
        'link set lo up',
        `addr add ${ip}/16 dev eth0`,
        'link set eth0 up',
        `route add default via ${this.gateway}`,
      ],
      `-n ${netns}`,
    );
    try {
      await this.#ip(`${outside} && ${inside}`, `network of pod ${uid}`);
    } catch (error) {
      await this.detach(uid, ip);
      throw error;
    }
    return ip;
  }

  /** Removes the namespace; the veth pair goes with it. */
  async detach(uid: string, ip: string): Promise<void> {
    await this.#shell.run(`ip netns del ${this.netnsName(uid)} || :`);
    this.#used.delete(ip);
  }

  /** Removes the namespaces of pods that are no more. */
  async sweep(livePodUids: ReadonlySet<string>): Promise<void> {
    const prefix = this.netnsName('');
    if (!existsSync(netnsDir)) return;
    for (const name of readdirSync(netnsDir)) {
      if (!name.startsWith(prefix) || livePodUids.has(name.slice(prefix.length))) continue;
      await this.#shell.run(`ip netns del ${quote(name)} || :`);
    }
  }

  async close(): Promise<void> {
    await this.#shell.run(`ip link del ${this.bridge} 2>/dev/null || :`);
    this.#ready = undefined;
  }

  async #ip(script: string, what: string): Promise<void> {
    const { code, output } = await this.#shell.run(script);
    if (code !== 0) throw new KnapsackError('NODE_NETWORK_FAILED', `${what}: ${output.trim()}`);
  }

  /** Goes round, so that an address rests before another pod gets it. */
  #allocate(): string {
    for (let tries = 0; tries <= lastHost; tries++) {
      const host = this.#next;
      this.#next = host >= lastHost ? firstHost : host + 1;
      const ip = `${this.#prefix}.${host >> 8}.${host & 255}`;
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
 * `10.x` for this data directory: the same at each start while it is free, another where this machine has an interface
 * in it already.
 */
export function choosePrefix(tag: string, bridge: string): string {
  const addresses = Object.entries(networkInterfaces())
    .filter(([name]) => name !== bridge)
    .flatMap(([, list]) => list ?? [])
    .map(({ address }) => address);
  const own = networkInterfaces()[bridge]?.find(({ family }) => family === 'IPv4')?.address;
  if (own) return own.split('.').slice(0, 2).join('.');
  const start = Number.parseInt(tag.slice(0, 6), 16);
  for (let i = 0; i < octets; i++) {
    const prefix = `10.${firstOctet + ((start + i) % octets)}`;
    if (!addresses.some((address) => address.startsWith(`${prefix}.`))) return prefix;
  }
  throw new KnapsackError(
    'NODE_NETWORK_FAILED',
    'no free address range for pods in 10.128.0.0 to 10.247.0.0',
  );
}
