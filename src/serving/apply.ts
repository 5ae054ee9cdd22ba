/** The writes that reconcilers make to children: they must exist, and be as desired. */
import { controllerOf, type KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import { objectKey, type Client } from '../kube/client/client.ts';

/** True when `owner` is the controller of `child`. */
export function isControlledBy(child: KubeObject, owner: KubeObject): boolean {
  const controller = controllerOf(child);
  return controller !== undefined && controller.uid === owner.metadata.uid;
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
