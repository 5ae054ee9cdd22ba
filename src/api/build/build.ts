/** build.knative.dev/v1alpha1 Build: steps that run once, one after another, over a shared workspace. */
import { statusProperties } from '../knative/conditions.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { sourceSchema, stepSchema, volumesSchema } from './schemas.ts';
import { buildDenial, validateBuild } from './validation.ts';

export const buildGroup = 'build.knative.dev';
/** On the pod: the name of its Build. */
export const buildNameLabel = 'build.knative.dev/buildName';
export const defaultBuildTimeout = '10m0s';
/** `spec.status` that ends a build. */
const cancelledStatus = 'BuildCancelled';

const buildSchema = {
  type: 'object',
  description: 'Steps that run once, one after another, over a shared workspace.',
  properties: {
    spec: {
      type: 'object',
      properties: {
        generation: { type: 'integer', format: 'int64' },
        source: sourceSchema,
        sources: { type: 'array', items: sourceSchema },
        steps: { type: 'array', items: stepSchema },
        template: {
          type: 'object',
          properties: {
            name: { type: 'string' },
            kind: { type: 'string', description: 'BuildTemplate (default) or ClusterBuildTemplate.' },
            arguments: {
              type: 'array',
              items: {
                type: 'object',
                required: ['name', 'value'],
                properties: { name: { type: 'string' }, value: { type: 'string' } },
              },
            },
            env: { type: 'array', items: { $ref: 'core.v1.EnvVar' } },
          },
        },
        volumes: volumesSchema,
        serviceAccountName: { type: 'string' },
        nodeSelector: { type: 'object', additionalProperties: { type: 'string' } },
        affinity: { $ref: 'core.v1.Affinity' },
        timeout: { type: 'string', description: 'From the start of the pod, e.g. 10m0s; at most 24h.' },
        status: { type: 'string', description: 'BuildCancelled ends the build.' },
        Status: { type: 'string', description: 'The same as status: how knative/build itself wrote it.' },
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        builder: { type: 'string' },
        cluster: {
          type: 'object',
          properties: { namespace: { type: 'string' }, podName: { type: 'string' } },
        },
        google: { type: 'object', properties: { operation: { type: 'string' } } },
        startTime: { type: 'string', format: 'date-time' },
        completionTime: { type: 'string', format: 'date-time' },
        stepStates: { type: 'array', items: { $ref: 'core.v1.ContainerState' } },
        stepsCompleted: { type: 'array', items: { type: 'string' }, nullable: true },
      },
    },
  },
} as const satisfies Schema;

export type Build = ObjectOf<typeof buildSchema>;
export type BuildSpec = NonNullable<Build['spec']>;
export type BuildStatus = NonNullable<Build['status']>;

export const builds = defineResource({
  group: buildGroup,
  version: 'v1alpha1',
  kind: 'Build',
  plural: 'builds',
  categories: ['all', 'knative'],
  namespaced: true,
  builtin: false,
  schema: buildSchema,
  subresources: { status: true },
  columns: [
    { name: 'Succeeded', type: 'string', jsonPath: '.status.conditions[?(@.type=="Succeeded")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Succeeded")].reason' },
    { name: 'StartTime', type: 'date', jsonPath: '.status.startTime' },
    { name: 'CompletionTime', type: 'date', jsonPath: '.status.completionTime' },
  ],
  mutate(build, context) {
    if (context.subresource) return;
    const spec = (build.spec ??= {});
    spec.serviceAccountName ||= 'default';
    spec.timeout ||= defaultBuildTimeout;
    if (spec.template) spec.template.kind ||= 'BuildTemplate';
  },
  validate: (build, context) => (context.subresource ? [] : validateBuild(build)),
  denial: buildDenial,
});

/** True once somebody asked for the build to end. */
export function isCancelled(build: Build): boolean {
  return (build.spec?.status || build.spec?.Status) === cancelledStatus;
}

/** The sources, whichever of the two ways they are given. */
export function sourcesOf(build: Build): NonNullable<BuildSpec['sources']> {
  const { source, sources = [] } = build.spec ?? {};
  return source ? [source] : sources;
}
