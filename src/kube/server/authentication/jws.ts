/**
 * JSON Web Signatures in compact form (RFC 7515) with ES256 (RFC 7518 §3.4): the one algorithm that is made and taken
 * here, so that no header can choose another.
 */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

/** Longer than any token of ours; keeps hostile ones cheap. */
const maxTokenLength = 16 * 1024;
const base64Url = /^[A-Za-z0-9_-]+$/;

export interface SigningKey {
  /** P-256. */
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly id: string;
}

/** Completes a key; its id is the hash of its public half, as kube-apiserver's is. */
export function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey);
  const der = publicKey.export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey, id: createHash('sha256').update(der).digest('base64url') };
}

/** The token of a payload. */
export function signToken(payload: object, key: SigningKey): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'ES256', kid: key.id })}.${part(payload)}`;
  const signature = sign('sha256', Buffer.from(signed), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  return `${signed}.${signature.toString('base64url')}`;
}

/** Whether the text has the form of a JWS at all: three parts of the right alphabet, of bounded length. */
function parts(token: string): readonly [string, string, string] | undefined {
  if (token.length > maxTokenLength) return undefined;
  const [header, payload, signature, ...rest] = token.split('.');
  if (!header || !payload || !signature || rest.length > 0) return undefined;
  return [header, payload, signature].every((part) => base64Url.test(part))
    ? [header, payload, signature]
    : undefined;
}

function members(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The payload of a token that one of the keys has signed; undefined for anything else, however malformed. */
export function verifyToken(
  token: string,
  keys: readonly SigningKey[],
): Readonly<Record<string, unknown>> | undefined {
  const [header, payload, signature] = parts(token) ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return undefined;
  const { alg, kid, crit } = members(header) ?? {};
  if (alg !== 'ES256' || crit !== undefined) return undefined;
  const key = keys.find(({ id }) => id === kid);
  if (!key) return undefined;
  const bytes = Buffer.from(signature, 'base64url');
  // One signature has one spelling: stray low bits of the last character would make a second token of it.
  if (bytes.length !== 64 || bytes.toString('base64url') !== signature) return undefined;
  const signed = Buffer.from(`${header}.${payload}`);
  const genuine = verify('sha256', signed, { key: key.publicKey, dsaEncoding: 'ieee-p1363' }, bytes);
  return genuine ? members(payload) : undefined;
}

/** RFC 7517: the public halves, for those who check tokens by themselves. */
export function makeKeySet(keys: readonly SigningKey[]): object {
  return {
    keys: keys.map(({ publicKey, id }) => {
      const { kty, crv, x, y } = publicKey.export({ format: 'jwk' });
      return { use: 'sig', kty, kid: id, crv, alg: 'ES256', x, y };
    }),
  };
}
