/** The controllers behind access to the API: roles, certificates, tokens, and the Service that leads to it. */
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { certificateSigningController, type SignRequest } from './certificate-signing.ts';
import { kubernetesServiceController, type ApiAddress } from './kubernetes-service.ts';
import { roleAggregationController } from './role-aggregation.ts';
import { tokenSecretController, type TokenSecretOptions } from './token-secrets.ts';

export interface AccessOptions {
  /** Where pods reach the API: what the Service `kubernetes` leads to. Without it there is no such Service. */
  readonly apiAddress?: ApiAddress;
  /** Signs certificate requests; without it they are left to others. */
  readonly signRequest?: SignRequest;
  /** Signs tokens for Secrets; without it they are not filled. */
  readonly issueToken?: TokenSecretOptions['issue'];
  /** PEM certificate of the authority that signed the API's certificate. */
  readonly rootCertificate?: string;
}

export function accessControllers(env: ControllerEnv, options: AccessOptions): Controller[] {
  const { apiAddress, issueToken, rootCertificate, signRequest } = options;
  return [
    roleAggregationController(env),
    ...(signRequest ? [certificateSigningController(env, signRequest)] : []),
    ...(apiAddress ? [kubernetesServiceController(env, apiAddress)] : []),
    ...(issueToken && rootCertificate !== undefined
      ? [tokenSecretController(env, { issue: issueToken, rootCertificate })]
      : []),
  ];
}
