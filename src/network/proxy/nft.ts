/**
 * Rules as text for `nft -f -`: all of them, and the way from one set to the next. Everything is in one table with the
 * data directory's tag in its name, so that it can be found again after a crash.
 */
import { mapNames, type Chain, type RuleSet } from './rules.ts';

export interface ProxyPlace {
  readonly tag: string;
  /** Where cluster IPs come from, `10.x.0.0/16`. */
  readonly range: string;
  /** The network of pods; undefined where pods use that of this machine. */
  readonly pods: { readonly bridge: string; readonly subnet: string } | undefined;
  /** Other machines may use node ports. */
  readonly open: boolean;
  /** Ports of the pods' side of this machine that lead to another one there. */
  readonly redirects: readonly Redirect[];
}

export interface Redirect {
  readonly protocol: 'tcp' | 'udp';
  /** An address of this machine. */
  readonly host: string;
  readonly from: number;
  readonly to: number;
}

const mapTypes = {
  services: 'map ip T services { type ipv4_addr . inet_proto . inet_service : verdict ; }',
  node_ports: 'map ip T node_ports { type inet_proto . inet_service : verdict ; }',
  empty_services: 'set ip T empty_services { type ipv4_addr . inet_proto . inet_service ; }',
  empty_node_ports: 'set ip T empty_node_ports { type inet_proto . inet_service ; }',
} as const;

/** Of the table with the rules of Services. */
export function proxyTable(tag: string): string {
  return `knapsack_${tag}_services`;
}

/** Puts these rules, and nothing else, into the table, in one transaction. */
export function makeTable(place: ProxyPlace, rules: RuleSet): string {
  return withTable(place.tag, [
    ...makeRemovalLines(),
    'add table ip T',
    ...frame(place),
    ...additions(rules),
  ]);
}

/** Works whether the table is there or not. */
export function makeTableRemoval(tag: string): string {
  return withTable(tag, makeRemovalLines());
}

function makeRemovalLines(): string[] {
  // Deleting what is not there fails; adding what is there does not.
  return ['add table ip T', 'delete table ip T'];
}

function withTable(tag: string, lines: readonly string[]): string {
  return lines.map((line) => `${line.replace(/ip T(?=$| )/, `ip ${proxyTable(tag)}`)}\n`).join('');
}

/** What does not change. Priorities as numbers, for versions without their names. */
function frame({ range, pods, open, redirects }: ProxyPlace): string[] {
  const bridge = pods && `"${pods.bridge}"`;
  // Cluster IPs are addresses of this machine, too, as far as the kernel routes them.
  const local = `ip daddr != ${range} fib daddr type local meta l4proto . th dport`;
  const nodePorts = `${local} vmap @node_ports`;
  const chain = (name: string, type: string, hook: string, priority: number): string =>
    `add chain ip T ${name} { type ${type} hook ${hook} priority ${priority} ; }`;
  const rule = (name: string, text: string): string => `add rule ip T ${name} ${text}`;
  const lines = [
    ...mapNames.map((name) => `add ${mapTypes[name]}`),
    'add chain ip T find',
    ...redirects.map(({ protocol, host, from, to }) =>
      rule('find', `ip daddr ${host} ${protocol} dport ${from} dnat to ${host}:${to}`),
    ),
    rule('find', 'ip daddr . meta l4proto . th dport vmap @services'),
    // The kernel sends few ICMP messages to one address, so that TCP is refused by its own means.
    'add chain ip T deny',
    rule('deny', 'meta l4proto tcp reject with tcp reset'),
    rule('deny', 'reject'),
    'add chain ip T refuse',
    rule('refuse', `ip daddr ${range} goto deny`),
    rule('refuse', 'ip daddr . meta l4proto . th dport @empty_services goto deny'),
    rule('refuse', `${local} @empty_node_ports goto deny`),
    chain('output', 'nat', 'output', -100),
    rule('output', 'jump find'),
    rule('output', nodePorts),
    chain('output_filter', 'filter', 'output', 0),
    rule('output_filter', 'jump refuse'),
  ];
  if (bridge === undefined || !pods) return lines;
  const from = open ? '' : `iifname ${bridge} `;
  return [
    ...lines,
    // Answers to this machine's own loopback come back through the bridge; nothing else may address it from there.
    chain('guard', 'filter', 'prerouting', -300),
    rule('guard', `iifname ${bridge} ip daddr 127.0.0.0/8 drop`),
    // Other machines may know a way to these addresses; what is served there is for this one and its pods.
    rule('guard', `iifname != { "lo", ${bridge} } ip daddr { ${pods.subnet}, ${range} } drop`),
    chain('prerouting', 'nat', 'prerouting', -100),
    rule('prerouting', `iifname ${bridge} jump find`),
    rule('prerouting', `${from}${nodePorts}`),
    chain('forward', 'filter', 'forward', 0),
    rule('forward', `iifname ${bridge} jump refuse`),
    chain('input', 'filter', 'input', 0),
    rule('input', `${from}jump refuse`),
    // A pod that is told of the shorter way to another would take it, and the answer would come from the wrong address.
    rule('output_filter', `oifname ${bridge} icmp type redirect drop`),
    // The answer has to come back this way, and not directly to a pod of the same network, nor to loopback.
    chain('postrouting', 'nat', 'postrouting', 99),
    rule(
      'postrouting',
      `ip saddr { ${pods.subnet}, 127.0.0.0/8 } oifname ${bridge} ct status dnat masquerade`,
    ),
  ];
}

