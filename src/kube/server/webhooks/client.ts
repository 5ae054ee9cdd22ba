/** HTTPS to webhooks: one POST with a deadline, a bounded answer, connections kept for the next one. */
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { messageOf, systemCode } from '../../../base/errors.ts';
import type { Target } from './target.ts';

/** What an answer to an admission review may have: an object's largest patch in base64, and room for the rest. */
const maxPatchBytes = 8 * 1024 * 1024;
const idleMs = 30_000;
const maxSockets = 64;
const maxIdleSockets = 8;

export interface WebhookClientOptions {
  /** Larger answers are refused. Default 8 MiB. */
  readonly maxAnswerBytes?: number;
  readonly userAgent?: string;
}

export class WebhookClient {
  readonly #maxAnswerBytes: number;
  readonly #userAgent: string;
  // Connections are told apart by address, authority and server name.
  readonly #agent = new Agent({
    keepAlive: true,
    maxSockets,
    maxFreeSockets: maxIdleSockets,
    scheduling: 'lifo',
    timeout: idleMs,
  });

  constructor(options: WebhookClientOptions = {}) {
    this.#maxAnswerBytes = options.maxAnswerBytes ?? maxPatchBytes;
    this.#userAgent = options.userAgent ?? 'knapsack-admission';
  }

  /**
   * The answer's JSON. `timeoutMs` bounds everything, connecting included. Throws an Error worded as Go's client words it,
   * since people look those texts up.
   */
  async post(target: Target, body: string, timeoutMs: number): Promise<unknown> {
    const url = new URL(target.url);
    url.searchParams.set('timeout', `${Math.ceil(timeoutMs / 1000)}s`);
    const shown = `Post ${JSON.stringify(url.href)}`;
    const signal = AbortSignal.timeout(timeoutMs);
    let answer: { status: number; text: string };
    try {
      answer = await this.#exchange(url, target, body, signal, true);
    } catch (error) {
      if (error instanceof AnswerTooLarge) throw error;
      const why = signal.aborted ? 'context deadline exceeded' : networkFault(error, url, target);
      throw new Error(`${shown}: ${why}`, { cause: error });
    }
    if (answer.status < 200 || answer.status > 299) throw new Error(statusFault(answer.status, answer.text));
    return parse(answer.text);
  }

  /** Cuts every connection. */
  close(): void {
    this.#agent.destroy();
  }

  #exchange(
    url: URL,
    target: Target,
    body: string,
    signal: AbortSignal,
    mayRepeat: boolean,
  ): Promise<{ status: number; text: string }> {
    const bytes = Buffer.from(body);
    const { address, ca } = target;
    const host = address?.host ?? url.hostname.replace(/^\[|\]$/g, '');
    const options: RequestOptions = {
      agent: this.#agent,
      method: 'POST',
      host,
      port: address?.port ?? (url.port || 443),
      path: `${url.pathname}${url.search}`,
      // The certificate is that of the name, whatever address it was found at. Addresses have no server name.
      servername: isIP(url.hostname.replace(/^\[|\]$/g, '')) ? '' : url.hostname,
      headers: {
        host: url.host,
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': this.#userAgent,
        'content-length': bytes.length,
      },
      signal,
      ...(ca ? { ca } : {}),
    };
    return new Promise((resolve, reject) => {
      const request = httpsRequest(options, (response) => {
        readText(response, this.#maxAnswerBytes).then(
          (text) => resolve({ status: response.statusCode ?? 0, text }),
          reject,
        );
      });
      request.on('error', (error) => {
        // The webhook may close an idle connection just when it is taken up again: it has seen nothing then.
        const stale = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(systemCode(error) ?? '');
        if (stale && mayRepeat && !signal.aborted) resolve(this.#exchange(url, target, body, signal, false));
        else reject(error);
      });
      request.end(bytes);
    });
  }
}

class AnswerTooLarge extends Error {}

async function readText(response: IncomingMessage, maxAnswerBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) {
      response.destroy();
      throw new AnswerTooLarge(`the answer is larger than ${maxAnswerBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(`couldn't get version/kind; json parse error: ${messageOf(error)}`, { cause: error });
  }
}

/** client-go's words for an answer that is no success. */
function statusFault(status: number, text: string): string {
  if (status === 404) return 'the server could not find the requested resource';
  if (status === 503) return 'the server is currently unable to handle the request';
  if (status === 401) return 'the server has asked for the client to provide credentials';
  const shown = text.trim().slice(0, 1024) || 'unknown';
  if (status >= 500)
    return `an error on the server (${JSON.stringify(shown)}) has prevented the request from succeeding`;
  return `the server responded with the status code ${status} but did not return more information: ${shown}`;
}

const unknownAuthority = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
]);

/** Go's words for what went wrong on the way. */
function networkFault(error: unknown, url: URL, target: Target): string {
  const code = systemCode(error) ?? '';
  const host = target.address?.host ?? url.hostname;
  const dial = `dial tcp ${host}:${target.address?.port ?? (url.port || 443)}`;
  if (unknownAuthority.has(code)) {
    return 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
  }
  switch (code) {
    case 'ECONNREFUSED':
      return `${dial}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${dial}: connect: no route to host`;
    case 'ENETUNREACH':
      return `${dial}: connect: network is unreachable`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${host}: no such host`;
    case 'ECONNRESET':
      return 'EOF';
    case 'CERT_HAS_EXPIRED':
      return 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `tls: failed to verify certificate: x509: certificate is not valid for ${url.hostname}`;
    default:
      return messageOf(error);
  }
}
