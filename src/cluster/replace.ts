/** Objects that one controller makes and keeps equal to what it wants. */
import { deepEqual } from '../base/json.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';

/** Creates or replaces, unless what `contents` shows and the labels are as wanted. */
export async function putObject<T extends KubeObject>(
  client: Client,
  def: ResourceDef<T>,
  before: T | undefined,
  wanted: T,
  contents: (object: T) => unknown,
): Promise<void> {
  if (!before) {
    try {
      await client.create(def, wanted);
      return;
    } catch (error) {
      // Ours, not seen yet, or what someone made by hand before: replaced as Kubernetes does.
      if (!isAlreadyExists(error)) throw error;
    }
  } else if (
    deepEqual(contents(before), contents(wanted)) &&
    deepEqual(before.metadata.labels, wanted.metadata.labels)
  ) {
    return;
  }
  await client.update(def, wanted);
}

/** Deletes this very object; one that is gone is fine. */
export async function removeObject(client: Client, def: ResourceDef, object: KubeObject): Promise<void> {
  const { name, namespace = '', uid } = object.metadata;
  try {
    await client.delete(def, { namespace, name }, uid ? { preconditions: { uid } } : {});
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
