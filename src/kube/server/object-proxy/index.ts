/** `pods/proxy` and `services/proxy`: requests that the API server hands on to what listens behind an object. */
import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { connect as connectTls } from 'node:tls';
import { http } from '../../../base/http.ts';
import { messageOf } from '../../../base/errors.ts';
import type { UntypedObject } from '../../../api/object.ts';
import { endpoints } from '../../../api/kubernetes/services.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { ApiError, isNotFound } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { Exchange } from '../exchange.ts';
import { writeOptions } from '../options.ts';
import type { PodStreamSource } from '../pod-streams/source.ts';
import type { ApiService } from '../service/service.ts';
import type { SubresourceHandler } from '../subresources.ts';
import { rewriteLink, rewritePage, type Seen } from './rewrite.ts';
import {
  isProxyable,
  podTarget,
  readProxyName,
  serviceTarget,
  type ProxyName,
  type Scheme,
  type Target,
} from './target.ts';

/** How long a connection may take, ms. */
const connectMs = 30_000;
/** A larger page goes through as it is, bytes. */
const maxPageBytes = 1024 * 1024;

const proxyVerbs = ['create', 'delete', 'get', 'patch', 'update'];

/** `source` leads to pods that this machine cannot reach by their address. */
export function objectProxyHandlers(
  service: Pick<ApiService, 'admit' | 'get'>,
  source: Pick<PodStreamSource, 'ports'>,
): SubresourceHandler[] {
  const handler = (
    plural: 'pods' | 'services',
    kind: string,
    locate: (def: ResourceDef, key: ObjectKey, name: ProxyName) => Promise<Target>,
  ): SubresourceHandler => ({
    name: 'proxy',
    verbs: proxyVerbs,
    kind: { group: '', version: 'v1', kind },
    of: { group: '', plural },
    async handle(exchange, { def, key }) {
      const name = readProxyName(key.name, plural === 'pods' ? 'pod' : 'service');
      const { path, prefix } = splitProxyPath(exchange);
      if (path === '' && exchange.method === 'GET') return redirect(exchange, `${prefix}/`);
      await admit(service, exchange, def, { ...key, name: name.name }, { kind, path });
      const target = await locate(def, { ...key, name: name.name }, name);
      await forward(exchange, name.scheme, target, { path: path || '/', prefix }, source);
    },
  });
  return [
    handler('pods', 'PodProxyOptions', async (def, key, name) => {
      const { object } = await service.get(def, key);
      return podTarget(object, name);
    }),
    handler('services', 'ServiceProxyOptions', async (def, key, name) => {
      const { object } = await service.get(def, key);
      const behind = await service.get(endpoints, key).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
        return undefined;
      });
      const choose = (count: number): number => Math.floor(Math.random() * count);
      return serviceTarget(object, behind?.object, name, choose);
    }),
  ];
}

/** What follows the subresource, as the client wrote it, and what stands before it. Neither has the query. */
export function splitProxyPath({ request, segments }: Pick<Exchange, 'request' | 'segments'>): {
  path: string;
  prefix: string;
} {
  const [whole = ''] = (request.url ?? '').split('?', 1);
  // `api/v1/namespaces/{namespace}/{plural}/{name}/proxy`; empty segments do not count.
  let left = segments[2] === 'namespaces' ? 7 : 0;
  let at = 0;
  while (left > 0 && at < whole.length) {
    while (whole[at] === '/') at++;
    const end = whole.indexOf('/', at);
    at = end < 0 ? whole.length : end;
    left--;
  }
  return { path: whole.slice(at), prefix: whole.slice(0, at) };
}

/** Relative links of the page at the root lead here only with a slash at the end. */
function redirect({ request, response }: Exchange, path: string): void {
  const query = /\?.*$/s.exec(request.url ?? '')?.[0] ?? '';
  response.writeHead(301, { location: `${path}${query}`, 'content-length': 0 });
  response.end();
}

async function admit(
  service: Pick<ApiService, 'admit'>,
  exchange: Exchange,
  def: ResourceDef,
  key: ObjectKey,
  { kind, path }: { readonly kind: string; readonly path: string },
): Promise<void> {
  // Options are no objects of their own: they have no metadata, which admission knows.
  const object = { kind, apiVersion: 'v1', ...(path ? { path } : {}) } as unknown as UntypedObject;
  const action = { operation: 'CONNECT', subresource: 'proxy', object } as const;
  // The query is for whoever is behind the proxy.
  const own = { ...exchange, query: new URLSearchParams() };
  await service.admit(def, key, action, writeOptions(own, 'CreateOptions'));
}

