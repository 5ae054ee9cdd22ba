/** build.knative.dev/v1alpha1 BuildTemplate and ClusterBuildTemplate: steps with parameters, for many builds. */
import { statusProperties } from '../knative/conditions.ts';
import { defineResource, type Column, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { buildGroup } from './build.ts';
import { templateSpecSchema } from './schemas.ts';
import { buildDenial, validateTemplate } from './validation.ts';

export const templateSchema = {
  type: 'object',
  description: 'Steps with parameters, for many builds.',
  properties: {
    spec: templateSpecSchema,
    status: { type: 'object', properties: statusProperties },
  },
} as const satisfies Schema;

export type BuildTemplate = ObjectOf<typeof templateSchema>;

const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

export const buildTemplates = defineResource({
  group: buildGroup,
  version: 'v1alpha1',
  kind: 'BuildTemplate',
  plural: 'buildtemplates',
  categories: ['all', 'knative'],
  namespaced: true,
  builtin: false,
  schema: templateSchema,
  subresources: { status: true },
  columns: [age],
  validate: (template, context) =>
    context.subresource ? [] : validateTemplate(template.metadata.name, template.spec),
  denial: buildDenial,
});

export const clusterBuildTemplates = defineResource({
  group: buildGroup,
  version: 'v1alpha1',
  kind: 'ClusterBuildTemplate',
  plural: 'clusterbuildtemplates',
  categories: ['all', 'knative'],
  namespaced: false,
  builtin: false,
  schema: templateSchema,
  subresources: { status: true },
  columns: [age],
  validate: (template, context) =>
    context.subresource ? [] : validateTemplate(template.metadata.name, template.spec),
  denial: buildDenial,
});
