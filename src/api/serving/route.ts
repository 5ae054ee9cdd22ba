/** serving.knative.dev/v1 Route: host names, and how their traffic is shared among Revisions. */
import { addressableSchema } from '../knative/duck.ts';
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { setUserAnnotations } from '../knative/users.ts';
import { webhookDenial } from '../knative/field-errors.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { defaultTraffic } from './defaults.ts';
import { servingGroup, servingWebhook } from './labels.ts';
import { trafficSchema } from './pod-spec.ts';
import { validateRoute } from './validation/service.ts';

const routeSchema = {
  type: 'object',
  description: 'Host names, and how their traffic is shared among Revisions.',
  properties: {
    spec: { type: 'object', properties: { traffic: trafficSchema } },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        address: addressableSchema,
        traffic: trafficSchema,
        url: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type Route = ObjectOf<typeof routeSchema>;

export const routes = defineResource({
  group: servingGroup,
  version: 'v1',
  kind: 'Route',
  plural: 'routes',
  shortNames: ['rt'],
  categories: ['all', 'knative', 'serving'],
  namespaced: true,
  builtin: false,
  schema: routeSchema,
  subresources: { status: true },
  crdLabels: { 'duck.knative.dev/addressable': 'true' },
  columns: [{ name: 'URL', type: 'string', jsonPath: '.status.url' }, ...readyColumns],
  mutate(route, context) {
    if (context.subresource) return;
    defaultTraffic(route.spec?.traffic ?? []);
    setUserAnnotations(route, context, servingGroup);
  },
  validate: (route, context) => (context.subresource ? [] : validateRoute(route, context)),
  denial: webhookDenial(servingWebhook),
});
