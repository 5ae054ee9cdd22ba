/** Objects of Kubernetes' own kinds in the form in which this version of the program stores them. */
import { deepEqual } from '../../../base/json.ts';
import type { UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { applyDefaults, resourceSchema } from '../../../api/structural.ts';
import { copyInput } from './admission.ts';

/**
 * What an older version stored may lack what is written always, or spell it otherwise. A write is compared with the form of
 * today, or it would seem to change what its client did not touch: Kubernetes decodes both likewise.
 */
export class CanonicalObjects {
  readonly #known = new WeakSet<UntypedObject>();

  /** Takes note of an object that is stored in today's form. */
  add(object: UntypedObject): void {
    this.#known.add(object);
  }

  /** The object in today's form; itself where it has it. */
  of(def: ResourceDef, object: UntypedObject): UntypedObject {
    if (!def.builtin || this.#known.has(object)) return object;
    const { managedFields, ...metadata } = object.metadata;
    const today = copyInput({ ...object, metadata }) as UntypedObject;
    applyDefaults(resourceSchema(def), today);
    if (managedFields) today.metadata.managedFields = managedFields;
    if (!deepEqual(today, object)) return today;
    this.add(object);
    return object;
  }
}
