/** The embedded registry: the OCI distribution API 1.1 on the image store. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { http } from '../base/http.ts';
import { KnapsackError, messageOf, systemCode } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { isRepository } from '../image/reference.ts';
import type { ImageStore } from '../image/store.ts';
import { deleteBlob, getBlob } from './blobs.ts';
import { RegistryError } from './errors.ts';
import { answerJson, type Exchange } from './exchange.ts';
import {
  deleteManifest,
  getManifest,
  listReferrers,
  listRepositories,
  listTags,
  putManifest,
} from './manifests.ts';
import { defaultUploadLimits, Uploads, type UploadLimits } from './uploads.ts';

const { createServer } = http;

export interface RegistryOptions {
  readonly store: ImageStore;
  /** Default 127.0.0.1: there is no authentication, so only the machine itself and its pods should reach it. */
  readonly host?: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly log: Logger;
  readonly limits?: UploadLimits;
}

export interface Registry {
  readonly address: { readonly host: string; readonly port: number };
  /** `http://HOST:PORT`. */
  readonly url: string;
  close(): Promise<void>;
}

type Operation = (exchange: Exchange) => Promise<void> | void;

interface Route {
  readonly pattern: RegExp;
  readonly methods: { readonly [method: string]: Operation };
}

/** A connection on which nothing moves is closed, ms. */
const idleMs = 120_000;

/** The repository path may hold slashes, so patterns are tried in order and anchor at the end. */
function routes(uploads: Uploads): Route[] {
  const version: Operation = (exchange) =>
    answerJson(exchange, {}, { 'docker-distribution-api-version': 'registry/2.0' });
  return [
    { pattern: /^\/v2\/?$/, methods: { GET: version, HEAD: version } },
    { pattern: /^\/v2\/_catalog$/, methods: { GET: listRepositories } },
    { pattern: /^\/v2\/(?<name>.+)\/tags\/list$/, methods: { GET: listTags } },
    {
      pattern: /^\/v2\/(?<name>.+)\/manifests\/(?<reference>[^/]+)$/,
      methods: { GET: getManifest, HEAD: getManifest, PUT: putManifest, DELETE: deleteManifest },
    },
    { pattern: /^\/v2\/(?<name>.+)\/referrers\/(?<reference>[^/]+)$/, methods: { GET: listReferrers } },
    {
      pattern: /^\/v2\/(?<name>.+)\/blobs\/uploads\/?$/,
      methods: { POST: (exchange) => uploads.start(exchange) },
    },
    {
      pattern: /^\/v2\/(?<name>.+)\/blobs\/uploads\/(?<reference>[^/]+)$/,
      methods: {
        GET: (exchange) => uploads.status(exchange),
        PATCH: (exchange) => uploads.append(exchange),
        PUT: (exchange) => uploads.finish(exchange),
        DELETE: (exchange) => uploads.cancel(exchange),
      },
    },
    {
      pattern: /^\/v2\/(?<name>.+)\/blobs\/(?<reference>[^/]+)$/,
      methods: { GET: getBlob, HEAD: getBlob, DELETE: deleteBlob },
    },
  ];
}

/**
 * Starts listening and makes the address an alias of the store's embedded registry. Throws CLI_PORT_TAKEN when another
 * program holds the port.
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { store, log, host = '127.0.0.1' } = options;
  const uploads = new Uploads(options.limits ?? defaultUploadLimits);
  const table = routes(uploads);
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    handle(table, store, request, response).catch((error: unknown) => fail(log, request, response, error));
  });
  server.setTimeout(idleMs);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const message = `the registry cannot listen on ${host}:${options.port}: the port is taken`;
      const taken = systemCode(error) === 'EADDRINUSE';
      reject(taken ? new KnapsackError('CLI_PORT_TAKEN', message, { cause: error }) : error);
    });
    server.listen(options.port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const shownHost = host.includes(':') ? `[${host}]` : host;
  for (const name of ['localhost', '127.0.0.1', shownHost]) store.addAlias(`${name}:${port}`);
  return {
    address: { host, port },
    url: `http://${shownHost}:${port}`,
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      await uploads.close();
    },
  };
}

async function handle(
  table: readonly Route[],
  store: ImageStore,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Browsers add Origin; image tools do not. A web page must not reach the registry of whoever visits it.
  if (request.headers.origin !== undefined) {
    throw new RegistryError('DENIED', 'requests of web pages are not served');
  }
  const url = new URL(request.url ?? '/', 'http://registry');
  for (const { pattern, methods } of table) {
    const groups = pattern.exec(decode(url.pathname));
    if (!groups) continue;
    const operation = methods[request.method ?? ''];
    if (!operation) {
      response.setHeader('allow', Object.keys(methods).join(', '));
      throw new RegistryError('UNSUPPORTED', `${request.method} is not supported here`);
    }
    const name = groups.groups?.['name'] ?? '';
    if (name !== '' && !isRepository(name)) {
      throw new RegistryError(
        'NAME_INVALID',
        `${JSON.stringify(name.slice(0, 300))} is not a repository name`,
      );
    }
    const reference = groups.groups?.['reference'] ?? '';
    await operation({ store, request, response, name, reference, query: url.searchParams });
    return;
  }
  throw new RegistryError('UNSUPPORTED', 'the path is not one of the distribution API', { status: 404 });
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new RegistryError('NAME_INVALID', 'the path is not valid percent-encoding');
  }
}

function fail(log: Logger, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || request.socket.destroyed) {
    response.destroy();
    return;
  }
  const known =
    error instanceof RegistryError
      ? error
      : new RegistryError('UNKNOWN', `internal error: ${messageOf(error)}`);
  if (known !== error)
    log.error({ err: error, method: request.method, url: request.url }, 'registry request failed');
  const { code, message, detail } = known;
  const body = Buffer.from(
    JSON.stringify({ errors: [{ code, message, ...(detail !== undefined && { detail }) }] }),
  );
  // What the client still sends is not read: the connection ends with the answer.
  response.writeHead(known.status, {
    'content-type': 'application/json',
    'content-length': String(body.length),
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