function additions({ chains, elements }: RuleSet): string[] {
  return [
    ...[...chains].flatMap(([name, chain]) => [...clientSet(name, chain), `add chain ip T ${name}`]),
    ...[...chains].flatMap(([name, chain]) => chainRules(name, chain)),
    ...mapNames.flatMap((map) => elementLines('add', map, [...(elements.get(map) ?? [])])),
  ];
}

function clientSet(name: string, { clientsFor }: Chain): string[] {
  if (clientsFor === undefined) return [];
  return [`add set ip T ${name} { type ipv4_addr ; flags dynamic,timeout ; timeout ${clientsFor}s ; }`];
}

function chainRules(name: string, { rules }: Chain): string[] {
  return rules.map((text) => `add rule ip T ${name} ${text}`);
}

/** Elements in lines of a bearable length. */
function elementLines(
  verb: 'add' | 'delete',
  map: string,
  entries: readonly (readonly [key: string, chain: string])[],
): string[] {
  const lines: string[] = [];
  for (let i = 0; i < entries.length; i += 100) {
    const list = entries
      .slice(i, i + 100)
      .map(([key, chain]) => (chain === '' ? key : `${key} : goto ${chain}`));
    lines.push(`${verb} element ip T ${map} { ${list.join(', ')} }`);
  }
  return lines;
}

/**
 * Leads from the rules that are in the table to others, in one transaction; '' when they are the same. Who came back to
 * the same endpoint goes on doing so.
 */
export function makeTableChange(tag: string, before: RuleSet, after: RuleSet): string {
  const lines: string[] = [];
  for (const map of mapNames) {
    const [old, next] = [before.elements.get(map), after.elements.get(map)];
    const gone = [...(old ?? [])].filter(([key, value]) => next?.get(key) !== value);
    lines.push(...elementLines('delete', map, gone));
  }
  const changed = [...after.chains].filter(([name, chain]) => !isSame(before.chains.get(name), chain));
  const gone = [...before.chains].filter(([name]) => !after.chains.has(name));
  // Whoever goes to a chain that is to be deleted has to let go of it first.
  const emptied = [...gone, ...changed].filter(([name]) => before.chains.has(name));
  lines.push(...emptied.map(([name]) => `flush chain ip T ${name}`));
  for (const [name, { clientsFor }] of gone) {
    lines.push(`delete chain ip T ${name}`);
    if (clientsFor !== undefined) lines.push(`delete set ip T ${name}`);
  }
  for (const [name, chain] of changed) {
    if (!before.chains.has(name)) lines.push(...clientSet(name, chain), `add chain ip T ${name}`);
  }
  for (const [name, chain] of changed) lines.push(...chainRules(name, chain));
  for (const map of mapNames) {
    const [old, next] = [before.elements.get(map), after.elements.get(map)];
    const fresh = [...(next ?? [])].filter(([key, value]) => old?.get(key) !== value);
    lines.push(...elementLines('add', map, fresh));
  }
  return withTable(tag, lines);
}

function isSame(one: Chain | undefined, other: Chain): boolean {
  return (
    one !== undefined &&
    one.rules.length === other.rules.length &&
    one.rules.every((rule, i) => rule === other.rules[i])
  );
}
