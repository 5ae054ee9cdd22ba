/** What a pod is told about where a request came from, built as knative/serving pkg/queue does. */
import { at } from './http1/bytes.ts';
import type { FieldSection } from './http1/fields.ts';

/** The lines for a client that sent no forwarding header of its own: the usual case, built once a connection. */
export function plainForwardLines(peer: string): string {
  return (
    `X-Forwarded-For: ${peer}\r\nX-Forwarded-Proto: http\r\n` +
    `Forwarded: ${forwardedOf(peer, '', 'http')}\r\n`
  );
}

/** Whether the client sent any header that changes the forwarding lines. */
export function hasForwardHeaders(fields: FieldSection): boolean {
  return (
    fields.forwardedFor >= 0 ||
    fields.forwarded >= 0 ||
    fields.forwardedProto >= 0 ||
    fields.forwardedHost >= 0
  );
}

const FORWARDED_FOR = Buffer.from('x-forwarded-for');
const FORWARDED_PROTO = Buffer.from('x-forwarded-proto');

/**
 * The lines for a client that stands behind a proxy: the peer is appended to X-Forwarded-For, X-Forwarded-Proto stays
 * when it is a scheme, and Forwarded is built from them unless it is there already. Drops the lines it replaces.
 */
export function chainedForwardLines(fields: FieldSection, bytes: Buffer, peer: string): string {
  const hops: string[] = [];
  for (let i = 0; i < fields.count; i++) {
    const length = at(fields.nameEnd, i) - at(fields.lineStart, i);
    if (length !== FORWARDED_FOR.length || fields.drop[i] === 1) continue;
    const name = bytes.toString('latin1', at(fields.lineStart, i), at(fields.nameEnd, i)).toLowerCase();
    if (name === 'x-forwarded-for' && fields.value(bytes, i) !== '') hops.push(fields.value(bytes, i));
  }
  hops.push(peer);
  const chain = hops.join(', ');
  const sentProto =
    fields.forwardedProto >= 0 ? fields.value(bytes, fields.forwardedProto).toLowerCase() : '';
  const proto = sentProto === 'https' || sentProto === 'http' ? sentProto : 'http';
  const host = fields.forwardedHost >= 0 ? fields.value(bytes, fields.forwardedHost) : '';
  const hasForwarded = fields.forwarded >= 0 && fields.value(bytes, fields.forwarded) !== '';
  fields.dropNamed(bytes, FORWARDED_FOR);
  fields.dropNamed(bytes, FORWARDED_PROTO);
  return (
    `X-Forwarded-For: ${chain}\r\nX-Forwarded-Proto: ${proto}\r\n` +
    (hasForwarded ? '' : `Forwarded: ${forwardedOf(chain, host, proto)}\r\n`)
  );
}

/** RFC 7239 elements: the first hop with host and scheme, then one for each further hop. */
function forwardedOf(chain: string, host: string, proto: string): string {
  const [first = '', ...others] = chain.split(',').map(nodeOf);
  const pairs = [`for=${first}`];
  if (/^[A-Za-z0-9._-]+$/.test(host)) pairs.push(`host=${host}`);
  pairs.push(`proto=${proto}`);
  return [pairs.join(';'), ...others.map((node) => `for=${node}`)].join(', ');
}

/** A hop as RFC 7239 wants it: IPv6 quoted in brackets, anything that would need more quoting as `unknown`. */
function nodeOf(hop: string): string {
  const node = hop.trim();
  if (/^[A-Za-z0-9._-]+$/.test(node)) return node;
  const address = node.replace(/^"?\[?|\]?"?$/g, '');
  return /^[0-9A-Fa-f:.]+$/.test(address) ? `"[${address}]"` : 'unknown';
}
