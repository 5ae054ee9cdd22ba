/** The HTTPS front of the Kubernetes API: connections, authentication, dispatch, orderly end. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { http } from '../../base/http.ts';
import type { Logger } from '../../base/log.ts';
import { KnapsackError, messageOf, systemCode } from '../../base/errors.ts';
import { nodeMetrics, podMetrics, type MetricsSource } from '../../api/kubernetes/metrics.ts';
import { timestamp } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError } from '../api-error.ts';
import type { StoreSnapshot } from '../store/store.ts';
import type { Access } from './access.ts';
import type { Audit } from './audit/index.ts';
import type { AuditRecord } from './audit/record.ts';
import { isAnonymousPath, unauthorized } from './authentication/authenticator.ts';
import { impersonated } from './authentication/impersonation.ts';
import { makeIssuerDocuments } from './authentication/issuer-documents.ts';
import { attributesOf } from './authorization/attributes.ts';
import { forbidden } from './authorization/authorizer.ts';
import { ClientGone } from './body.ts';
import { apiServices, makeApiServices } from './api-services.ts';
import { ApiCatalog, readVerbs, reviewVerbs } from './catalog.ts';
import { kubernetesVersion, ServerDocuments } from './documents.ts';
import { asApiFailure, noteHeaders, sendFailure, type Exchange } from './exchange.ts';
import type { FlowControl } from './flow-control/index.ts';
import { GeneratedObjects, type ReadService } from './generated-objects.ts';
import type { LogSource } from './logs.ts';
import { MeasuredObjects, measuredVerbs } from './measured-objects.ts';
import { OpenApiDocuments } from './openapi/index.ts';
import { splitPath } from './path.ts';
import type { Pki } from './pki.ts';
import { ResourceApi } from './resources.ts';
import { makeReviews } from './reviews/index.ts';
import type { ApiService } from './service/service.ts';
import { isSnapshotPath, sendSnapshot } from './snapshot.ts';
import type { SubresourceHandler } from './subresources.ts';
import { YamlThread } from './yaml/thread.ts';

export interface ApiServerOptions {
  readonly service: ApiService;
  readonly pki: Pick<Pki, 'ca' | 'server'>;
  /** Who may do what. */
  readonly access: Access;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Further addresses to serve on, on the same port: the one that pods reach this machine by. */
  readonly moreHosts?: readonly string[];
  /** Output of containers; without it `kubectl logs` gets 503. */
  readonly logs?: LogSource;
  /** Actions on objects: eviction, tokens, streams of pods. */
  readonly subresources?: readonly SubresourceHandler[];
  /** What pods and nodes use; without it metrics.k8s.io is not served. */
  readonly metrics?: MetricsSource;
  /** Without it nothing is written down. */
  readonly audit?: Audit;
  /** Without it every request is let in at once. */
  readonly flowControl?: FlowControl;
  readonly log: Logger;
  /** What `/readyz` says; default: always ready. */
  readonly isReady?: () => boolean;
}

export interface ApiServer {
  /** `https://127.0.0.1:6443`. */
  readonly url: string;
  readonly port: number;
  /** Ends watches, lets running requests finish for a moment, and closes. */
  close(): Promise<void>;
}

/** Longer than the 90 s after which Go clients drop an idle connection: the client must be the one that closes. */
const keepAliveMs = 120_000;
/** Time for the head of a request, and for all of it with its body. */
const headMs = 15_000;
const requestMs = 60_000;
/** Bytes of a head, as Go's servers take: `kubectl exec` sends its command in the path. */
const maxHeadBytes = 1024 * 1024;
const closeGraceMs = 2000;
/**
 * Where a wish to go on in another protocol is looked at. Elsewhere it is ignored, as it may be (RFC 9110 §7.8): otherwise
 * the body would not be read, and a deletion lose the conditions in it.
 */
const mayUpgrade = /\/(exec|attach|log|portforward)\/*(\?|$)|[?&]watch=(1|t|true)(&|$)/i;
/** Why an exchange's signal is aborted. One for all: by default each request would pay for an error with a stack. */
const over = new Error('the exchange is over');

