/** What every reconciler of serving is made with. */
import type { ControllerEnv } from '../kube/controller/controller.ts';
import type { ServingConfigStore } from './config-store.ts';

/** Finds the digest of an image. */
export interface ImageResolver {
  /**
   * `reference` as written by the user; resolves to the same repository with a digest (`name@sha256:…`). Rejects with an
   * Error whose message says why, as a registry client would. Credentials of `pullSecrets` (names in `namespace`) apply.
   */
  resolve(
    reference: string,
    options: {
      readonly namespace: string;
      readonly serviceAccountName: string;
      readonly pullSecrets: readonly string[];
      readonly signal: AbortSignal;
    },
  ): Promise<string>;
}

/** How the gateway is reached from inside: what an ingress' load balancer status says. Exactly one member. */
export interface GatewayAddress {
  readonly ip?: string;
  readonly domain?: string;
  readonly domainInternal?: string;
}

export interface ServingEnv extends ControllerEnv {
  readonly config: ServingConfigStore;
}
