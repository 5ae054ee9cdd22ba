/** Answers that the gateway gives itself: errors of the catalogue, as text or JSON. */
import { http } from '../base/http.ts';
import { gatewayErrors } from '../base/catalogue/gateway.ts';
import type { Refusal } from './http1/fields.ts';

const { STATUS_CODES } = http;

export type GatewayCode = keyof typeof gatewayErrors;

export interface AnswerOptions {
  readonly json: boolean;
  /** The client asked with HEAD: the head only. */
  readonly isHead: boolean;
  readonly close: boolean;
  /** The client speaks HTTP/1.0 and asked to keep the connection. */
  readonly keepAlive10: boolean;
}

/** The bytes of an error answer. `message` says what happened to this request. */
export function errorAnswer(code: GatewayCode, message: string, options: AnswerOptions): Buffer {
  const { status, cause, remedy } = gatewayErrors[code];
  const body = Buffer.from(
    options.json
      ? `${JSON.stringify({ code, message, cause, remedy })}\n`
      : `${code}: ${message}\n${cause}\n${remedy}\n`,
  );
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
    `Content-Type: ${options.json ? 'application/json' : 'text/plain; charset=utf-8'}\r\n` +
    `Content-Length: ${body.length}\r\n` +
    `X-Knapsack-Error: ${code}\r\n` +
    (status === 503 ? 'Retry-After: 1\r\n' : '') +
    (status === 405 ? 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' : '') +
    `Date: ${new Date().toUTCString()}\r\n` +
    connectionLine(options) +
    '\r\n';
  return options.isHead ? Buffer.from(head) : Buffer.concat([Buffer.from(head), body]);
}

/** An ordinary short answer of the gateway: probes. `fields` are whole lines. */
export function plainAnswer(status: number, fields: string, text: string, options: AnswerOptions): Buffer {
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\n` +
    `${fields}${connectionLine(options)}\r\n`;
  return Buffer.from(options.isHead ? head : head + text, 'latin1');
}

function connectionLine(options: AnswerOptions): string {
  if (options.close) return 'Connection: close\r\n';
  return options.keepAlive10 ? 'Connection: keep-alive\r\n' : '';
}

/** The code of what a parser refused. */
export function codeOfRefusal(refusal: Refusal): GatewayCode {
  switch (refusal.status) {
    case 405:
      return 'GATEWAY_METHOD_NOT_SERVED';
    case 414:
      return 'GATEWAY_TARGET_TOO_LONG';
    case 417:
      return 'GATEWAY_EXPECTATION_FAILED';
    case 431:
      return 'GATEWAY_HEAD_TOO_LARGE';
    case 501:
      return 'GATEWAY_ENCODING_NOT_SERVED';
    case 505:
      return 'GATEWAY_VERSION_NOT_SERVED';
    default:
      return 'GATEWAY_BAD_REQUEST';
  }
}
