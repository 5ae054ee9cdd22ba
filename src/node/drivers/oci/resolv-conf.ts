/**
 * Which name servers pods with a network of their own use: those of this machine that can be reached from there. A
 * resolver on loopback (systemd-resolved's 127.0.0.53, dnsmasq) answers this machine only.
 */
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import type { Logger } from '../../../base/log.ts';

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

/** Read anew for each pod, because a laptop changes networks. */
export class HostResolver {
  readonly #log: Logger;
  #hasServers = true;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** /etc/resolv.conf for a pod in this machine's network: as it is here. */
  shared(): string {
    return readIfThere(hostFile) ?? '';
  }

  /** /etc/resolv.conf for a pod with a network of its own. Logs when no server is left. */
  own(): string {
    const { text, servers } = decideResolvConf(this.shared(), readIfThere(upstreamFile));
    const hasServers = servers.length > 0;
    if (!hasServers && this.#hasServers) {
      this.#log.warn(
        { file: hostFile },
        'pods cannot look up names: no name server of this machine can be reached from them',
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
