/** serving.knative.dev/v1 Configuration: the template that Revisions are stamped from. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { setUserAnnotations } from '../knative/users.ts';
import { webhookDenial } from '../knative/field-errors.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { defaultConfigurationSpec } from './defaults.ts';
import { servingGroup, servingWebhook } from './labels.ts';
import { revisionTemplateSchema } from './pod-spec.ts';
import { validateConfiguration } from './validation/service.ts';

const configurationSchema = {
  type: 'object',
  description: 'The wanted state of code and settings; each change of the template makes a Revision.',
  properties: {
    spec: { type: 'object', properties: { template: revisionTemplateSchema } },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        latestCreatedRevisionName: { type: 'string' },
        latestReadyRevisionName: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type Configuration = ObjectOf<typeof configurationSchema>;

export const configurations = defineResource({
  group: servingGroup,
  version: 'v1',
  kind: 'Configuration',
  plural: 'configurations',
  shortNames: ['config', 'cfg'],
  categories: ['all', 'knative', 'serving'],
  namespaced: true,
  builtin: false,
  schema: configurationSchema,
  subresources: { status: true },
  crdLabels: { 'duck.knative.dev/podspecable': 'true' },
  columns: [
    { name: 'LatestCreated', type: 'string', jsonPath: '.status.latestCreatedRevisionName' },
    { name: 'LatestReady', type: 'string', jsonPath: '.status.latestReadyRevisionName' },
    ...readyColumns,
  ],
  mutate(configuration, context) {
    if (context.subresource) return;
    defaultConfigurationSpec(configuration, context);
    setUserAnnotations(configuration, context, servingGroup);
  },
  validate: (configuration, context) =>
    context.subresource ? [] : validateConfiguration(configuration, context),
  denial: webhookDenial(servingWebhook),
});
