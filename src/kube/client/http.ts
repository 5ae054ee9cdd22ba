/** The Kubernetes API over HTTP(S): the same interface that the embedded API gives in the process. */
import type { Agent, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { http } from '../../base/http.ts';
import { deepFreeze } from '../../base/json.ts';
import { messageOf, systemCode } from '../../base/errors.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import { ApiError, hasReason, reasonCodes, type StatusDetails, type StatusReason } from '../api-error.ts';
import type {
  Client,
  DeleteOptions,
  List,
  ListOptions,
  ObjectKey,
  Patch,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './client.ts';
import { readAll, readLines } from './http-body.ts';

const { Agent: HttpAgent, request: httpRequest } = http;

export interface HttpClientOptions {
  /** `https://host:port`, without a path. */
  readonly server: string;
  /** PEM of the CA that signed the server's certificate; absent: the system's. */
  readonly ca?: string;
  /** Client certificate and key, PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** Bearer token, e.g. of a service account; read anew for each request because mounted tokens rotate. */
  readonly token?: string | (() => string);
  readonly userAgent?: string;
}

export interface HttpClient extends Client {
  /** Closes idle connections. Running requests and watches end by their own signals. */
  close(): void;
}

/** A silent server is given up after this time; watches wait for as long as they are wanted. */
const idleMs = 60_000;
const maxCallSockets = 32;
/** How often a call that the server put off (429 with Retry-After) is tried again, and the longest wait. */
const maxRetries = 4;
const maxRetryAfterMs = 10_000;

const patchTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
} as const;

/** What a reading method needs of `fetch`-like calls. */
interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  readonly stream?: boolean;
}

export function httpClient(options: HttpClientOptions): HttpClient {
  return new KubernetesHttpClient(options);
}

class KubernetesHttpClient implements HttpClient {
  readonly #url: URL;
  readonly #options: HttpClientOptions;
  readonly #calls: Agent;
  /** Watches hold their connections; they must not use up those of calls. */
  readonly #watches: Agent;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#url = new URL(options.server);
    const { ca, cert, key } = options;
    const tls = { ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
    const isTls = this.#url.protocol === 'https:';
    const agent = (maxSockets: number): Agent => {
      const settings = { keepAlive: true, maxSockets };
      return isTls
        ? new HttpsAgent({ ...settings, ...tls, servername: serverName(this.#url) })
        : new HttpAgent(settings);
    };
    this.#calls = agent(maxCallSockets);
    this.#watches = agent(Number.POSITIVE_INFINITY);
  }

  get<T extends KubeObject>(def: ResourceDef<T>, key: ObjectKey): Promise<T> {
    return this.#object(def, { method: 'GET', path: objectPath(def, key) });
  }

  async list<T extends KubeObject>(def: ResourceDef<T>, options: ListOptions = {}): Promise<List<T>> {
    const { namespace, ...query } = options;
    const path = withQuery(collectionPath(def, namespace), query);
    const body = (await this.#json({ method: 'GET', path })) as {
      metadata?: { resourceVersion?: string; continue?: string };
      items?: T[] | null;
    } | null;
    const next = body?.metadata?.continue;
    return {
      items: (body?.items ?? []).map((item) => asObject(def, item)),
      resourceVersion: body?.metadata?.resourceVersion ?? '',
      ...(next ? { continue: next } : {}),
    };
  }

  async *watch<T extends KubeObject>(
    def: ResourceDef<T>,
    options: WatchOptions = {},
  ): AsyncIterable<WatchEvent<T>> {
    const { namespace, signal, allowBookmarks, ...query } = options;
    const path = withQuery(collectionPath(def, namespace), {
      ...query,
      watch: true,
      ...(allowBookmarks ? { allowWatchBookmarks: true } : {}),
      // Required by kube-apiserver together with sendInitialEvents.
      ...(query.sendInitialEvents ? { resourceVersionMatch: 'NotOlderThan' } : {}),
    });
    try {
      const response = await this.#send({
        method: 'GET',
        path,
        stream: true,
        ...(signal ? { signal } : {}),
      });
      for await (const line of readLines(response)) yield eventOf(def, line);
    } catch (error) {
      if (signal?.aborted) return;
      throw this.#asApiError(error);
    }
  }

  create<T extends KubeObject>(def: ResourceDef<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const path = withQuery(collectionPath(def, object.metadata.namespace), writeQuery(options));
    return this.#object(def, { method: 'POST', path, body: typed(def, object) });
  }

  update<T extends KubeObject>(def: ResourceDef<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const path = withQuery(objectPath(def, object.metadata, options.subresource), writeQuery(options));
    const body = options.subresource === 'scale' ? object : typed(def, object);
    return this.#object(def, { method: 'PUT', path, body });
  }

  patch<T extends KubeObject>(
    def: ResourceDef<T>,
    key: ObjectKey,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<T> {
    const path = withQuery(objectPath(def, key, options.subresource), writeQuery(options));
    return this.#object(def, {
      method: 'PATCH',
      path,
      body: patch.body,
      contentType: patchTypes[patch.type],
    });
  }

