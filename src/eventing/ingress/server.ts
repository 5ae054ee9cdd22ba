/**
 * The broker ingress: `POST /<namespace>/<broker>` with one CloudEvent. 202 means that the event is on disk.
 * Answers: 202 · 400 path, event, batch, TTL · 404 unknown broker, `/` · 405 · 413 · 408 too slow · 503 cannot store.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { http } from '../../base/http.ts';
import type { Clock } from '../../base/clock.ts';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { InvalidEventError } from '../cloudevents/event.ts';
import { decodeHttp } from '../cloudevents/http.ts';
import type { BusMessage } from '../buses/bus.ts';
import { forwardedHeaders } from '../dispatcher/forwarded-headers.ts';
import type { Address } from '../dispatcher/sender.ts';
import { admit } from './admit.ts';

const { createServer } = http;

/** What the ingress does with an event for a broker, or why it cannot. */
export type IngressTarget =
  | { readonly append: (message: BusMessage) => Promise<void> }
  | 'unknown'
  | 'starting';

export interface IngressOptions {
  lookup(namespace: string, broker: string): IngressTarget;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Largest event, data and structured envelope together, in bytes. Default 1 MiB, as Kafka's. */
  readonly maxEventBytes?: number;
  /** Events being received at once, in bytes. Default 64 MiB. */
  readonly maxReceivingBytes?: number;
  /** A whole request must have arrived by then, ms. Default 30 s; its head within 10 s. */
  readonly receiveTimeoutMs?: number;
}

export interface Ingress {
  readonly address: Address;
  /** Takes no new connections, ends the requests under way, then closes. */
  close(): Promise<void>;
}

/** How long a refused sender may go on sending before its connection is closed, ms. */
const lingerMs = 1000;

export async function startIngress(options: IngressOptions): Promise<Ingress> {
  const handler = new IngressHandler(options);
  const receiveTimeoutMs = options.receiveTimeoutMs ?? 30_000;
  const server = createServer(
    {
      headersTimeout: Math.min(10_000, receiveTimeoutMs),
      requestTimeout: receiveTimeoutMs,
      // How exact the two timeouts are.
      connectionsCheckingInterval: Math.min(1000, receiveTimeoutMs),
      keepAliveTimeout: 65_000,
    },
    (request, response) => void handler.handle(request, response),
  );
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1');
  const { address, port } = server.address() as AddressInfo;
  return {
    address: { host: address, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

class IngressHandler {
  readonly #options: IngressOptions;
  readonly #maxEventBytes: number;
  readonly #maxReceivingBytes: number;
  #receivingBytes = 0;

  constructor(options: IngressOptions) {
    this.#options = options;
    this.#maxEventBytes = options.maxEventBytes ?? 1024 * 1024;
    this.#maxReceivingBytes = options.maxReceivingBytes ?? 64 * 1024 * 1024;
  }

  /** Never throws. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (isProbe(request)) {
        response.writeHead(200).end();
        return;
      }
      if (request.method === 'OPTIONS') {
        // The web hook handshake (CloudEvents "HTTP 1.1 Web Hooks"): anyone may send, as fast as they like.
        const allow = { allow: 'POST, OPTIONS', 'webhook-allowed-origin': '*', 'webhook-allowed-rate': '*' };
        response.writeHead(200, allow).end();
        return;
      }
      await this.#receive(request);
      response.writeHead(202).end();
    } catch (error) {
      this.#refuse(request, response, error);
    }
  }

  async #receive(request: IncomingMessage): Promise<void> {
    const { namespace, broker } = brokerOf(request.url ?? '/');
    if (request.method !== 'POST') {
      throw new KnapsackError('EVENTING_METHOD_NOT_ALLOWED', `${request.method} is not how events are sent`);
    }
    const target = this.#options.lookup(namespace, broker);
    if (target === 'starting') {
      throw new KnapsackError('EVENTING_STARTING', `broker ${namespace}/${broker} may exist; not known yet`);
    }
    if (target === 'unknown') {
      throw new KnapsackError(
        'EVENTING_BROKER_NOT_FOUND',
        `there is no broker "${broker}" in namespace "${namespace}"`,
      );
    }
    const body = await this.#readBody(request);
    const event = admit(decodeHttp(request.headers, body), this.#options.clock.now());
    await target.append({ event, headers: forwardedHeaders(request.headers) });
  }

  async #readBody(request: IncomingMessage): Promise<Buffer> {
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared > this.#maxEventBytes) throw this.#tooLarge(`${declared} bytes`);
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of bodyOf(request)) {
        size += chunk.length;
        this.#receivingBytes += chunk.length;
        if (size > this.#maxEventBytes) throw this.#tooLarge('more than that');
        if (this.#receivingBytes > this.#maxReceivingBytes) {
          throw new KnapsackError(
            'EVENTING_INGRESS_BUSY',
            `${this.#receivingBytes} bytes are being received at once`,
          );
        }
        chunks.push(chunk);
      }
    } finally {
      this.#receivingBytes -= size;
    }
    return Buffer.concat(chunks);
  }

  #tooLarge(size: string): KnapsackError {
    return new KnapsackError(
      'EVENTING_EVENT_TOO_LARGE',
      `events may have ${this.#maxEventBytes} bytes, this one has ${size}`,
    );
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.destroyed) return; // the sender went away
    const failure =
      error instanceof KnapsackError
        ? error
        : error instanceof InvalidEventError
          ? new KnapsackError('EVENTING_EVENT_INVALID', error.message)
          : undefined;
    if (!failure) {
      this.#options.log.error({ error: messageOf(error) }, 'broker ingress failed');
    }
    const status = failure?.entry.status ?? 500;
    const body = failure
      ? { code: failure.code, message: failure.message, remedy: failure.entry.remedy }
      : { message: 'the broker ingress failed, its log says why' };
    if (status === 405) response.setHeader('allow', 'POST, OPTIONS');
    if (status === 503) response.setHeader('retry-after', '1');
    const text = `${JSON.stringify(body)}\n`;
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', Buffer.byteLength(text));
    if (request.complete) {
      response.writeHead(status).end(text);
      return;
    }
    // A connection that is closed with bytes unread is reset, and the sender may never see the answer: read on a while.
    response.setHeader('connection', 'close');
    response.writeHead(status).write(text);
    const finish = (): void => void response.end();
    const cancel = this.#options.clock.after(lingerMs, finish);
    request.once('close', cancel).once('end', finish).resume();
  }
}

/** The chunks of a body. Leaving the loop early keeps the connection, which the answer needs. */
function bodyOf(request: IncomingMessage): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

function isProbe(request: IncomingMessage): boolean {
  return (
    (request.headers['user-agent'] ?? '').startsWith('kube-probe/') ||
    request.headers['k-kubelet-probe'] !== undefined
  );
}

/** @throws KnapsackError for any path but `/<namespace>/<broker>`, with or without a slash at the end. */
function brokerOf(url: string): { namespace: string; broker: string } {
  const path = url.split('?', 1)[0] ?? '';
  if (path === '/' || path === '') {
    throw new KnapsackError(
      'EVENTING_BROKER_NOT_FOUND',
      'the path names no broker, want /<namespace>/<broker>',
    );
  }
  const [, namespace, broker, rest, ...more] = path.split('/');
  if (!namespace || !broker || (rest !== undefined && rest !== '') || more.length > 0) {
    throw new KnapsackError('EVENTING_PATH_INVALID', `${path} is not /<namespace>/<broker>`);
  }
  return { namespace, broker };
}
