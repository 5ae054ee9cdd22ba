/** The writes that reconcilers make: children that must exist, and status that moved. */
import { deepEqual } from '../base/json.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import type { Client, ObjectKey } from '../kube/client/client.ts';

export function objectKey({ metadata }: KubeObject): ObjectKey {
  return metadata.namespace
    ? { namespace: metadata.namespace, name: metadata.name }
    : { name: metadata.name };
}

/** True when `owner` is the controller of `child`. */
export function isControlledBy(child: KubeObject, owner: KubeObject): boolean {
  return (
    child.metadata.ownerReferences?.some((ref) => ref.controller && ref.uid === owner.metadata.uid) ?? false
  );
}

/**
 * Creates a child. When the name is taken, which a cache that is a few milliseconds behind cannot know, returns what is
 * there: the caller checks ownership either way.
 */
export async function createOrGet<T extends KubeObject>(
  client: Client,
  def: ResourceDef<T>,
  desired: T,
): Promise<T> {
  try {
    return await client.create(def, desired);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return client.get(def, objectKey(desired));
  }
}

/** Deletes; what is gone already is fine. */
export async function deleteIfExists(client: Client, def: ResourceDef, object: KubeObject): Promise<void> {
  try {
    const { uid } = object.metadata;
    await client.delete(def, objectKey(object), uid ? { preconditions: { uid } } : {});
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

type Members = Readonly<Record<string, unknown>>;

/** The JSON merge patch (RFC 7396) that turns `before` into `after`, or undefined when they are equal. */
export function mergePatchOf(before: unknown, after: unknown): unknown {
  if (deepEqual(before, after)) return undefined;
  if (!isMembers(before) || !isMembers(after)) return after;
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(before)) if (after[key] === undefined) patch[key] = null;
  for (const key of Object.keys(after)) {
    const member = mergePatchOf(before[key], after[key]);
    if (member !== undefined) patch[key] = member;
  }
  return patch;
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Writes `status` where it differs from the object's. A merge patch without resourceVersion: each status has one writer,
 * and writers of metadata must not make it fail. Returns true when something was written.
 */
export async function writeStatus<T extends KubeObject & { status?: unknown }>(
  client: Client,
  def: ResourceDef<T>,
  object: T,
  status: T['status'],
): Promise<boolean> {
  const patch = mergePatchOf(object.status ?? {}, status);
  if (patch === undefined) return false;
  await client.patch(
    def,
    objectKey(object),
    { type: 'merge', body: { status: patch } },
    { subresource: 'status' },
  );
  return true;
}

/** Writes the members of `desired` that the child should have where they differ. `parts` are top-level or metadata maps. */
export async function patchChild<T extends KubeObject>(
  client: Client,
  def: ResourceDef<T>,
  existing: T,
  body: unknown,
): Promise<T> {
  return client.patch(def, objectKey(existing), { type: 'merge', body });
}

/** True when every key of `wanted` has its value in `have`. */
export function includesAll(
  have: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(wanted ?? {}).every(([key, value]) => have?.[key] === value);
}
