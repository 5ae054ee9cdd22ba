/** The group networking.internal.knative.dev. */
import type { ResourceDef } from '../resource.ts';
import { certificates, clusterDomainClaims } from './certificate.ts';
import { ingresses } from './ingress.ts';
import { serverlessServices } from './serverless-service.ts';

export { certificates, clusterDomainClaims, type Certificate } from './certificate.ts';
export { ingresses, type Ingress, type IngressPath, type IngressRule, type IngressSplit } from './ingress.ts';
export { serverlessServices, type ServerlessService } from './serverless-service.ts';

export const networkingResources: readonly ResourceDef[] = [
  ingresses,
  serverlessServices,
  certificates,
  clusterDomainClaims,
];
