/** networking.internal.knative.dev/v1alpha1 Ingress: host rules with percentage splits, for an ingress implementation. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { boolean, intOrString, string, stringMap, strings } from '../knative/values.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Infer, Schema } from '../schema.ts';

export const networkingGroup = 'networking.internal.knative.dev';

const loadBalancerSchema = {
  type: 'object',
  properties: {
    ingress: {
      type: 'array',
      items: {
        type: 'object',
        properties: { domain: string, domainInternal: string, ip: string, meshOnly: boolean },
      },
    },
  },
} as const satisfies Schema;

const splitSchema = {
  type: 'object',
  required: ['serviceName', 'serviceNamespace', 'servicePort'],
  properties: {
    appendHeaders: stringMap,
    percent: { type: 'integer' },
    serviceName: string,
    serviceNamespace: string,
    servicePort: intOrString,
  },
} as const satisfies Schema;

const pathSchema = {
  type: 'object',
  required: ['splits'],
  properties: {
    appendHeaders: stringMap,
    headers: {
      type: 'object',
      additionalProperties: { type: 'object', required: ['exact'], properties: { exact: string } },
    },
    path: string,
    rewriteHost: string,
    splits: { type: 'array', items: splitSchema },
  },
} as const satisfies Schema;

const ruleSchema = {
  type: 'object',
  properties: {
    hosts: strings,
    http: {
      type: 'object',
      required: ['paths'],
      properties: { paths: { type: 'array', items: pathSchema } },
    },
    visibility: { type: 'string', enum: ['', 'ExternalIP', 'ClusterLocal'] },
  },
} as const satisfies Schema;

export type IngressRule = Infer<typeof ruleSchema>;
export type IngressPath = Infer<typeof pathSchema>;
export type IngressSplit = Infer<typeof splitSchema>;

const ingressSchema = {
  type: 'object',
  description: 'Host rules with percentage splits, for an ingress implementation.',
  properties: {
    spec: {
      type: 'object',
      properties: {
        httpOption: { type: 'string', enum: ['Enabled', 'Redirected'] },
        rules: { type: 'array', items: ruleSchema },
        tls: {
          type: 'array',
          items: {
            type: 'object',
            properties: { hosts: strings, secretName: string, secretNamespace: string },
          },
        },
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        privateLoadBalancer: loadBalancerSchema,
        publicLoadBalancer: loadBalancerSchema,
      },
    },
  },
} as const satisfies Schema;

export type Ingress = ObjectOf<typeof ingressSchema>;

export const ingresses = defineResource({
  group: networkingGroup,
  version: 'v1alpha1',
  kind: 'Ingress',
  plural: 'ingresses',
  shortNames: ['kingress', 'king'],
  categories: ['knative-internal', 'networking'],
  namespaced: true,
  builtin: false,
  schema: ingressSchema,
  subresources: { status: true },
  columns: readyColumns,
});
