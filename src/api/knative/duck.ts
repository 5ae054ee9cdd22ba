/** Shapes that kinds of several groups share (knative.dev/pkg/apis/duck/v1). */
import type { Infer, Schema } from '../schema.ts';

/** `status.address` of anything that takes requests. */
export const addressableSchema = {
  type: 'object',
  description: 'Where the object takes requests.',
  properties: {
    name: { type: 'string' },
    url: { type: 'string' },
    CACerts: { type: 'string' },
    audience: { type: 'string' },
  },
} as const satisfies Schema;

export type Addressable = Infer<typeof addressableSchema>;

/** A reference to an object by kind and name. */
export const referenceSchema = {
  type: 'object',
  description: 'A reference to an object.',
  properties: {
    kind: { type: 'string' },
    namespace: { type: 'string' },
    name: { type: 'string' },
    apiVersion: { type: 'string' },
    group: { type: 'string' },
    address: { type: 'string' },
  },
} as const satisfies Schema;

export type Reference = Infer<typeof referenceSchema>;

/** Where events go: an addressable object, a URL, or a URL relative to the object's. */
export const destinationSchema = {
  type: 'object',
  description: 'A sink: ref, uri, or both (the uri is then relative to the ref).',
  properties: {
    ref: referenceSchema,
    uri: { type: 'string' },
    CACerts: { type: 'string' },
    audience: { type: 'string' },
  },
} as const satisfies Schema;

export type Destination = Infer<typeof destinationSchema>;
