/** Who asks: client certificates of the platform's own CA. */
import type { TLSSocket } from 'node:tls';
import { ApiError } from '../api-error.ts';

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/**
 * The user of a verified client certificate: its CN, and its Os as groups (Kubernetes X.509 authentication).
 * Undefined: no certificate, or one that is not of our CA.
 */
export function userOf(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  const name = firstOf(subject?.CN);
  if (!name) return undefined;
  const organizations: string | string[] | undefined = subject.O;
  const groups = organizations === undefined ? [] : [organizations].flat();
  return { name, groups: [...groups, 'system:authenticated'] };
}

function firstOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

export function unauthorized(): ApiError {
  return new ApiError('Unauthorized', 'Unauthorized');
}

/** Paths that say nothing about the cluster's contents: probes and the version. */
const anonymousPaths = new Set(['/healthz', '/livez', '/readyz', '/version']);

export function isAnonymousPath(path: string): boolean {
  return anonymousPaths.has(path) || /^\/(healthz|livez|readyz)\//.test(path);
}

/** Members of `system:masters` may do everything; there are no other grants. Throws 403. */
export function authorize(user: User, method: string, path: string): void {
  if (user.groups.includes('system:masters')) return;
  throw new ApiError(
    'Forbidden',
    `forbidden: User ${JSON.stringify(user.name)} cannot ${method.toLowerCase()} path ${JSON.stringify(path)}`,
  );
}