interface ProxyPath {
  readonly path: string;
  readonly prefix: string;
}

async function forward(
  exchange: Exchange,
  scheme: Scheme,
  target: Target,
  { path, prefix }: ProxyPath,
  source: Pick<PodStreamSource, 'ports'>,
): Promise<void> {
  const { request, response, signal } = exchange;
  const { socket, close } = await dial(target, source).catch((error: unknown) => {
    throw unreachable(error);
  });
  const host = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
  const query = /\?.*$/s.exec(request.url ?? '')?.[0] ?? '';
  const options: RequestOptions = {
    method: request.method ?? 'GET',
    path: `${path}${query}`,
    headers: forwardedHeaders(request, host, prefix),
    // Who it is cannot be known: pods have certificates of their own making, as on any cluster.
    createConnection: () => (scheme === 'https' ? connectTls({ socket, rejectUnauthorized: false }) : socket),
    signal,
  };
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = scheme === 'https' ? requestOverTls(options) : http.request(options);
      outgoing.once('response', resolve).on('error', reject);
      request.pipe(outgoing);
    }).catch((error: unknown) => {
      throw unreachable(error);
    });
    const seen = { prefix, hosts: [host, request.headers.host ?? ''].filter(Boolean) };
    await answerWith(exchange, answer, seen);
  } catch (error) {
    if (!response.headersSent) throw error;
    response.destroy();
  } finally {
    socket.destroy();
    close();
  }
}

function unreachable(error: unknown): ApiError {
  return new ApiError('ServiceUnavailable', `error trying to reach service: ${messageOf(error)}`);
}

/** By its address where that says something to this machine, or else by the node agent, which knows the pod. */
async function dial(
  { host, port, pod }: Target,
  source: Pick<PodStreamSource, 'ports'>,
): Promise<{ socket: Duplex; close: () => void }> {
  if (isProxyable(host)) {
    const socket = connect({ host, port, timeout: connectMs });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
      socket.once('timeout', () => socket.destroy(new Error(`dial tcp ${host}:${port}: i/o timeout`)));
    });
    socket.setTimeout(0);
    return { socket, close: () => undefined };
  }
  if (!pod) throw new Error('address not allowed');
  const ports = source.ports(pod.namespace, pod.name);
  try {
    return { socket: await ports.connect(pod.port), close: () => ports.close() };
  } catch (error) {
    ports.close();
    throw error;
  }
}

/** Of one connection alone (RFC 9110 §7.6.1), or for this server. */
const ownHeaders = new Set([
  'authorization',
  'connection',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function isOwn(name: string, { connection = '' }: IncomingHttpHeaders): boolean {
  const named = connection.split(',').map((each) => each.trim().toLowerCase());
  return ownHeaders.has(name) || name.startsWith('impersonate-') || named.includes(name);
}

function forwardedHeaders(request: IncomingMessage, host: string, prefix: string): IncomingHttpHeaders {
  const { headers } = request;
  const passed = Object.entries(headers).filter(([name]) => !isOwn(name, headers));
  const before = headers['x-forwarded-for'];
  const client = request.socket.remoteAddress ?? '';
  return {
    ...Object.fromEntries(passed),
    host,
    // Pages are looked into.
    'accept-encoding': 'identity',
    'x-forwarded-for': before === undefined ? client : `${String(before)}, ${client}`,
    'x-forwarded-host': headers.host ?? host,
    'x-forwarded-proto': 'https',
    'x-forwarded-uri': prefix,
  };
}

async function answerWith({ response }: Exchange, answer: IncomingMessage, seen: Seen): Promise<void> {
  const headers = Object.fromEntries(
    Object.entries(answer.headers).filter(([name]) => !isOwn(name, answer.headers)),
  );
  if (headers['location'] !== undefined) headers['location'] = rewriteLink(String(headers['location']), seen);
  const code = answer.statusCode ?? 502;
  const isPage = /^\s*text\/html\s*(;|$)/i.test(String(headers['content-type'] ?? ''));
  if (!isPage || headers['content-encoding'] !== undefined || answer.method === 'HEAD') {
    response.writeHead(code, headers);
    response.flushHeaders();
    await pipeline(answer, response);
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxPageBytes) break;
  }
  const start = Buffer.concat(chunks);
  if (size > maxPageBytes) {
    response.writeHead(code, headers);
    response.write(start);
    await pipeline(answer, response);
    return;
  }
  // Bytes are texts of one character each: what is no ASCII stays as it is, whatever its encoding.
  const page = Buffer.from(rewritePage(start.toString('latin1'), seen), 'latin1');
  response.writeHead(code, { ...headers, 'content-length': page.length });
  response.end(page);
}
