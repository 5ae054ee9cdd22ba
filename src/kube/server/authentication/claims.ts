/** What a service account's token says (kubernetes pkg/serviceaccount claims). */
import { isMembers } from '../../../api/structural-members.ts';

export interface BoundName {
  readonly name: string;
  readonly uid: string;
}

/** A token from TokenRequest: it ends, and falls with the objects that it is bound to. */
export interface BoundClaims {
  readonly kind: 'bound';
  readonly id: string;
  readonly namespace: string;
  readonly account: BoundName;
  readonly pod?: BoundName;
  readonly secret?: BoundName;
  readonly node?: BoundName;
  readonly audiences: readonly string[];
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly notBefore: number;
  readonly expires: number;
}

/** A token kept in a Secret: it lasts as long as that Secret holds it. */
export interface SecretClaims {
  readonly kind: 'secret';
  readonly namespace: string;
  readonly account: BoundName;
  readonly secretName: string;
}

export type TokenClaims = BoundClaims | SecretClaims;

/** The issuer that tokens in Secrets carry on every cluster. */
const secretIssuer = 'kubernetes/serviceaccount';
const secretClaim = 'kubernetes.io/serviceaccount/';

export function makeBoundPayload(claims: BoundClaims, issuer: string): object {
  const { namespace, account, pod, secret, node } = claims;
  return {
    aud: claims.audiences,
    exp: claims.expires,
    iat: claims.issuedAt,
    iss: issuer,
    jti: claims.id,
    'kubernetes.io': {
      namespace,
      ...(node ? { node } : {}),
      ...(pod ? { pod } : {}),
      ...(secret ? { secret } : {}),
      serviceaccount: account,
    },
    nbf: claims.notBefore,
    sub: `system:serviceaccount:${namespace}:${account.name}`,
  };
}

export function makeSecretPayload(claims: SecretClaims): object {
  const { namespace, account, secretName } = claims;
  return {
    iss: secretIssuer,
    [`${secretClaim}namespace`]: namespace,
    [`${secretClaim}secret.name`]: secretName,
    [`${secretClaim}service-account.name`]: account.name,
    [`${secretClaim}service-account.uid`]: account.uid,
    sub: `system:serviceaccount:${namespace}:${account.name}`,
  };
}

/** Reads a payload whose signature has been checked; undefined when it is not one of the two kinds. */
export function readPayload(
  payload: Readonly<Record<string, unknown>>,
  issuer: string,
): TokenClaims | undefined {
  if (payload['iss'] === issuer) return readBound(payload);
  return payload['iss'] === secretIssuer ? readSecret(payload) : undefined;
}

function readBound(payload: Readonly<Record<string, unknown>>): BoundClaims | undefined {
  const { jti, sub, iat, nbf, exp, aud } = payload;
  const own = payload['kubernetes.io'];
  if (!isMembers(own)) return undefined;
  const { namespace } = own;
  const account = boundName(own['serviceaccount']);
  const audiences = typeof aud === 'string' ? [aud] : aud;
  if (typeof namespace !== 'string' || !account || typeof jti !== 'string') return undefined;
  if (typeof iat !== 'number' || typeof nbf !== 'number' || typeof exp !== 'number') return undefined;
  if (!isTexts(audiences) || sub !== `system:serviceaccount:${namespace}:${account.name}`) return undefined;
  const pod = boundName(own['pod']);
  const secret = boundName(own['secret']);
  const node = boundName(own['node']);
  return {
    kind: 'bound',
    id: jti,
    namespace,
    account,
    ...(pod ? { pod } : {}),
    ...(secret ? { secret } : {}),
    ...(node ? { node } : {}),
    audiences,
    issuedAt: iat,
    notBefore: nbf,
    expires: exp,
  };
}

function readSecret(payload: Readonly<Record<string, unknown>>): SecretClaims | undefined {
  const [namespace, secretName, name, uid] = [
    'namespace',
    'secret.name',
    'service-account.name',
    'service-account.uid',
  ].map((claim) => payload[`${secretClaim}${claim}`]);
  if (typeof namespace !== 'string' || typeof secretName !== 'string') return undefined;
  if (typeof name !== 'string' || typeof uid !== 'string') return undefined;
  if (payload['sub'] !== `system:serviceaccount:${namespace}:${name}`) return undefined;
  return { kind: 'secret', namespace, account: { name, uid }, secretName };
}

function boundName(value: unknown): BoundName | undefined {
  if (!isMembers(value)) return undefined;
  const { name, uid } = value;
  return typeof name === 'string' && typeof uid === 'string' ? { name, uid } : undefined;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
