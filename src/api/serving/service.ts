/** serving.knative.dev/v1 Service: a workload with its configuration and its route. */
import { addressableSchema } from '../knative/duck.ts';
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { setUserAnnotations } from '../knative/users.ts';
import { webhookDenial } from '../knative/field-errors.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { defaultServiceSpec } from './defaults.ts';
import { servingGroup, servingWebhook } from './labels.ts';
import { revisionTemplateSchema, trafficSchema } from './pod-spec.ts';
import { validateService } from './validation/service.ts';

const serviceSchema = {
  type: 'object',
  description:
    'A workload: each change of its template makes a Revision, and its Route spreads traffic over them.',
  properties: {
    spec: {
      type: 'object',
      properties: { template: revisionTemplateSchema, traffic: trafficSchema },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        address: addressableSchema,
        latestCreatedRevisionName: { type: 'string' },
        latestReadyRevisionName: { type: 'string' },
        traffic: trafficSchema,
        url: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type KnativeService = ObjectOf<typeof serviceSchema>;

export const knativeServices = defineResource({
  group: servingGroup,
  version: 'v1',
  kind: 'Service',
  plural: 'services',
  shortNames: ['kservice', 'ksvc'],
  categories: ['all', 'knative', 'serving'],
  namespaced: true,
  builtin: false,
  schema: serviceSchema,
  subresources: { status: true },
  crdLabels: { 'duck.knative.dev/addressable': 'true', 'duck.knative.dev/podspecable': 'true' },
  columns: [
    { name: 'URL', type: 'string', jsonPath: '.status.url' },
    { name: 'LatestCreated', type: 'string', jsonPath: '.status.latestCreatedRevisionName' },
    { name: 'LatestReady', type: 'string', jsonPath: '.status.latestReadyRevisionName' },
    ...readyColumns,
  ],
  mutate(service, context) {
    if (context.subresource) return;
    defaultServiceSpec(service, context);
    setUserAnnotations(service, context, servingGroup);
  },
  validate: (service, context) => (context.subresource ? [] : validateService(service, context)),
  denial: webhookDenial(servingWebhook),
});
