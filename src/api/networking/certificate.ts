/** networking.internal.knative.dev/v1alpha1 Certificate and ClusterDomainClaim: data for certificate and domain owners. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { intOrString, string, strings } from '../knative/values.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { networkingGroup } from './ingress.ts';

const certificateSchema = {
  type: 'object',
  description: 'A wish for a TLS certificate of some host names.',
  properties: {
    spec: {
      type: 'object',
      required: ['dnsNames', 'secretName'],
      properties: { dnsNames: strings, domain: string, secretName: string },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        http01Challenges: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              serviceName: string,
              serviceNamespace: string,
              servicePort: intOrString,
              url: string,
            },
          },
        },
        notAfter: { type: 'string', format: 'date-time' },
      },
    },
  },
} as const satisfies Schema;

export type Certificate = ObjectOf<typeof certificateSchema>;

export const certificates = defineResource({
  group: networkingGroup,
  version: 'v1alpha1',
  kind: 'Certificate',
  plural: 'certificates',
  shortNames: ['kcert'],
  categories: ['knative-internal', 'networking'],
  namespaced: true,
  builtin: false,
  schema: certificateSchema,
  subresources: { status: true },
  columns: readyColumns,
});

const clusterDomainClaimSchema = {
  type: 'object',
  description: 'Reserves a domain for one namespace; the name of the object is the domain.',
  properties: {
    spec: { type: 'object', required: ['namespace'], properties: { namespace: string } },
  },
} as const satisfies Schema;

export const clusterDomainClaims = defineResource({
  group: networkingGroup,
  version: 'v1alpha1',
  kind: 'ClusterDomainClaim',
  plural: 'clusterdomainclaims',
  shortNames: ['cdc'],
  categories: ['knative-internal', 'networking'],
  namespaced: false,
  builtin: false,
  schema: clusterDomainClaimSchema,
  subresources: { status: true },
  columns: [],
});
