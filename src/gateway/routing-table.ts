/** The routing snapshot in the form that requests are matched against: bytes compared with bytes. */
import type { HostRule, PathRule, RoutingUpdate } from '../api/routing.ts';
import { FIELD, TOKEN, ascii, at } from './http1/bytes.ts';
import type { RequestHead } from './http1/request.ts';

/** Headers that are set on the way to a pod. */
export interface AddedHeaders {
  /** Lower-case names whose lines of the client are removed. */
  readonly names: readonly Uint8Array[];
  /** The lines to add, each with CRLF. */
  readonly lines: Buffer;
}

export interface Share {
  readonly backend: string;
  readonly percent: number;
  readonly added: AddedHeaders;
  /** Value of K-Network-Hash that this share would set; for probes. */
  readonly networkHash: string | undefined;
}

export interface Path {
  /** Without trailing slash; empty matches everything. The whole path when `exact`. */
  readonly prefix: Uint8Array;
  readonly exact: boolean;
  readonly headers: readonly { readonly name: Uint8Array; readonly value: string }[];
  readonly rewriteHost: string | undefined;
  readonly shares: readonly Share[];
}

export interface Host {
  readonly local: boolean;
  readonly paths: readonly Path[];
}

export class RoutingTable {
  readonly #hosts = new Map<string, Host>();
  /** Most snapshots have none, and then an unknown name is known to be unknown at once. */
  readonly #wildcards = new Set<string>();

  apply(hosts: NonNullable<RoutingUpdate['hosts']>): void {
    for (const [name, rule] of Object.entries(hosts)) {
      const key = name.toLowerCase();
      if (rule === null) this.#hosts.delete(key);
      else this.#hosts.set(key, compileHost(rule));
      if (!key.startsWith('*')) continue;
      if (rule === null) this.#wildcards.delete(key);
      else this.#wildcards.add(key);
    }
  }

  /**
   * The rules of a host, as far as the listener may know of it. Wildcards are for the outside: inside, a name that nobody
   * has is an error.
   */
  find(host: string, onLocalListener: boolean): Host | undefined {
    const found = this.#hosts.get(host) ?? (onLocalListener ? undefined : this.#findWildcard(host));
    return found === undefined || (found.local && !onLocalListener) ? undefined : found;
  }

  #findWildcard(host: string): Host | undefined {
    if (this.#wildcards.size === 0) return undefined;
    const dot = host.indexOf('.');
    return (dot > 0 ? this.#hosts.get(`*${host.slice(dot)}`) : undefined) ?? this.#hosts.get('*');
  }
}

/** The first path of `host` that the request matches. `bytes` are those that `head` was parsed from. */
export function matchPath(host: Host, head: RequestHead, bytes: Buffer): Path | undefined {
  for (const path of host.paths) {
    if (hasPrefix(path, head, bytes) && hasHeaders(path, head, bytes)) return path;
  }
  return undefined;
}

/** Whole segments: `/a` covers `/a`, `/a/b` and `/a?q`, not `/ab`. */
function hasPrefix({ prefix, exact }: Path, head: RequestHead, bytes: Buffer): boolean {
  const length = prefix.length;
  if (length === 0) return true;
  const start = head.pathStart;
  if (head.pathEnd - start < length) return false;
  for (let i = 0; i < length; i++) if (at(bytes, start + i) !== at(prefix, i)) return false;
  if (start + length === head.pathEnd) return true;
  const next = at(bytes, start + length);
  return next === 63 || (next === 47 && !exact);
}

function hasHeaders(path: Path, head: RequestHead, bytes: Buffer): boolean {
  for (const { name, value } of path.headers) {
    const i = head.fields.find(bytes, name);
    if (i < 0 || head.fields.value(bytes, i) !== value) return false;
  }
  return true;
}

function compileHost(rule: HostRule): Host {
  return { local: rule.visibility === 'local', paths: rule.paths.map(compilePath) };
}

function compilePath(rule: PathRule): Path {
  return {
    prefix: Buffer.from(rule.exact ? rule.prefix : rule.prefix.replace(/\/+$/, '')),
    exact: rule.exact ?? false,
    headers: Object.entries(rule.headers ?? {}).map(([name, value]) => ({
      name: ascii(name.toLowerCase()),
      value,
    })),
    rewriteHost: rule.rewriteHost,
    shares: rule.splits.map((split) => {
      const set = new Map<string, { name: string; value: string }>();
      for (const [name, value] of [
        ...Object.entries(rule.setHeaders ?? {}),
        ...Object.entries(split.setHeaders ?? {}),
      ]) {
        set.set(name.toLowerCase(), { name, value });
      }
      return {
        backend: split.backend,
        percent: split.percent,
        networkHash: set.get('k-network-hash')?.value,
        added: {
          names: [...set.keys()].map(ascii),
          lines: Buffer.from(
            [...set.values()].map(({ name, value }) => `${name}: ${value}\r\n`).join(''),
            'latin1',
          ),
        },
      };
    }),
  };
}

/** Headers that the gateway sets itself and no rule may: they frame the message. */
const FRAMING = new Set([
  'content-length',
  'transfer-encoding',
  'connection',
  'host',
  'upgrade',
  'te',
  'trailer',
]);

/**
 * Throws a TypeError when a rule holds a header that would break the framing of a request: rules come from users'
 * objects, and their text goes into heads as it is.
 */
export function assertSafe(update: RoutingUpdate): void {
  for (const [host, rule] of Object.entries(update.hosts ?? {})) {
    for (const path of rule?.paths ?? []) {
      if (path.rewriteHost !== undefined && !/^[A-Za-z0-9._-]+(:\d+)?$/.test(path.rewriteHost)) {
        throw new TypeError(
          `route ${host}: rewriteHost ${JSON.stringify(path.rewriteHost)} is not a host name`,
        );
      }
      for (const headers of [path.setHeaders, ...path.splits.map((split) => split.setHeaders)]) {
        for (const [name, value] of Object.entries(headers ?? {})) assertHeader(host, name, value);
      }
    }
  }
}

function assertHeader(host: string, name: string, value: string): void {
  const isToken = name !== '' && [...Buffer.from(name)].every((byte) => TOKEN[byte] === 1);
  const isValue = [...Buffer.from(value)].every((byte) => FIELD[byte] === 1);
  if (!isToken || !isValue || FRAMING.has(name.toLowerCase())) {
    throw new TypeError(
      `route ${host}: header ${JSON.stringify(name)} cannot be set to ${JSON.stringify(value)}`,
    );
  }
}
