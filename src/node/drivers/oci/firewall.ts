/**
 * What lets pods reach other machines, as text for `nft` or `iptables-restore`: what leaves the pods' subnet gets this
 * machine's address, and only answers come back. Everything is in a table (nft) or in chains (iptables) with the data
 * directory's tag in their name, so that it can be found again after a crash.
 */

export interface FirewallPlace {
  readonly tag: string;
  readonly bridge: string;
  /** `10.x.0.0/16`. */
  readonly subnet: string;
}

/** Programs of this machine by path; undefined where there is none. */
export interface FirewallPrograms {
  readonly nft: string | undefined;
  readonly iptables: { readonly save: string; readonly restore: string } | undefined;
}

/** What is there already. */
export interface Firewall {
  /** Our table of nft. */
  readonly hasTable: boolean;
  /** Tables of iptables with our chain. */
  readonly chains: readonly string[];
  /** Jumps to our chain, one for each time that it is there. */
  readonly jumps: readonly { readonly table: string; readonly from: string }[];
  /** Whether iptables' FORWARD chain drops what no rule of it accepts: Docker and ufw set that. */
  readonly forwardDrops: boolean;
  /** Tables of nft, iptables' own aside, that may drop what is forwarded: rules elsewhere cannot overrule them. */
  readonly blockers: readonly string[];
}

export type FirewallProgram = 'nft' | 'iptables';

const tableName = (tag: string): string => `knapsack_${tag}`;
const chainName = (tag: string): string => `KNAPSACK-${tag}`;
/** Where our chain hangs, by table of iptables. */
const places = [
  { table: 'nat', from: 'POSTROUTING' },
  { table: 'filter', from: 'FORWARD' },
] as const;

/** An extended regular expression for the lines that {@link parseFirewall} wants: rules of others can be thousands. */
export function firewallPattern(tag: string): string {
  return `^table |hook forward|^\\*|^:FORWARD |^-A FORWARD -j (DROP|REJECT)|${chainName(tag)}`;
}

/** `output`: of `nft list chains` and `iptables-save`, one after the other; either may be missing. */
export function parseFirewall(output: string, tag: string): Firewall {
  const chain = chainName(tag);
  const [chains, jumps, blockers]: [string[], { table: string; from: string }[], string[]] = [[], [], []];
  let [nftTable, table] = ['', ''];
  let [hasTable, forwardDrops] = [false, false];
  for (const line of output.split('\n').map((text) => text.trim())) {
    const [first = '', second = '', third = ''] = line.split(/\s+/);
    if (first === 'table') {
      nftTable = `${second} ${third}`;
      hasTable ||= nftTable === `ip ${tableName(tag)}`;
    } else if (line.includes('hook forward')) {
      // firewalld's policy is to accept, and its last rule is to reject.
      const mayDrop = line.includes('policy drop') || nftTable.endsWith(' firewalld');
      if (mayDrop && nftTable === 'ip filter') forwardDrops = true;
      else if (mayDrop && !nftTable.startsWith('ip6 ')) blockers.push(nftTable);
    } else if (first.startsWith('*')) table = first.slice(1);
    else if (first === ':FORWARD') forwardDrops ||= table === 'filter' && second === 'DROP';
    else if (first === `:${chain}`) chains.push(table);
    else if (line === `-A ${second} -j ${chain}`) jumps.push({ table, from: second });
    else if (/^-A FORWARD -j (?:DROP|REJECT)/.test(line)) forwardDrops ||= table === 'filter';
  }
  return { hasTable, chains, jumps, forwardDrops, blockers };
}

/**
 * Programs to try, the best first. nft, whose rules nobody else's tools touch, unless iptables' FORWARD chain drops: only
 * a rule in front of it there helps.
 */
export function decidePrograms(
  firewall: Firewall,
  { nft, iptables }: FirewallPrograms,
): readonly FirewallProgram[] {
  if (iptables && firewall.forwardDrops) return ['iptables'];
  return [...(nft === undefined ? [] : (['nft'] as const)), ...(iptables ? (['iptables'] as const) : [])];
}

/** For `nft -f -`; replaces the table in one transaction. Priorities as numbers, for versions without their names. */
export function makeNftRules({ tag, bridge, subnet }: FirewallPlace): string[] {
  const name = tableName(tag);
  return [
    ...nftReplaced(name),
    `add chain ip ${name} postrouting { type nat hook postrouting priority 100 ; }`,
    `add rule ip ${name} postrouting ip saddr ${subnet} oifname != "${bridge}" masquerade`,
    `add chain ip ${name} forward { type filter hook forward priority 0 ; }`,
    // Node ports that other machines may use have been led to a pod by now; nothing else of theirs is.
    `add rule ip ${name} forward oifname "${bridge}" ct status dnat accept`,
    `add rule ip ${name} forward iifname != "${bridge}" oifname "${bridge}" ct state != { established, related } drop`,
  ];
}

/** For `nft -f -`; works whether the table is there or not. */
export function makeNftRemoval(tag: string): string[] {
  return nftReplaced(tableName(tag)).slice(0, 2);
}

function nftReplaced(name: string): string[] {
  // Deleting what is not there fails; adding what is there does not.
  return [`add table ip ${name}`, `delete table ip ${name}`, `add table ip ${name}`];
}

/** For `iptables-restore --noflush`; each table in one transaction. Naming a chain that is there empties it. */
export function makeIptablesRules({ tag, bridge, subnet }: FirewallPlace, firewall: Firewall): string[] {
  const chain = chainName(tag);
  const rules = {
    nat: [`-s ${subnet} ! -o ${bridge} -j MASQUERADE`],
    filter: [
      `-i ${bridge} -j ACCEPT`,
      `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT`,
      `-o ${bridge} -j DROP`,
    ],
  };
  return places.flatMap(({ table, from }) => [
    `*${table}`,
    `:${chain} - [0:0]`,
    ...oldJumps(firewall, table, chain),
    ...rules[table].map((rule) => `-A ${chain} ${rule}`),
    `-I ${from} 1 -j ${chain}`,
    'COMMIT',
  ]);
}

/** For `iptables-restore --noflush`; empty when nothing of ours is there. */
export function makeIptablesRemoval(tag: string, firewall: Firewall): string[] {
  const chain = chainName(tag);
  const tables = new Set([...firewall.chains, ...firewall.jumps.map(({ table }) => table)]);
  return [...tables].flatMap((table) => [
    `*${table}`,
    ...oldJumps(firewall, table, chain),
    `-F ${chain}`,
    `-X ${chain}`,
    'COMMIT',
  ]);
}

function oldJumps(firewall: Firewall, table: string, chain: string): string[] {
  return firewall.jumps.filter((jump) => jump.table === table).map(({ from }) => `-D ${from} -j ${chain}`);
}
