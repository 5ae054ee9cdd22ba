/** One HTTP request to a registry: time limits, redirects, bodies with a cap. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { http } from '../../base/http.ts';
import { KnapsackError, messageOf } from '../../base/errors.ts';

const { request: httpRequest } = http;

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: { readonly [name: string]: string };
  /** A stream can be sent once: a request with one is not redirected. */
  readonly body?: Uint8Array | Readable;
}

export interface RegistryResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be read to the end or destroyed. */
  readonly body: IncomingMessage;
  /** Where the response came from, after redirects. */
  readonly url: URL;
}

export interface HttpLimits {
  /** Until the response headers, and between two parts of a body, ms. */
  readonly idleMs: number;
}

const maxRedirects = 5;

/**
 * Sends a request. Redirects of GET and HEAD are followed (blobs often lie elsewhere); the authorization header goes no
 * further than the host it was meant for, and https never falls back to http.
 * Throws IMAGE_REGISTRY_UNREACHABLE when no response comes.
 */
export async function send(request: RegistryRequest, limits: HttpLimits): Promise<RegistryResponse> {
  let { url } = request;
  let headers = request.headers ?? {};
  for (let hop = 0; ; hop++) {
    const response = await sendOnce({ ...request, url, headers }, limits);
    const { location } = response.headers;
    const redirected = [301, 302, 303, 307, 308].includes(response.status) && location !== undefined;
    if (!redirected || (request.method !== 'GET' && request.method !== 'HEAD')) return response;
    response.body.destroy();
    const next = new URL(location, url);
    if (hop === maxRedirects) throw unreachable(url, 'too many redirects');
    if (next.protocol !== 'https:' && (url.protocol === 'https:' || next.protocol !== 'http:')) {
      throw unreachable(url, `it redirects to ${next.protocol}//${next.host}`);
    }
    if (next.origin !== url.origin) {
      const { authorization: _, ...others } = headers;
      headers = others;
    }
    url = next;
  }
}

async function sendOnce(request: RegistryRequest, limits: HttpLimits): Promise<RegistryResponse> {
  const { url, method, body } = request;
  const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers: { [name: string]: string } = { 'user-agent': 'knapsack', ...request.headers };
  if (body instanceof Uint8Array) headers['content-length'] = String(body.length);
  else if (!body && method !== 'GET' && method !== 'HEAD') headers['content-length'] = '0';
  const outgoing = make(url, { method, headers, timeout: limits.idleMs });
  outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer in ${limits.idleMs} ms`)));
  const responded = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
  });
  try {
    // A server may answer, and close, before it has read a body that it does not want: the answer counts then.
    const sending = body && !(body instanceof Uint8Array) ? pipeline(body, outgoing) : undefined;
    sending?.catch(() => {});
    if (!sending) outgoing.end(body);
    const response = await responded;
    return { status: response.statusCode ?? 0, headers: response.headers, body: response, url };
  } catch (error) {
    throw unreachable(url, messageOf(error) || 'connection failed', error);
  }
}

/** Says which registry could not be reached, and why. */
export function unreachable(url: URL, why: string, cause?: unknown): KnapsackError {
  return new KnapsackError('IMAGE_REGISTRY_UNREACHABLE', `registry ${url.host} cannot be reached: ${why}`, {
    cause,
  });
}

/** Reads a body of at most `maxSize` bytes into memory. Throws IMAGE_TOO_LARGE, IMAGE_REGISTRY_UNREACHABLE. */
export async function readBody(response: RegistryResponse, maxSize: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of response.body) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size > maxSize) {
        throw new KnapsackError(
          'IMAGE_TOO_LARGE',
          `the answer of ${response.url.host} is larger than ${maxSize} bytes`,
        );
      }
    }
  } catch (error) {
    if (error instanceof KnapsackError) throw error;
    throw unreachable(response.url, `the answer broke off: ${messageOf(error)}`, error);
  }
  return Buffer.concat(parts);
}
