/** How registries ask for credentials: Basic, or a Bearer token from a token service (distribution auth specification). */
import { KnapsackError } from '../../base/errors.ts';
import { readBody, send, type HttpLimits } from './http.ts';
import type { RegistryCredentials } from '../provider.ts';

export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  readonly scheme: string;
  readonly parameters: { readonly [name: string]: string };
}

const maxTokenSize = 1 << 20;

/** Parses a `WWW-Authenticate` header (RFC 9110, 11.6.1), as far as registries use it: one challenge, quoted values. */
export function parseChallenge(header: string): Challenge | undefined {
  const match = /^\s*([A-Za-z]+)(?:\s+(.*))?$/.exec(header);
  if (!match) return undefined;
  const parameters: { [name: string]: string } = {};
  for (const [, name = '', quoted, plain] of (match[2] ?? '').matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]+))/g)) {
    parameters[name.toLowerCase()] = quoted ?? plain ?? '';
  }
  return { scheme: (match[1] ?? '').toLowerCase(), parameters };
}

function basicAuthorization({ username, password }: RegistryCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/**
 * The authorization header that answers a challenge, or undefined when there is none. The password is sent to a token
 * service only over https, unless the registry itself is plain http.
 */
export async function answerChallenge(
  challenge: Challenge,
  registry: URL,
  credentials: RegistryCredentials | undefined,
  limits: HttpLimits,
): Promise<string | undefined> {
  if (challenge.scheme === 'basic') return credentials && basicAuthorization(credentials);
  const { realm, service, scope } = challenge.parameters;
  if (challenge.scheme !== 'bearer' || realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.protocol !== 'https:' && registry.protocol === 'https:') return undefined;
  if (service !== undefined) url.searchParams.set('service', service);
  if (scope !== undefined) url.searchParams.set('scope', scope);
  const response = await send(
    {
      method: 'GET',
      url,
      ...(credentials && { headers: { authorization: basicAuthorization(credentials) } }),
    },
    limits,
  );
  const body = await readBody(response, maxTokenSize);
  if (response.status !== 200) {
    throw new KnapsackError(
      'IMAGE_REGISTRY_REFUSED',
      `the token service ${url.host} of registry ${registry.host} answered ${response.status}`,
    );
  }
  const token = tokenIn(body);
  return token && `Bearer ${token}`;
}

function tokenIn(body: Buffer): string | undefined {
  try {
    const value = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown };
    const token = value.token ?? value.access_token;
    return typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}
