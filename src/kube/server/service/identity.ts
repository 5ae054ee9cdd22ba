/** Which object a write is about: what the server gives to a new one, and what a client may ask to hold of the stored one. */
import { randomUUID } from 'node:crypto';
import { timestamp, type ObjectMeta, type UntypedObject } from '../../../api/object.ts';
import type { Issue, ResourceDef } from '../../../api/resource.ts';
import type { ApiError } from '../../api-error.ts';
import { conflict, modified } from './errors.ts';
import type { DeleteRequest } from './requests.ts';
import { resetStatus } from './writes.ts';

/** What the server gives to a new object, whatever its client sent. */
export function initialize(def: ResourceDef, object: UntypedObject, now: number): void {
  const meta = object.metadata;
  for (const field of [
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'managedFields',
    'generation',
  ] as const) {
    delete meta[field];
  }
  meta.uid = randomUUID();
  meta.creationTimestamp = timestamp(now);
  if (def.tracksGeneration !== false) meta.generation = 1;
  resetStatus(def, object);
}

/** Webhooks may change what an object wants, not which object it is. */
export function restoreIdentity(object: UntypedObject, identity: ObjectMeta): UntypedObject {
  const { name, namespace, uid, creationTimestamp, generation } = identity;
  Object.assign(object.metadata, {
    name,
    uid,
    creationTimestamp,
    ...(namespace === undefined ? {} : { namespace }),
    ...(generation === undefined ? {} : { generation }),
  });
  return object;
}

/** Why the object that a client sends cannot replace the stored one; undefined when it can. */
export function preconditionFault(
  def: ResourceDef,
  wanted: ObjectMeta,
  stored: ObjectMeta,
): ApiError | undefined {
  if (wanted.uid && wanted.uid !== stored.uid) {
    const why = `Precondition failed: UID in precondition: ${wanted.uid}, UID in object meta: ${stored.uid}`;
    return conflict(def, stored.name, why);
  }
  if (wanted.resourceVersion && wanted.resourceVersion !== stored.resourceVersion) {
    return modified(def, stored.name);
  }
  return undefined;
}

/** Custom resources may only be replaced by a client that says which version it has seen. */
export function versionIssues(def: ResourceDef, wanted: ObjectMeta, unconditional: boolean): Issue[] {
  if (wanted.resourceVersion || unconditional || def.builtin) return [];
  return [
    {
      type: 'Invalid',
      path: 'metadata.resourceVersion',
      value: 0,
      detail: 'must be specified for an update',
    },
  ];
}

/** What a deletion asked to hold and does not; undefined when all does. */
export function preconditionViolated(
  preconditions: DeleteRequest['preconditions'],
  { uid, resourceVersion }: ObjectMeta,
): string | undefined {
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    return `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`;
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    return `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`;
  }
  return undefined;
}
