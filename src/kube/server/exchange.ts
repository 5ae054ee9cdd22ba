/** One HTTP request with its answer, as the handlers see it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { constants, gzip } from 'node:zlib';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import { ApiError } from '../api-error.ts';
import type { AuditRecord } from './audit/record.ts';
import type { User } from './authentication/user.ts';
import type { AnswerForm } from './media-type.ts';
import { encodeDocument, type Answer } from './present.ts';
import { failureStatus } from './status.ts';
import type { YamlThread } from './yaml/thread.ts';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** GET for HEAD too: Node leaves the body out by itself. */
  readonly method: string;
  /** Decoded segments of the path. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** Whom the request acts as: with impersonation, not who sent it. */
  readonly user: User;
  /** Throws 403 unless the user may do this as well to what the path names. */
  readonly authorize: (verb: string) => void;
  /** What the audit log will say of the request, where there is one. */
  readonly record?: AuditRecord;
  /** Aborted when the client has gone or the server closes. */
  readonly signal: AbortSignal;
  /** What reads bodies of YAML. */
  readonly yaml: YamlThread;
  /** The connection, and what has come after the head, of a request that asks to go on in another protocol. */
  readonly upgrade?: { readonly socket: Socket; readonly head: Buffer };
}

type Headers = Readonly<Record<string, string | readonly string[]>>;

const noted = new WeakMap<ServerResponse, Headers>();

/** Headers of the answer, whatever it will be. Setting them on the response would cost twice as much. */
export function noteHeaders(response: ServerResponse, headers: Headers): void {
  noted.set(response, headers);
}

/** What {@link noteHeaders} was told. */
export function notedHeaders(response: ServerResponse): Record<string, string | string[]> | undefined {
  return noted.get(response) as Record<string, string | string[]> | undefined;
}

/** Answers; a large body goes out compressed to whoever takes that. */
export function send(response: ServerResponse, code: number, answer: Answer, headers: Headers = {}): void {
  const all = { ...answerHeaders(answer), ...(headers as Record<string, string | string[]>) };
  const end = (body: Buffer, more: Record<string, string | number> = {}): void => {
    if (response.destroyed) return;
    response.writeHead(code, { ...all, ...notedHeaders(response), ...more });
    response.end(body);
  };
  const compresses =
    answer.body.length >= compressedFrom && !('content-encoding' in all) && takesGzip(response.req);
  if (!compresses) return end(answer.body);
  // In the thread pool: other requests are answered meanwhile.
  gzip(answer.body, { level: constants.Z_BEST_SPEED }, (error, packed) => {
    if (error) return end(answer.body);
    end(packed, {
      'content-encoding': 'gzip',
      'content-length': packed.length,
      vary: 'Accept-Encoding',
    });
  });
}

/** As kube-apiserver: below this, compressing costs more than it saves. */
const compressedFrom = 128 * 1024;

function takesGzip(request: IncomingMessage): boolean {
  const accepted = request.headers['accept-encoding'];
  return typeof accepted === 'string' && /(^|,)\s*gzip\s*(;\s*q=(1|0\.\d*[1-9]\d*)\s*)?(,|$)/i.test(accepted);
}

function answerHeaders(answer: Answer): Record<string, string | number> {
  return {
    'cache-control': 'no-cache, private',
    'content-type': answer.contentType,
    'content-length': answer.body.length,
  };
}

export async function sendDocument(
  response: ServerResponse,
  code: number,
  document: object,
  form: AnswerForm = { format: 'json' },
): Promise<void> {
  send(response, code, await encodeDocument(document, form));
}

export function sendText(response: ServerResponse, code: number, text: string): void {
  const answer = { contentType: 'text/plain; charset=utf-8', body: Buffer.from(text) };
  send(response, code, answer, { 'x-content-type-options': 'nosniff' });
}

/** What kube-apiserver's path router says about a path that nothing is served under. */
export function sendPageNotFound(response: ServerResponse): void {
  sendText(response, 404, '404 page not found\n');
}

/** The ApiError that tells a client about any failure. */
export function asApiFailure(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof KnapsackError && error.entry.status === 503) {
    return new ApiError('ServiceUnavailable', `${error.message} ${error.entry.remedy} (${error.code})`);
  }
  return new ApiError('InternalError', `Internal error occurred: ${messageOf(error)}`);
}

/** Answers with a Status. A request whose body was refused is not read further: its connection ends. */
export function sendFailure(exchange: Pick<Exchange, 'request' | 'response'>, failure: ApiError): void {
  const { request, response } = exchange;
  const body = Buffer.from(`${JSON.stringify(failureStatus(failure))}\n`);
  const retry = failure.details?.retryAfterSeconds;
  const headers: Record<string, string> = retry === undefined ? {} : { 'retry-after': String(retry) };
  const answer = { contentType: 'application/json', body };
  if (request.complete) send(response, failure.code, answer, headers);
  else sendWhileReceiving(request, response, failure.code, answer, headers);
}

/** What a client that was refused may still send: 16 MiB within 2 s. */
const maxDiscardedBytes = 16 * 1024 * 1024;
const maxDiscardingMs = 2000;

/**
 * Answers, and reads on without keeping: a connection that is closed with bytes unread is reset, and the client, still
 * sending, would never see the answer. Up to a bound, behind which it has lost its claim to one.
 */
function sendWhileReceiving(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  answer: Answer,
  headers: Record<string, string>,
): void {
  response.writeHead(code, {
    ...answerHeaders(answer),
    ...notedHeaders(response),
    ...headers,
    connection: 'close',
  });
  response.write(answer.body);
  let size = 0;
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, maxDiscardingMs);
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxDiscardedBytes) end();
  });
  request.on('end', end).on('close', end);
  request.on('error', () => undefined);
  request.resume();
}
