/** One HTTP POST of an event, and what came back. */
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { http } from '../../base/http.ts';
import { messageOf } from '../../base/errors.ts';
import type { Headers } from '../cloudevents/http.ts';
import type { Message } from '../cloudevents/http.ts';

const { Agent: HttpAgent, request: httpRequest } = http;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Where to connect for a URL, when that is not its own host and port: a cluster-local name is reached through the
 * gateway. The Host header stays the URL's.
 */
export type ResolveTransport = (url: URL) => Address | undefined;

export interface SendRequest {
  readonly url: string;
  readonly message: Message;
  /** Further headers, lower-case names. */
  readonly headers: { readonly [name: string]: string };
  /** Until the whole answer is there, ms. */
  readonly timeoutMs: number;
  /** PEM of further authorities to trust, for https. */
  readonly caCerts?: string | undefined;
  readonly signal: AbortSignal;
}

/** The answer, or why there is none. */
export type SendResult =
  | { readonly status: number; readonly headers: Headers; readonly body: Buffer }
  | { readonly status: undefined; readonly error: string };

/** Answers longer than this are cut off and count as failed: a reply is an event, and events have a size limit. */
const maxAnswerBytes = 4 * 1024 * 1024;

/** Idle connections kept per host, and for how long, ms. Shorter than servers' usual 5 s, so that they do not race. */
const agentOptions = { keepAlive: true, maxFreeSockets: 64, timeout: 4000, scheduling: 'lifo' } as const;

export class Sender {
  readonly #resolve: ResolveTransport;
  readonly #http = new HttpAgent(agentOptions);
  readonly #https = new HttpsAgent(agentOptions);

  constructor(resolve: ResolveTransport) {
    this.#resolve = resolve;
  }

  /** Never throws: every failure is a result. A connection that died while idle is replaced once, silently. */
  async send(request: SendRequest): Promise<SendResult> {
    const first = await this.#attempt(request);
    if (first.result.status === undefined && first.staleConnection && !request.signal.aborted) {
      return (await this.#attempt(request)).result;
    }
    return first.result;
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #attempt(request: SendRequest): Promise<{ result: SendResult; staleConnection: boolean }> {
    const { promise, resolve } = Promise.withResolvers<{ result: SendResult; staleConnection: boolean }>();
    const failed = (error: string, staleConnection = false): void =>
      resolve({ result: { status: undefined, error }, staleConnection });
    let url: URL;
    try {
      url = new URL(request.url);
    } catch {
      failed(`${request.url} is not a URL`);
      return promise;
    }
    const secure = url.protocol === 'https:';
    if (!secure && url.protocol !== 'http:') {
      failed(`${request.url}: only http and https can be delivered to`);
      return promise;
    }
    const transport = this.#resolve(url);
    const { message } = request;
    const outgoing = (secure ? httpsRequest : httpRequest)({
      agent: secure ? this.#https : this.#http,
      host: transport?.host ?? url.hostname.replace(/^\[|\]$/g, ''),
      port: transport?.port ?? (url.port || (secure ? 443 : 80)),
      ...(secure ? { servername: url.hostname, ca: request.caCerts } : {}),
      method: 'POST',
      path: `${url.pathname}${url.search}`,
      headers: {
        ...request.headers,
        ...message.headers,
        host: url.host,
        'content-length': String(message.body.length),
      },
      signal: request.signal,
    });
    const timer = setTimeout(() => {
      failed(`no answer within ${request.timeoutMs} ms`);
      outgoing.destroy();
    }, request.timeoutMs);
    void promise.then(() => clearTimeout(timer));
    outgoing.on('error', (error) => {
      const reset = 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      failed(messageOf(error), outgoing.reusedSocket && reset);
    });
    outgoing.on('response', (response) => {
      readAnswer(response).then(
        (body) =>
          resolve({
            result: { status: response.statusCode ?? 0, headers: response.headers, body },
            staleConnection: false,
          }),
        (error: unknown) => {
          failed(messageOf(error));
          outgoing.destroy();
        },
      );
    });
    outgoing.end(message.body);
    return promise;
  }
}

async function readAnswer(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error(`the answer is larger than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
