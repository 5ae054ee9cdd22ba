/** Field ownership of the API's objects: what a write does to `metadata.managedFields`. */
import { deepEqual } from '../../../../base/json.ts';
import {
  timestamp,
  type KubeObject,
  type ManagedFieldsEntry,
  type UntypedObject,
} from '../../../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../../../api/resource.ts';
import { emptyObject, resourceSchema } from '../../../../api/structural.ts';
import type { ObjectSubresource, WriteRequest } from '../requests.ts';
import { compareObjects, type Skip } from './compare.ts';
import { member, type FieldSet } from './field-set.ts';
import { fieldTypeOf, type FieldType } from './field-type.ts';
import { managerName } from './manager-name.ts';
import {
  decodeManagers,
  equalButTimes,
  isReset,
  type Manager,
  type ManagerKey,
  type Operation,
} from './managers.ts';
import { afterUpdate } from './update.ts';

export type Entries = readonly ManagedFieldsEntry[] | undefined;

/** Takes the entries out of an object that came from a client, and returns them. */
export function takeManagedFields(object: UntypedObject): Entries {
  const { managedFields } = object.metadata;
  delete object.metadata.managedFields;
  return managedFields;
}

export function setManagedFields(object: UntypedObject, entries: Entries): void {
  if (entries === undefined || entries.length === 0) delete object.metadata.managedFields;
  // Entries are shared between versions of an object and never changed in place.
  else object.metadata.managedFields = entries as ManagedFieldsEntry[];
}

export function ownershipType(def: ResourceDef): FieldType {
  return fieldTypeOf(resourceSchema(def));
}

export function managerKey(def: ResourceDef, request: WriteRequest, operation: Operation): ManagerKey {
  const { subresource } = request;
  return {
    manager: managerName(request),
    operation,
    apiVersion: apiVersionOf(def),
    ...(subresource ? { subresource } : {}),
  };
}

/** What the store has: it keeps only entries that were made here. */
export function storedManagers(object: UntypedObject | undefined): readonly Manager[] {
  return (object?.metadata.managedFields ?? []) as readonly Manager[];
}

export interface Write {
  readonly def: ResourceDef;
  /** Absent on creation. */
  readonly stored: UntypedObject | undefined;
  /** What is to be stored, with its defaults. */
  readonly next: UntypedObject;
  /** What the client sent as managedFields. */
  readonly claimed: Entries;
  readonly request: WriteRequest;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The entries after a write that is not an apply; undefined when the object is not tracked. */
export function entriesAfter({ def, stored, next, claimed, request, now }: Write): Entries {
  const managers = managersBefore(stored, claimed, request.subresource);
  // An object whose entries were dropped stays without until somebody applies to it.
  if (managers.length === 0 && stored) return undefined;
  const before = stored ?? emptyObjectOf(def);
  const changes = compareObjects(ownershipType(def), before, next, untouched(def, request.subresource));
  return afterUpdate(managers, changes, managerKey(def, request, 'Update'), timestamp(now));
}

const emptyObjects = new WeakMap<ResourceDef, Readonly<Record<string, unknown>>>();

/** A new object of one of Kubernetes' own kinds is compared with an empty one: nobody owns what is there in any case. */
function emptyObjectOf(def: ResourceDef): Readonly<Record<string, unknown>> | undefined {
  if (!def.builtin) return undefined;
  const known = emptyObjects.get(def);
  if (known) return known;
  const empty = emptyObject(resourceSchema(def));
  if (empty) emptyObjects.set(def, empty);
  return empty;
}

/** A client may change the entries themselves, but not through a subresource; what makes no sense is passed over. */
function managersBefore(
  stored: UntypedObject | undefined,
  claimed: Entries,
  subresource: ObjectSubresource | undefined,
): readonly Manager[] {
  const kept = storedManagers(stored);
  if (claimed === undefined || subresource || deepEqual(claimed, kept)) return kept;
  if (isReset(claimed)) return [];
  const decoded = decodeManagers(claimed);
  if (!decoded || decoded.length === 0 || equalButTimes(decoded, kept)) return kept;
  return decoded;
}

/** Members of the object that a write leaves as they are. */
export function untouched(def: ResourceDef, subresource: ObjectSubresource | undefined): Skip {
  if (subresource === 'status' || subresource === 'approval') {
    return def.builtin ? (name) => name !== 'status' && name !== 'metadata' : (name) => name !== 'status';
  }
  return def.subresources?.status ? (name) => name === 'status' : () => false;
}

/** The same as a set, of the members that the object may have. */
export function untouchedFields(
  def: ResourceDef,
  subresource: ObjectSubresource | undefined,
  names: Iterable<string>,
): FieldSet {
  const skip = untouched(def, subresource);
  const skipped = [...names].filter((name) => name !== 'apiVersion' && name !== 'kind' && skip(name));
  return Object.fromEntries(skipped.map((name) => [`f:${name}`, member]));
}

/** Whether two versions of an object are the same but for the times of their entries: then nothing is written. */
export function equalButTimesOfEntries(next: KubeObject, stored: KubeObject): boolean {
  return (
    equalBut('metadata', next, stored) &&
    equalBut('managedFields', next.metadata, stored.metadata) &&
    equalButTimes(next.metadata.managedFields, stored.metadata.managedFields)
  );
}

function equalBut(name: string, a: object, b: object): boolean {
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  const own = (members: Readonly<Record<string, unknown>>, key: string): unknown =>
    Object.hasOwn(members, key) ? members[key] : undefined;
  for (const key in left) if (key !== name && !deepEqual(left[key], own(right, key))) return false;
  for (const key in right) {
    if (key !== name && right[key] !== undefined && own(left, key) === undefined) return false;
  }
  return true;
}
