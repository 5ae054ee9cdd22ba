/** Versions of a kind that differ in nothing but their name. */
import type { UntypedObject } from './object.ts';
import { apiVersionOf, type Conversion, type ResourceDef } from './resource.ts';

/** Converts by writing the other `apiVersion`. `stored`: the version in the store. */
export function alikeVersions(stored: () => ResourceDef): Conversion {
  return {
    stored,
    convert: (objects, to) =>
      objects.map((object) => ({
        ...(structuredClone(object) satisfies UntypedObject),
        apiVersion: apiVersionOf(to),
      })),
  };
}
