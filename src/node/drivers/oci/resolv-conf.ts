/**
 * /etc/resolv.conf of pods: the cluster's name server, or the servers of this machine, and what the pod adds. Of this
 * machine's servers a pod with a network of its own gets those that can be reached from there: a resolver on loopback
 * (systemd-resolved's 127.0.0.53, dnsmasq) answers this machine only.
 */
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import type { Logger } from '../../../base/log.ts';
import type { PodDns } from '../driver.ts';

const hostFile = '/etc/resolv.conf';
/** Where systemd-resolved keeps the servers that it asks itself (systemd-resolved.service(8), "/etc/resolv.conf"). */
const upstreamFile = '/run/systemd/resolve/resolv.conf';
/** The C library reads no more of them (resolv.conf(5), MAXNS). */
const maxServers = 3;

interface ResolvConf {
  readonly servers: readonly string[];
  /** Every line that names no server and is no comment: search, options… */
  readonly rest: readonly string[];
}

function parse(text: string): ResolvConf {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^[#;]/.test(line));
  const isServer = (line: string): boolean => /^nameserver(?:\s|$)/.test(line);
  return {
    servers: lines.filter(isServer).map((line) => line.split(/\s+/)[1] ?? ''),
    rest: lines.filter((line) => !isServer(line)),
  };
}

/** Pods have IPv4 addresses only; 0.0.0.0 means the asking machine itself. */
function isReachable(server: string): boolean {
  return isIPv4(server) && !/^(?:127|0)\./.test(server);
}

/**
 * `host`: the resolv.conf of this machine. `upstream`: that of the local resolver, when there is one; it stands in when
 * `host` names servers and pods reach none of them. `servers` is empty when no server can be reached from pods.
 */
export function decideResolvConf(
  host: string,
  upstream: string | undefined,
): { readonly text: string; readonly servers: readonly string[] } {
  const own = parse(host);
  const theirs = upstream === undefined ? undefined : parse(upstream);
  const usesUpstream =
    own.servers.some((server) => !isReachable(server)) && theirs?.servers.some(isReachable) === true;
  const chosen = usesUpstream && theirs !== undefined ? theirs : own;
  const servers = [...new Set(chosen.servers.filter(isReachable))].slice(0, maxServers);
  const lines = [...servers.map((server) => `nameserver ${server}`), ...chosen.rest];
  return { text: lines.map((line) => `${line}\n`).join(''), servers };
}

/** Search domains and options of a resolv.conf; of several such lines the last counts (resolv.conf(5)). */
function listOf(text: string, keyword: 'search' | 'options'): string[] {
  const lines = parse(text).rest.map((line) => line.split(/\s+/));
  return lines.findLast(([word]) => word === keyword)?.slice(1) ?? [];
}

/**
 * The resolv.conf of a pod. `host`: the one that a pod which wants nothing else gets, as text. Merged as the kubelet does
 * it: servers and search domains of the pod come after, and its options replace those of the same name.
 */
export function makeResolvConf(host: string, dns: PodDns): string {
  const { base, nameservers, searches, options } = dns;
  const addsNothing = nameservers.length + searches.length + options.length === 0;
  if (base === 'host' && addsNothing) return host;
  const own =
    base === 'none'
      ? { servers: [], searches: [], options: [] }
      : base === 'host'
        ? { servers: parse(host).servers, searches: listOf(host, 'search'), options: listOf(host, 'options') }
        : {
            servers: [base.server],
            // What this machine completes names with works in pods, too.
            searches: [...base.searches, ...listOf(host, 'search').filter((domain) => domain !== '.')],
            options: ['ndots:5'],
          };
  const nameOf = (option: string): string | undefined => option.split(':')[0];
  const replaced = new Set(options.map(nameOf));
  const merged = {
    servers: [...new Set([...own.servers, ...nameservers])].slice(0, maxServers),
    searches: [...new Set([...own.searches, ...searches])],
    options: [...own.options.filter((option) => !replaced.has(nameOf(option))), ...options],
  };
  return [
    ...merged.servers.map((server) => `nameserver ${server}\n`),
    ...(merged.searches.length > 0 ? [`search ${merged.searches.join(' ')}\n`] : []),
    ...(merged.options.length > 0 ? [`options ${merged.options.join(' ')}\n`] : []),
  ].join('');
}

/** Read anew for each pod, because a laptop changes networks. */
export class HostResolver {
  readonly #log: Logger;
  #hasServers = true;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** /etc/resolv.conf for a pod. `shared`: it is in this machine's network. */
  fileFor(dns: PodDns, shared: boolean): string {
    const host = readIfThere(hostFile) ?? '';
    if (dns.base !== 'host') return makeResolvConf(host, dns);
    return makeResolvConf(shared ? host : this.#own(host), dns);
  }

  /** Logs when pods that use the servers of this machine have none. */
  check(): void {
    this.#own(readIfThere(hostFile) ?? '');
  }

  #own(host: string): string {
    const { text, servers } = decideResolvConf(host, readIfThere(upstreamFile));
    const hasServers = servers.length > 0;
    if (!hasServers && this.#hasServers) {
      this.#log.warn(
        { file: hostFile },
        'pods with dnsPolicy Default cannot look up names: no name server of this machine can be reached from them',
      );
    }
    this.#hasServers = hasServers;
    return text;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
