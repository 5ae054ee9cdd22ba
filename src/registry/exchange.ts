/** One request of the distribution API and its answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseDigest } from '../image/digest.ts';
import type { Reference } from '../image/reference.ts';
import { embeddedRegistry, type ImageStore } from '../image/store.ts';
import { RegistryError } from './errors.ts';

export interface Exchange {
  readonly store: ImageStore;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Repository path. */
  readonly name: string;
  /** The last part of the path: tag, digest or upload ID. */
  readonly reference: string;
  readonly query: URLSearchParams;
}

/** The repository as the image store knows it. */
export function repositoryOf(name: string): Reference {
  return { registry: embeddedRegistry, repository: name };
}

/** Throws DIGEST_INVALID unless the text is a digest that can be verified. */
export function requireDigestText(text: string | null): string {
  if (text !== null && parseDigest(text)) return text;
  throw new RegistryError('DIGEST_INVALID', `${JSON.stringify(text)} is not a sha256 or sha512 digest`);
}

/** Ends the answer without a body. */
export function answerEmpty(
  { response }: Exchange,
  status: number,
  headers: { readonly [name: string]: string | string[] } = {},
): void {
  response.writeHead(status, { 'content-length': '0', ...headers }).end();
}

export function answerJson(
  { response, request }: Exchange,
  body: unknown,
  headers: { readonly [name: string]: string } = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': String(bytes.length),
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

/** The body's chunks. Leaving the loop early keeps the connection, so that the refusal can still be answered. */
export function bodyOf(request: IncomingMessage): AsyncIterable<unknown> {
  return request.iterator({ destroyOnReturn: false });
}

/** Reads a request body of at most `maxSize` bytes. */
export async function readRequestBody(request: IncomingMessage, maxSize: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of bodyOf(request)) {
    parts.push(part as Buffer);
    size += (part as Buffer).length;
    if (size > maxSize) {
      throw new RegistryError('SIZE_INVALID', `the body is larger than ${maxSize} bytes`, { status: 413 });
    }
  }
  return Buffer.concat(parts);
}
