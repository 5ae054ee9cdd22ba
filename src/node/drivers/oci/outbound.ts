/** Lets pods reach the machines that this machine reaches, and undoes that. Costs nothing when a pod starts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';
import {
  decidePrograms,
  firewallPattern,
  makeIptablesRemoval,
  makeIptablesRules,
  makeNftRemoval,
  makeNftRules,
  parseFirewall,
  type Firewall,
  type FirewallPlace,
  type FirewallProgram,
  type FirewallPrograms,
} from './firewall.ts';
import { quote, type Shell } from '../shell.ts';

const forwardingFile = '/proc/sys/net/ipv4/ip_forward';
/** How long iptables waits for another that changes rules, seconds. */
const lockWait = 5;

export interface OutboundOptions {
  readonly shell: Shell;
  readonly place: Omit<FirewallPlace, 'subnet'>;
  readonly programs: FirewallPrograms;
  readonly log: Logger;
}

export class Outbound {
  readonly #shell: Shell;
  readonly #place: Omit<FirewallPlace, 'subnet'>;
  readonly #programs: FirewallPrograms;
  readonly #log: Logger;

  constructor({ shell, place, programs, log }: OutboundOptions) {
    this.#shell = shell;
    this.#place = place;
    this.#programs = programs;
    this.#log = log;
  }

  /**
   * Puts exactly one set of rules in place, also after a crash. Returns why pods, whose addresses are `subnet`, cannot
   * reach other machines, for people, or undefined when they can. Throws only when the shell dies.
   */
  async open(subnet: string): Promise<string | undefined> {
    const place = { ...this.#place, subnet };
    const cannot = 'pods cannot reach other machines';
    if (this.#programs.nft === undefined && !this.#programs.iptables) {
      return `${cannot}: install nftables or iptables (Debian: apt-get install nftables)`;
    }
    const firewall = await this.#inspect();
    const failures: string[] = [];
    for (const program of decidePrograms(firewall, this.#programs)) {
      const { code, output } = await this.#shell.run(this.#replace(program, place, firewall));
      if (code !== 0) {
        failures.push(`${program}: ${output.trim()}`);
        continue;
      }
      const closed = this.#enableForwarding();
      if (closed !== undefined) return `${cannot}: ${closed}`;
      this.#log.info({ program, ...place }, 'pods reach other machines under the address of this one');
      return blockedBy(firewall, program, this.#place.bridge);
    }
    return `${cannot}: ${failures.join('; ')}`;
  }

  /** Removes the rules. Forwarding stays on: others may count on it by now. */
  async close(): Promise<void> {
    if (this.#programs.nft === undefined && !this.#programs.iptables) return;
    const firewall = await this.#inspect();
    const steps = this.#removal(firewall);
    if (steps.length === 0) return;
    const { code, output } = await this.#shell.run(steps.join('; '));
    if (code !== 0) this.#log.warn({ output: output.trim() }, 'firewall rules of pods not fully removed');
  }

  async #inspect(): Promise<Firewall> {
    const { nft, iptables } = this.#programs;
    const lists = [
      ...(nft === undefined ? [] : [`${quote(nft)} list chains 2>/dev/null`]),
      ...(iptables ? [`${quote(iptables.save)} 2>/dev/null`] : []),
    ];
    const { tag } = this.#place;
    const script = `{ ${lists.join('; ')}; } | grep -E ${quote(firewallPattern(tag))} || :`;
    const { output } = await this.#shell.run(script, true);
    return parseFirewall(output, tag);
  }

  /** One script: the rules, and what another program left of an earlier run. */
  #replace(program: FirewallProgram, place: FirewallPlace, firewall: Firewall): string {
    if (program === 'nft') {
      const stale = this.#iptables(makeIptablesRemoval(place.tag, firewall));
      return [this.#nft(makeNftRules(place)), ...stale].join(' && ');
    }
    const stale = firewall.hasTable ? [this.#nft(makeNftRemoval(place.tag))] : [];
    return [...this.#iptables(makeIptablesRules(place, firewall)), ...stale].join(' && ');
  }

  #removal(firewall: Firewall): string[] {
    const { tag } = this.#place;
    return [
      ...(firewall.hasTable ? [this.#nft(makeNftRemoval(tag))] : []),
      ...this.#iptables(makeIptablesRemoval(tag, firewall)),
    ];
  }

  #nft(lines: readonly string[]): string {
    return `${feed(lines)} | ${quote(this.#programs.nft ?? 'nft')} -f -`;
  }

  #iptables(lines: readonly string[]): string[] {
    const { iptables } = this.#programs;
    if (!iptables || lines.length === 0) return [];
    return [`${feed(lines)} | ${quote(iptables.restore)} -w ${lockWait} --noflush`];
  }

  /** Why this machine does not forward, or undefined when it does. */
  #enableForwarding(): string | undefined {
    try {
      if (readFileSync(forwardingFile, 'utf8').trim() !== '0') return undefined;
      writeFileSync(forwardingFile, '1');
      this.#log.info(
        { setting: 'net.ipv4.ip_forward', value: 1 },
        'forwarding turned on, so that pods reach other machines; it stays on',
      );
      return undefined;
    } catch (error) {
      return `net.ipv4.ip_forward is 0 and could not be set to 1 (${messageOf(error)})`;
    }
  }
}

function feed(lines: readonly string[]): string {
  return `printf '%s\\n' ${lines.map(quote).join(' ')}`;
}

function blockedBy(firewall: Firewall, program: FirewallProgram, bridge: string): string | undefined {
  const tables = firewall.blockers.map((table) => `nft table ${table}`);
  if (firewall.forwardDrops && program === 'nft') tables.push('the FORWARD chain of iptables');
  if (tables.length === 0) return undefined;
  return `pods may not reach other machines: let the firewall of this machine (${tables.join(', ')}) forward what comes from ${bridge}`;
}
