/** networking.internal.knative.dev/v1alpha1 ServerlessService: the addresses of a Revision that may be at zero. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { networkingGroup } from './ingress.ts';

const serverlessServiceSchema = {
  type: 'object',
  description: 'The addresses of a Revision: its pods, or who waits on their behalf.',
  properties: {
    spec: {
      type: 'object',
      required: ['objectRef', 'protocolType'],
      properties: {
        mode: { type: 'string', enum: ['Serve', 'Proxy'] },
        numActivators: { type: 'integer', format: 'int32' },
        objectRef: {
          type: 'object',
          properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, name: { type: 'string' } },
        },
        protocolType: { type: 'string' },
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        privateServiceName: { type: 'string' },
        serviceName: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type ServerlessService = ObjectOf<typeof serverlessServiceSchema>;

export const serverlessServices = defineResource({
  group: networkingGroup,
  version: 'v1alpha1',
  kind: 'ServerlessService',
  plural: 'serverlessservices',
  shortNames: ['sks'],
  categories: ['knative-internal', 'networking'],
  namespaced: true,
  builtin: false,
  schema: serverlessServiceSchema,
  subresources: { status: true },
  columns: [
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode' },
    { name: 'Activators', type: 'integer', jsonPath: '.spec.numActivators' },
    { name: 'ServiceName', type: 'string', jsonPath: '.status.serviceName' },
    { name: 'PrivateServiceName', type: 'string', jsonPath: '.status.privateServiceName' },
    ...readyColumns,
  ],
});