/** Starts serving. Throws CLI_PORT_TAKEN when another program holds the port. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { host, moreHosts = [] } = options;
  const handler = new RequestHandler(options);
  const server = makeListener(options, handler);
  await listen(server, host, options.port);
  const { port } = server.address() as AddressInfo;
  const servers = [server];
  try {
    for (const other of moreHosts) {
      const further = makeListener(options, handler);
      await listen(further, other, port);
      servers.push(further);
    }
  } catch (error) {
    await Promise.all(servers.map((started) => close(started, handler)));
    await handler.close();
    throw error;
  }
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `https://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : name}:${port}`,
    port,
    close: async () => {
      await Promise.all(servers.map((started) => close(started, handler)));
      await handler.close();
    },
  };
}

function makeListener({ pki, log }: ApiServerOptions, handler: RequestHandler): Server {
  const server = createServer(
    {
      key: pki.server.key,
      cert: pki.server.cert,
      ca: pki.ca.cert,
      requestCert: true,
      // Whoever comes without a certificate may still ask for health and version.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: headMs,
      keepAliveTimeout: keepAliveMs,
      headersTimeout: headMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: maxHeadBytes,
      shouldUpgradeCallback: ({ url = '', method }) =>
        mayUpgrade.test(url) && (method === 'GET' || method === 'POST'),
    },
    (request, response) => void handler.handle(request, response),
  );
  server.on('upgrade', (request, socket: Socket, head) => handler.upgrade(request, socket, head));
  server.on('tlsClientError', (error) => log.debug({ error: messageOf(error) }, 'TLS handshake failed'));
  return server;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `the API server cannot listen on ${host}:${port}: the port is taken`;
      const taken = systemCode(error) === 'EADDRINUSE';
      reject(taken ? new KnapsackError('CLI_PORT_TAKEN', message, { cause: error }) : error);
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function close(server: Server, handler: RequestHandler): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.closeAllConnections();
      handler.destroyUpgraded();
    }, closeGraceMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    handler.endStreams();
    server.closeIdleConnections();
  });
}

class RequestHandler {
  readonly #documents: ServerDocuments;
  readonly #resources: ResourceApi;
  readonly #takeSnapshot: () => Promise<StoreSnapshot>;
  readonly #yaml = new YamlThread();
  readonly #running = new Set<AbortController>();
  readonly #upgraded = new Set<Socket>();
  readonly #access: Access;
  readonly #audit: Audit | undefined;
  readonly #flowControl: FlowControl | undefined;
  readonly #log: Logger;

  constructor(options: ApiServerOptions) {
    const { service, subresources = [], access, log } = options;
    this.#log = log;
    this.#access = access;
    this.#audit = options.audit;
    this.#flowControl = options.flowControl;
    this.#takeSnapshot = () => service.snapshot();
    const reviews = makeReviews(access);
    const created = timestamp(Date.now());
    const generated = new Map<ResourceDef, ReadService>([
      [apiServices, new GeneratedObjects(() => makeApiServices(catalog, created))],
    ]);
    const verbs = new Map<ResourceDef, readonly string[]>([[apiServices, readVerbs]]);
    const { metrics } = options;
    if (metrics) {
      generated.set(podMetrics, new MeasuredObjects(() => metrics.pods()));
      generated.set(nodeMetrics, new MeasuredObjects(() => metrics.nodes()));
      for (const def of [podMetrics, nodeMetrics]) verbs.set(def, measuredVerbs);
    }
    const catalog = new ApiCatalog(
      service.registry,
      new Map([...verbs, ...[...reviews.keys()].map((def) => [def, reviewVerbs] as const)]),
      subresources,
    );
    const openApi = new OpenApiDocuments(catalog, kubernetesVersion);
    this.#documents = new ServerDocuments(
      catalog,
      openApi,
      options.isReady ?? (() => true),
      makeIssuerDocuments(access.tokens),
    );
    this.#resources = new ResourceApi({
      catalog,
      service,
      generated,
      reviews,
      logs: options.logs,
      subresources,
      yaml: this.#yaml,
    });
  }

  /** After the last request. */
  close(): Promise<void> {
    return this.#yaml.close();
  }

  /** Ends the watches and followed logs that run. */
  endStreams(): void {
    for (const exchange of this.#running) exchange.abort();
  }

  /** Connections that went over to another protocol: they are none of HTTP's any more. */
  destroyUpgraded(): void {
    for (const socket of this.#upgraded) socket.destroy();
  }

  /** A request that asks to go on in another protocol is one like any other until its handler takes the connection. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const response = new http.ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => socket.destroySoon());
    // Its close is what is looked at.
    socket.on('error', () => undefined);
    this.#upgraded.add(socket);
    socket.once('close', () => this.#upgraded.delete(socket));
    void this.handle(request, response, { socket, head });
  }

  /** Never rejects: every failure ends as a Status, or as a closed connection when nobody listens any more. */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade?: Exchange['upgrade'],
  ): Promise<void> {
    const record = this.#audit?.begin(request, response);
    if (record) {
      (upgrade?.socket ?? response).once('close', () =>
        this.#audit?.end(record, answerCode(response, upgrade)),
      );
    }
    try {
      await this.#dispatch(request, response, upgrade, record);
    } catch (error) {
      this.#fail(request, response, error, record);
      if (response.socket === null) upgrade?.socket.destroy();
    }
  }

  async #dispatch(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Exchange['upgrade'],
    record: AuditRecord | undefined,
  ): Promise<void> {
    const { path, query } = splitUrl(request.url ?? '/');
    const segments = splitPath(path);
    if (!segments) throw new ApiError('BadRequest', 'the path has a malformed percent escape');
    const { authenticator, authorizer } = this.#access;
    const sender = authenticator.authenticate(request);
    // Probes are answered without looking at roles, which somebody may have damaged.
    if (isAnonymousPath(`/${segments.join('/')}`)) return this.#documents.sendPublic({ response, segments });
    if (!sender) throw unauthorized();
    const method = request.method ?? 'GET';
    const parameters = new URLSearchParams(query);
    const attributes = attributesOf(method, segments, parameters);
    record?.asks(sender, sender, attributes);
    const user = impersonated(request, sender, authorizer) ?? sender;
    record?.asks(sender, user, attributes);
    const flow = this.#flowControl?.classify(user, attributes);
    if (flow) noteHeaders(response, flow.headers);
    const decision = authorizer.decide(user, attributes);
    record?.decided(decision.allowed, decision.reason);
    if (!decision.allowed) throw forbidden(user, attributes, decision.reason);
    if (record) this.#audit?.allowed(record);
    // A write to a client that has just gone is reported here; the streams notice by themselves.
    response.on('error', () => undefined);
    const ended = new AbortController();
    this.#running.add(ended);
    (upgrade?.socket ?? response).once('close', () => {
      this.#running.delete(ended);
      ended.abort(over);
    });
    const seat = flow?.enter(ended.signal);
    const release = seat instanceof Promise ? await seat : seat;
    if (release) response.once('close', release);
    const exchange: Exchange = {
      request,
      response,
      method: method === 'HEAD' ? 'GET' : method,
      segments,
      query: parameters,
      user,
      authorize: (verb) => void authorizer.check(user, { ...attributes, verb }),
      signal: ended.signal,
      yaml: this.#yaml,
      ...(record ? { record } : {}),
      ...(upgrade ? { upgrade } : {}),
    };
    if (await this.#documents.handle(exchange)) return;
    if (isSnapshotPath(segments)) return sendSnapshot(exchange, this.#takeSnapshot);
    await this.#resources.handle(exchange);
  }

  #fail(
    request: IncomingMessage,
    response: ServerResponse,
    error: unknown,
    record: AuditRecord | undefined,
  ): void {
    if (error instanceof ClientGone || response.destroyed) return;
    const failure = asApiFailure(error);
    record?.failed(failure);
    if (failure.code >= 500 && failure.reason === 'InternalError') {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#log.error(
        { method: request.method, url: request.url, error: messageOf(error), stack },
        'request failed',
      );
    }
    if (response.headersSent) response.destroy();
    else sendFailure({ request, response }, failure);
  }
}

/** The code of the answer; 0 when the client was gone before there was one. */
function answerCode(response: ServerResponse, upgrade: Exchange['upgrade']): number {
  if (response.headersSent) return response.statusCode;
  // Whoever takes the connection over answers by itself.
  return upgrade ? 101 : 0;
}

function splitUrl(url: string): { path: string; query: string } {
  const at = url.indexOf('?');
  return at < 0 ? { path: url, query: '' } : { path: url.slice(0, at), query: url.slice(at + 1) };
}
