/** Shapes that builds and build templates share (knative/build v1alpha1). */
import { containerProperties } from '../knative/container.ts';
import { boolean, int64, string } from '../knative/values.ts';
import type { Infer, Schema } from '../schema.ts';

/** A core/v1 Container whose name is optional: unnamed steps are numbered. */
export const stepSchema = {
  type: 'object',
  properties: {
    ...containerProperties,
    ports: { type: 'array', items: { $ref: 'core.v1.ContainerPort' } },
    volumeDevices: { type: 'array', items: { $ref: 'core.v1.VolumeDevice' } },
    lifecycle: { $ref: 'core.v1.Lifecycle' },
    livenessProbe: { $ref: 'core.v1.Probe' },
    readinessProbe: { $ref: 'core.v1.Probe' },
    stdin: boolean,
    stdinOnce: boolean,
    tty: boolean,
  },
} as const satisfies Schema;

export type BuildStep = Infer<typeof stepSchema>;

export const sourceSchema = {
  type: 'object',
  properties: {
    name: string,
    targetPath: { ...string, description: 'Directory below /workspace that the source goes to.' },
    subPath: { ...string, description: 'Directory of the source that the steps see as /workspace.' },
    git: {
      type: 'object',
      properties: {
        url: { ...string, description: 'http, https, ssh or file URL, or a path on the machine.' },
        revision: { ...string, description: 'Branch, tag, commit or other ref.' },
      },
    },
    gcs: {
      type: 'object',
      properties: { type: { ...string, description: 'Archive or Manifest.' }, location: string },
    },
    custom: stepSchema,
  },
} as const satisfies Schema;

export type BuildSource = Infer<typeof sourceSchema>;

export const volumesSchema = { type: 'array', items: { $ref: 'core.v1.Volume' } } as const satisfies Schema;

/** What a template takes, and what it does with it. */
export const templateSpecSchema = {
  type: 'object',
  properties: {
    generation: int64,
    parameters: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name'],
        properties: {
          name: string,
          description: string,
          default: { ...string, description: 'Absent: the argument must be given. May be empty.' },
        },
      },
    },
    steps: { type: 'array', items: stepSchema },
    volumes: volumesSchema,
  },
} as const satisfies Schema;

export type TemplateSpec = Infer<typeof templateSpecSchema>;