  async delete(def: ResourceDef, key: ObjectKey, options: DeleteOptions = {}): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...options };
    await this.#json({ method: 'DELETE', path: objectPath(def, key), body });
  }

  close(): void {
    this.#calls.destroy();
    this.#watches.destroy();
  }

  async #object<T extends KubeObject>(def: ResourceDef<T>, call: Call): Promise<T> {
    return asObject(def, (await this.#json(call)) as T);
  }

  /** The parsed answer; a call that the server puts off is repeated after the time it names. */
  async #json(call: Call): Promise<unknown> {
    for (let attempt = 0; ; attempt++) {
      try {
        return JSON.parse((await readAll(await this.#send(call))).toString()) as unknown;
      } catch (error) {
        if (attempt >= maxRetries || !hasReason(error, 'TooManyRequests')) throw this.#asApiError(error);
        const seconds = (error as ApiError).details?.retryAfterSeconds ?? 1;
        await delay(Math.min(seconds * 1000, maxRetryAfterMs));
      }
    }
  }

  /** The answer's stream, once its head says success. */
  async #send(call: Call): Promise<IncomingMessage> {
    const response = await this.#request(call, true);
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    throw statusError(statusCode, response.headers['retry-after'], (await readAll(response)).toString());
  }

  #request(call: Call, mayRepeat: boolean): Promise<IncomingMessage> {
    const { method, path, signal, stream = false } = call;
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const { token, userAgent = 'knapsack' } = this.#options;
    const bearer = typeof token === 'function' ? token() : token;
    const headers = {
      accept: 'application/json',
      'user-agent': userAgent,
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      ...(body
        ? { 'content-type': call.contentType ?? 'application/json', 'content-length': body.length }
        : {}),
    };
    const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request = send(this.#url, {
        agent: stream ? this.#watches : this.#calls,
        method,
        path,
        headers,
        ...(signal ? { signal } : {}),
      });
      request.on('response', (response) => {
        if (stream) request.setTimeout(0);
        resolve(response);
      });
      request.on('error', (error) => {
        // The server may close an idle connection just when it is taken up again: nothing was done then.
        const stale = request.reusedSocket && systemCode(error) === 'ECONNRESET';
        if (stale && mayRepeat && method === 'GET') resolve(this.#request(call, false));
        else reject(error);
      });
      request.setTimeout(idleMs, () => request.destroy(new Error(`no answer within ${idleMs / 1000} s`)));
      request.end(body);
    });
  }

  #asApiError(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    const why = error instanceof SyntaxError ? 'the answer is not JSON' : messageOf(error);
    const { server } = this.#options;
    return new ApiError('ServiceUnavailable', `The API server ${server} cannot be used: ${why}`);
  }
}

/** Certificates carry names; an address is checked as an address, which needs no server name. */
function serverName(url: URL): string {
  return /^[\d.]+$|^\[/.test(url.hostname) ? '' : url.hostname;
}

function collectionPath(def: ResourceDef, namespace: string | undefined): string {
  const root = def.group === '' ? `/api/${def.version}` : `/apis/${apiVersionOf(def)}`;
  const scope = def.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${def.plural}`;
}

function objectPath(def: ResourceDef, key: ObjectKey, subresource?: string): string {
  const item = `${collectionPath(def, key.namespace)}/${encodeURIComponent(key.name)}`;
  return subresource ? `${item}/${subresource}` : item;
}

function withQuery(
  path: string,
  query: { readonly [name: string]: string | number | boolean | undefined },
): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  if (given.length === 0) return path;
  const pairs = given.map(([name, value]): [string, string] => [name, String(value)]);
  return `${path}?${new URLSearchParams(pairs).toString()}`;
}

function writeQuery(options: WriteOptions): Record<string, string | undefined> {
  return { fieldManager: options.fieldManager, dryRun: options.dryRun ? 'All' : undefined };
}

/** Objects made in code may leave out their type; the wire may not. */
function typed(def: ResourceDef, object: KubeObject): KubeObject {
  return { ...object, apiVersion: apiVersionOf(def), kind: def.kind };
}

/** An object as read: its type filled in, since kube-apiserver leaves it out of list items, and frozen. */
function asObject<T extends KubeObject>(def: ResourceDef<T>, raw: T): T {
  if (typeof raw !== 'object' || raw === null || typeof raw.metadata !== 'object') {
    throw new ApiError('InternalError', `the server's answer is not a ${def.kind}`);
  }
  const { apiVersion, kind } = raw;
  return deepFreeze(apiVersion && kind ? raw : { ...raw, apiVersion: apiVersionOf(def), kind: def.kind });
}

function eventOf<T extends KubeObject>(def: ResourceDef<T>, line: string): WatchEvent<T> {
  const event = JSON.parse(line) as { type: string; object: T };
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: asObject(def, event.object) };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', object: deepFreeze(event.object) };
    case 'ERROR':
      throw asStatusError(event.object, 500);
    default:
      throw new ApiError('InternalError', `unknown watch event type ${JSON.stringify(event.type)}`);
  }
}

interface StatusBody {
  readonly kind?: unknown;
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly code?: unknown;
  readonly details?: StatusDetails;
}

function statusError(code: number, retryAfter: string | undefined, text: string): ApiError {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = { message: text.trim().slice(0, 1024) };
  }
  const error = asStatusError(body, code);
  const seconds = Number(retryAfter);
  if (!(seconds > 0) || error.details?.retryAfterSeconds !== undefined) return error;
  return new ApiError(error.reason, error.message, { ...error.details, retryAfterSeconds: seconds });
}

function asStatusError(body: unknown, fallbackCode: number): ApiError {
  const { message, reason, code, details } = (
    typeof body === 'object' && body !== null ? body : {}
  ) as StatusBody;
  const number = typeof code === 'number' ? code : fallbackCode;
  const known =
    typeof reason === 'string' && Object.hasOwn(reasonCodes, reason)
      ? (reason as StatusReason)
      : (Object.entries(reasonCodes).find(([, value]) => value === number)?.[0] as StatusReason | undefined);
  const text = typeof message === 'string' && message ? message : `the server answered ${number}`;
  return new ApiError(known ?? 'InternalError', text, details);
}
