/** Who sent a request: by certificate, by bearer token, or nobody. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../../base/clock.ts';
import { ApiError } from '../../api-error.ts';
import { CertificateAuthenticator } from './certificate.ts';
import type { ServiceAccountTokens } from './tokens.ts';
import type { User } from './user.ts';

export function unauthorized(): ApiError {
  return new ApiError('Unauthorized', 'Unauthorized');
}

/** Paths that say nothing about the cluster's contents: probes and the version. Anyone may ask for them. */
const anonymousPaths = new Set(['/healthz', '/livez', '/readyz', '/version']);

export function isAnonymousPath(path: string): boolean {
  return anonymousPaths.has(path) || /^\/(healthz|livez|readyz)\//.test(path);
}

export interface Authenticator {
  /** Undefined: no credentials. Throws 401 for credentials that are not good, on any path. */
  authenticate(request: IncomingMessage): User | undefined;
}

export class RequestAuthenticator implements Authenticator {
  readonly #certificates = new CertificateAuthenticator();
  readonly #tokens: ServiceAccountTokens;
  readonly #clock: Clock;

  constructor(tokens: ServiceAccountTokens, clock: Clock) {
    this.#tokens = tokens;
    this.#clock = clock;
  }

  authenticate(request: IncomingMessage): User | undefined {
    const certificate = this.#certificates.authenticate(request.socket as TLSSocket, this.#clock.now());
    if (certificate !== undefined && certificate !== 'refused') return certificate;
    const token = bearerToken(request.headers.authorization) ?? webSocketToken(request);
    if (token !== undefined) {
      const verdict = this.#tokens.verify(token);
      if ('user' in verdict) return verdict.user;
      throw unauthorized();
    }
    if (certificate === 'refused') throw unauthorized();
    return undefined;
  }
}

/** What a subprotocol of a WebSocket begins with that carries a token. */
export const tokenProtocol = 'base64url.bearer.authorization.k8s.io.';

/** Browsers cannot send other headers with a WebSocket: a token comes as one of its subprotocols. */
function webSocketToken({ headers }: IncomingMessage): string | undefined {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  const found = protocols.find((name) => name.startsWith(tokenProtocol));
  return found && Buffer.from(found.slice(tokenProtocol.length), 'base64url').toString();
}

/** RFC 6750 §2.1. An Authorization header of another scheme says nothing to us. */
function bearerToken(header: string | undefined): string | undefined {
  const match = /^bearer +([^ ]+) *$/i.exec(header ?? '');
  return match?.[1];
}
