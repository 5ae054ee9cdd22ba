/**
 * Tokens of service accounts: issued here, and checked against the objects that they are bound to on every request, so
 * that a token falls with its pod, Secret or account at once (kubernetes pkg/serviceaccount validator).
 */
import { hash, randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { nodes, pods, secrets, serviceAccounts } from '../../../api/kubernetes/index.ts';
import type { KubeObject } from '../../../api/object.ts';
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import type { Store } from '../../store/store.ts';
import {
  makeBoundPayload,
  makeSecretPayload,
  readPayload,
  type BoundClaims,
  type BoundName,
  type SecretClaims,
  type TokenClaims,
} from './claims.ts';
import { makeKeySet, signToken, verifyToken, type SigningKey } from './jws.ts';
import {
  authenticatedGroup,
  credentialIdKey,
  serviceAccountGroups,
  serviceAccountUser,
  type User,
} from './user.ts';

/** What tokens name as their issuer, and as their audience when none is asked for. */
export const serviceAccountIssuer = 'https://kubernetes.default.svc.cluster.local';

export interface TokenOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** The first signs; all verify. */
  readonly keys: readonly [SigningKey, ...SigningKey[]];
}

/** The outcome of looking at a token. */
export type TokenVerdict =
  | { readonly user: User; readonly audiences: readonly string[] }
  | { readonly error: string };

export interface BoundTokenRequest extends Pick<
  BoundClaims,
  'namespace' | 'account' | 'pod' | 'secret' | 'node'
> {
  /** Empty: the API server itself. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
}

interface CachedToken {
  readonly claims: TokenClaims;
  readonly user: User;
}

/** Signatures that were found genuine; checking one costs a hundred times what remembering it does. */
const maxCached = 4096;
/** A clock that was set back a little must not refuse what was just issued, seconds. */
const notBeforeLeeway = 60;
/** An object on its way out may use its credentials a little longer, to end in order, ms. */
const deletionLeewayMs = 60_000;

export class ServiceAccountTokens {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #keys: TokenOptions['keys'];
  /** By the hash of the token, oldest first: a heap dump holds no credentials. */
  readonly #genuine = new Map<string, CachedToken>();

  constructor(options: TokenOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#keys = options.keys;
  }

  /** A new token, with its end. */
  issue(request: BoundTokenRequest): { readonly token: string; readonly expires: number } {
    const { audiences, expirationSeconds, ...bound } = request;
    const now = Math.floor(this.#clock.now() / 1000);
    const claims: BoundClaims = {
      ...bound,
      kind: 'bound',
      id: randomUUID(),
      audiences: audiences.length > 0 ? audiences : [serviceAccountIssuer],
      issuedAt: now,
      notBefore: now,
      expires: now + expirationSeconds,
    };
    const token = signToken(makeBoundPayload(claims, serviceAccountIssuer), this.#keys[0]);
    return { token, expires: claims.expires * 1000 };
  }

  /** The token of a Secret of type `kubernetes.io/service-account-token`: without an end. */
  issueForSecret(claims: Omit<SecretClaims, 'kind'>): string {
    return signToken(makeSecretPayload({ ...claims, kind: 'secret' }), this.#keys[0]);
  }

  /**
   * Whose token it is. `audiences`: what the token must be meant for, one of them at least; the verdict names which.
   * Never throws.
   */
  verify(token: string, audiences: readonly string[] = [serviceAccountIssuer]): TokenVerdict {
    const known = this.#genuineToken(token);
    if (!known) return { error: 'invalid bearer token' };
    const { claims, user } = known;
    const meant = claims.kind === 'bound' ? claims.audiences : [serviceAccountIssuer];
    const common = audiences.filter((audience) => meant.includes(audience));
    if (common.length === 0) {
      return { error: 'invalid bearer token, token audiences do not include any of those expected' };
    }
    const error = claims.kind === 'bound' ? this.#boundFault(claims) : this.#secretFault(claims, token);
    return error === undefined ? { user, audiences: common } : { error: `invalid bearer token, ${error}` };
  }

  keySet(): object {
    return makeKeySet(this.#keys);
  }

  #genuineToken(token: string): CachedToken | undefined {
    const key = hash('sha256', token, 'base64');
    const cached = this.#genuine.get(key);
    if (cached) return cached;
    const payload = verifyToken(token, this.#keys);
    const claims = payload && readPayload(payload, serviceAccountIssuer);
    if (!claims) return undefined;
    if (this.#genuine.size >= maxCached) {
      const [oldest = ''] = this.#genuine.keys();
      this.#genuine.delete(oldest);
    }
    const known = { claims, user: makeUser(claims) };
    this.#genuine.set(key, known);
    return known;
  }

  #boundFault(claims: BoundClaims): string | undefined {
    const now = this.#clock.now() / 1000;
    if (now >= claims.expires) return 'service account token has expired';
    if (now + notBeforeLeeway < claims.notBefore) return 'service account token is not valid yet';
    const { namespace, account, pod, secret, node } = claims;
    const stale =
      !this.#lives(serviceAccounts, namespace, account) ||
      (pod && !this.#lives(pods, namespace, pod)) ||
      (secret && !this.#lives(secrets, namespace, secret)) ||
      // A pod's token names its node for information; the pod decides.
      (node && !pod && !this.#lives(nodes, undefined, node));
    return stale ? 'service account token has been invalidated' : undefined;
  }

  #secretFault({ namespace, account, secretName }: SecretClaims, token: string): string | undefined {
    const secret = this.#find(secrets, namespace, secretName);
    const kept = secret?.data?.['token'];
    const isKept = kept !== undefined && kept === Buffer.from(token).toString('base64');
    const stale =
      !isKept || secret?.metadata.deletionTimestamp || !this.#lives(serviceAccounts, namespace, account);
    return stale ? 'service account token has been invalidated' : undefined;
  }

  #find<T extends KubeObject>(
    def: ResourceDef<T>,
    namespace: string | undefined,
    name: string,
  ): T | undefined {
    const key = namespace === undefined ? name : `${namespace}/${name}`;
    return this.#store.table(qualifiedName(def)).get(key)?.object as T | undefined;
  }

  #lives(def: ResourceDef, namespace: string | undefined, { name, uid }: BoundName): boolean {
    const object = this.#find(def, namespace, name);
    if (!object || object.metadata.uid !== uid) return false;
    const { deletionTimestamp } = object.metadata;
    return (
      deletionTimestamp === undefined || Date.parse(deletionTimestamp) + deletionLeewayMs > this.#clock.now()
    );
  }
}

function makeUser(claims: TokenClaims): User {
  const { namespace, account } = claims;
  const extra: Record<string, readonly string[]> = {};
  if (claims.kind === 'bound') {
    const { pod, node } = claims;
    extra[credentialIdKey] = [`JTI=${claims.id}`];
    if (pod) {
      extra['authentication.kubernetes.io/pod-name'] = [pod.name];
      extra['authentication.kubernetes.io/pod-uid'] = [pod.uid];
    }
    if (node) {
      extra['authentication.kubernetes.io/node-name'] = [node.name];
      extra['authentication.kubernetes.io/node-uid'] = [node.uid];
    }
  }
  return {
    name: serviceAccountUser(namespace, account.name),
    uid: account.uid,
    groups: [...serviceAccountGroups(namespace), authenticatedGroup],
    extra,
  };
}
