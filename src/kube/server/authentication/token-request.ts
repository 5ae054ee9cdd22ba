/** `serviceaccounts/token`: a token for a service account (`kubectl create token`; kubernetes pkg/registry/core/serviceaccount/storage/token.go). */
import type { Clock } from '../../../base/clock.ts';
import { nodes, pods, secrets, serviceAccounts, type ServiceAccount } from '../../../api/kubernetes/index.ts';
import { timestamp, type KubeObject } from '../../../api/object.ts';
import type { Pod } from '../../../api/pods.ts';
import type { Issue, ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { isNotFound, type ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { decodeObject, readBody } from '../body.ts';
import { sendDocument } from '../exchange.ts';
import { negotiate } from '../media-type.ts';
import { badRequest, conflict, invalid } from '../service/errors.ts';
import type { ApiService } from '../service/service.ts';
import { methodNotAllowed } from '../status.ts';
import type { SubresourceHandler } from '../subresources.ts';
import type { BoundName } from './claims.ts';
import { serviceAccountIssuer, type BoundTokenRequest, type ServiceAccountTokens } from './tokens.ts';

const tokenRequests: ResourceDef = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  listKind: 'TokenRequestList',
  plural: 'tokenrequests',
  singular: 'tokenrequest',
  namespaced: true,
  builtin: true,
  schema: { $ref: 'authentication.v1.TokenRequest' },
  columns: [],
};

const minExpirationSeconds = 600;
const maxExpirationSeconds = 2 ** 32;
const defaultExpirationSeconds = 3600;

export interface TokenSpec {
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly bound: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

export interface IssuedToken {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Issues tokens after looking at the account and at what the token is to be bound to. Shared with the node agent. */
export class TokenRequests {
  readonly #service: ApiService;
  readonly #tokens: ServiceAccountTokens;

  constructor(service: ApiService, tokens: ServiceAccountTokens) {
    this.#service = service;
    this.#tokens = tokens;
  }

  /** Throws 404 for an unknown account or bound object, 409 for one that was replaced, 400 for one of another kind. */
  async issue(key: ObjectKey, spec: TokenSpec): Promise<IssuedToken> {
    const account = (await this.#service.get(serviceAccounts, key)).object;
    const bound = spec.bound ? await this.#bind(account, spec.bound) : {};
    return this.#tokens.issue({
      namespace: key.namespace ?? '',
      account: boundName(account),
      ...bound,
      audiences: spec.audiences,
      expirationSeconds: spec.expirationSeconds,
    });
  }

  async #bind(
    account: ServiceAccount,
    bound: NonNullable<TokenSpec['bound']>,
  ): Promise<Pick<BoundTokenRequest, 'pod' | 'secret' | 'node'>> {
    const { namespace = '' } = account.metadata;
    switch (bound.kind) {
      case 'Pod': {
        const pod = (await this.#find(pods, { namespace, name: bound.name }, bound.uid)) as Pod;
        if (pod.spec?.serviceAccountName !== account.metadata.name) {
          throw badRequest(
            `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
          );
        }
        const node = await this.#nodeOf(pod);
        return { pod: boundName(pod), ...(node ? { node } : {}) };
      }
      case 'Secret':
        return { secret: boundName(await this.#find(secrets, { namespace, name: bound.name }, bound.uid)) };
      case 'Node':
        return { node: boundName(await this.#find(nodes, { name: bound.name }, bound.uid)) };
      default:
        throw badRequest(`cannot bind token to object of type v1, Kind=${bound.kind}`);
    }
  }

  async #find(def: ResourceDef, key: ObjectKey, uid: string): Promise<KubeObject> {
    const { object } = await this.#service.get(def, key);
    if (uid !== '' && uid !== object.metadata.uid) {
      const why = `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`;
      throw conflict(def, key.name, why);
    }
    return object;
  }

  async #nodeOf(pod: Pod): Promise<BoundName | undefined> {
    const name = pod.spec?.nodeName;
    if (!name) return undefined;
    try {
      return boundName((await this.#service.get(nodes, { name })).object);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

function boundName({ metadata: { name, uid = '' } }: KubeObject): BoundName {
  return { name, uid };
}

/** The subresource over it. */
export function tokenSubresource(requests: TokenRequests, clock: Clock): SubresourceHandler {
  return {
    of: serviceAccounts,
    name: 'token',
    verbs: ['create'],
    kind: tokenRequests,
    async handle({ method, request, response, yaml }, { key }) {
      if (method !== 'POST') throw methodNotAllowed();
      const form = negotiate(request.headers.accept);
      const type = request.headers['content-type'];
      const body = await decodeObject(yaml, await readBody(request), type, tokenRequests);
      const spec = readSpec(body);
      const { token, expires } = await requests.issue(key, spec);
      const { audiences, expirationSeconds, bound } = spec;
      const answer = {
        kind: tokenRequests.kind,
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { ...key, creationTimestamp: timestamp(clock.now()) },
        spec: {
          audiences: audiences.length > 0 ? audiences : [serviceAccountIssuer],
          expirationSeconds,
          ...(bound ? { boundObjectRef: { apiVersion: 'v1', ...bound } } : {}),
        },
        status: { token, expirationTimestamp: timestamp(expires) },
      };
      await sendDocument(response, 201, answer, form);
    },
  };
}

/** Throws 400 for another kind and 422 for an expiration out of range. */
function readSpec(body: unknown): TokenSpec {
  const object = isMembers(body) ? body : {};
  if (object['kind'] !== undefined && object['kind'] !== '' && object['kind'] !== tokenRequests.kind) {
    throw badRequest(
      `the kind in the data (${JSON.stringify(object['kind'])}) does not match the expected kind (TokenRequest)`,
    );
  }
  const spec = isMembers(object['spec']) ? object['spec'] : {};
  const { audiences, boundObjectRef } = spec;
  // Go clients write null for what they leave out.
  const expirationSeconds = spec['expirationSeconds'] ?? defaultExpirationSeconds;
  const path = 'spec.expirationSeconds';
  const refuse = (value: unknown, detail: string): ApiError => {
    const issue: Issue = { type: 'Invalid', path, value, detail };
    return invalid(tokenRequests, '', [issue]);
  };
  if (typeof expirationSeconds !== 'number' || !Number.isInteger(expirationSeconds)) {
    throw badRequest('TokenRequest: spec.expirationSeconds must be a whole number');
  }
  if (expirationSeconds < minExpirationSeconds) {
    throw refuse(expirationSeconds, 'may not specify a duration less than 10 minutes');
  }
  if (expirationSeconds > maxExpirationSeconds) {
    throw refuse(expirationSeconds, 'may not specify a duration larger than 2^32 seconds');
  }
  const ref = isMembers(boundObjectRef) ? boundObjectRef : undefined;
  const member = (name: string): string => (typeof ref?.[name] === 'string' ? ref[name] : '');
  return {
    audiences: Array.isArray(audiences) ? audiences.filter((item) => typeof item === 'string') : [],
    expirationSeconds,
    bound: ref ? { kind: member('kind'), name: member('name'), uid: member('uid') } : undefined,
  };
}
