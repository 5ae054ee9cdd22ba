/** Access control as a whole: who asks, what they may do, and the tokens that service accounts get. */
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../store/store.ts';
import { RequestAuthenticator, type Authenticator } from './authentication/authenticator.ts';
import type { SigningKey } from './authentication/jws.ts';
import { ServiceAccountTokens } from './authentication/tokens.ts';
import { Authorizer } from './authorization/authorizer.ts';
import { RoleIndex } from './authorization/role-index.ts';

export interface Access {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly tokens: ServiceAccountTokens;
}

/** Reads roles, bindings and service accounts from the store, always as they are at the moment of a request. */
export function makeAccess(options: {
  readonly store: Store;
  readonly clock: Clock;
  /** Signs tokens. */
  readonly key: SigningKey;
}): Access {
  const { store, clock, key } = options;
  const tokens = new ServiceAccountTokens({ store, clock, keys: [key] });
  return {
    authenticator: new RequestAuthenticator(tokens, clock),
    authorizer: new Authorizer(new RoleIndex(store)),
    tokens,
  };
}
