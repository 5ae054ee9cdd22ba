/** build.knative.dev/v1alpha1 BuildTemplate and ClusterBuildTemplate: steps with parameters, for many builds. */
import { ageColumn } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { defineResource, type ObjectOf, type ResourceDef } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { buildGroup } from './build.ts';
import { templateSpecSchema } from './schemas.ts';
import { buildDenial, validateTemplate } from './validation.ts';

const templateSchema = {
  type: 'object',
  description: 'Steps with parameters, for many builds.',
  properties: {
    spec: templateSpecSchema,
    status: { type: 'object', properties: statusProperties },
  },
} as const satisfies Schema;

export type BuildTemplate = ObjectOf<typeof templateSchema>;

/** The two kinds differ only in their scope. */
function defineTemplates(kind: string, namespaced: boolean): ResourceDef<BuildTemplate> {
  return defineResource({
    group: buildGroup,
    version: 'v1alpha1',
    kind,
    plural: `${kind.toLowerCase()}s`,
    categories: ['all', 'knative'],
    namespaced,
    builtin: false,
    schema: templateSchema,
    subresources: { status: true },
    columns: [ageColumn],
    validate: (template, context) =>
      context.subresource ? [] : validateTemplate(template.metadata.name, template.spec),
    denial: buildDenial,
  });
}

export const buildTemplates = defineTemplates('BuildTemplate', true);
export const clusterBuildTemplates = defineTemplates('ClusterBuildTemplate', false);
