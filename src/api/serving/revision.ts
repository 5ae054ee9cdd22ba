/** serving.knative.dev/v1 Revision: code and settings at one moment, never changed afterwards. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { webhookDenial } from '../knative/field-errors.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { defaultRevision } from './defaults.ts';
import { labels, servingGroup, servingWebhook } from './labels.ts';
import { revisionSpecSchema } from './pod-spec.ts';
import { validateRevision } from './validation/service.ts';

const containerStatuses = {
  type: 'array',
  items: {
    type: 'object',
    properties: { name: { type: 'string' }, imageDigest: { type: 'string' } },
  },
} as const satisfies Schema;

const revisionSchema = {
  type: 'object',
  description: 'Code and settings at one moment; immutable.',
  properties: {
    spec: revisionSpecSchema,
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        actualReplicas: { type: 'integer', format: 'int32' },
        desiredReplicas: { type: 'integer', format: 'int32' },
        containerStatuses,
        initContainerStatuses: containerStatuses,
        logUrl: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type Revision = ObjectOf<typeof revisionSchema>;

const jsonPathLabel = (key: string): string => `.metadata.labels['${key.replaceAll('.', '\\.')}']`;

export const revisions = defineResource({
  group: servingGroup,
  version: 'v1',
  kind: 'Revision',
  plural: 'revisions',
  shortNames: ['rev'],
  categories: ['all', 'knative', 'serving'],
  namespaced: true,
  builtin: false,
  schema: revisionSchema,
  subresources: { status: true },
  columns: [
    { name: 'Config Name', type: 'string', jsonPath: jsonPathLabel(labels.configuration) },
    { name: 'Generation', type: 'string', jsonPath: jsonPathLabel(labels.configurationGeneration) },
    ...readyColumns,
    { name: 'Actual Replicas', type: 'integer', jsonPath: '.status.actualReplicas' },
    { name: 'Desired Replicas', type: 'integer', jsonPath: '.status.desiredReplicas' },
  ],
  mutate(revision, context) {
    if (!context.subresource) defaultRevision(revision, context);
  },
  validate: (revision, context) => (context.subresource ? [] : validateRevision(revision, context)),
  denial: webhookDenial(servingWebhook),
});
