/** caching.internal.knative.dev/v1alpha1 Image: an image that is wanted near the pods. */
import { statusProperties } from '../knative/conditions.ts';
import { defineResource, type ObjectOf, type ResourceDef } from '../resource.ts';
import type { Schema } from '../schema.ts';

const imageSchema = {
  type: 'object',
  description: 'An image that a cache may fetch before it is needed.',
  properties: {
    spec: {
      type: 'object',
      required: ['image'],
      properties: {
        image: { type: 'string' },
        imagePullSecrets: { type: 'array', items: { $ref: 'core.v1.LocalObjectReference' } },
        serviceAccountName: { type: 'string' },
      },
    },
    status: { type: 'object', properties: statusProperties },
  },
} as const satisfies Schema;

export type CachedImage = ObjectOf<typeof imageSchema>;

export const images = defineResource({
  group: 'caching.internal.knative.dev',
  version: 'v1alpha1',
  kind: 'Image',
  plural: 'images',
  shortNames: ['img'],
  categories: ['knative-internal', 'caching'],
  namespaced: true,
  builtin: false,
  schema: imageSchema,
  subresources: { status: true },
  columns: [{ name: 'Image', type: 'string', jsonPath: '.spec.image' }],
});

export const cachingResources: readonly ResourceDef[] = [images];
