/** Tokens for the pods of a node of this process. */
import type { Clock } from '../../../base/clock.ts';
import { nodes, serviceAccounts } from '../../../api/kubernetes/index.ts';
import type { Informers } from '../../client/informer.ts';
import { whenPresent } from '../../client/when-present.ts';
import { notFound } from '../service/errors.ts';
import type { ServiceAccountTokens } from './tokens.ts';

export interface PodTokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
}

/** How long the default account of a new namespace may take to appear, ms. */
const namespaceSetupMs = 2000;

/**
 * Issues tokens from what the informers know: a pod that starts need not wait for the store to have written the newest
 * version of itself. The source throws 404 for an account that does not come.
 */
export function podTokenSource(options: {
  readonly tokens: ServiceAccountTokens;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly nodeName: string;
}): (request: PodTokenRequest) => Promise<string> {
  const { tokens, informers, clock, nodeName } = options;
  const accounts = informers.for(serviceAccounts);
  const machines = informers.for(nodes);
  return async ({ namespace, serviceAccount, audience, expirationSeconds, pod }) => {
    const key = `${namespace}/${serviceAccount}`;
    const account = accounts.get(key) ?? (await whenPresent(accounts, key, clock, namespaceSetupMs));
    if (!account) throw notFound(serviceAccounts, serviceAccount);
    const node = machines.get(nodeName);
    const { token } = tokens.issue({
      namespace,
      account: { name: serviceAccount, uid: account.metadata.uid ?? '' },
      pod,
      ...(node ? { node: { name: nodeName, uid: node.metadata.uid ?? '' } } : {}),
      audiences: audience ? [audience] : [],
      expirationSeconds,
    });
    return token;
  };
}
