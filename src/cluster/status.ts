/** Writing the status of an object that only one controller writes. */
import { deepEqual } from '../base/json.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';

interface WithStatus extends KubeObject {
  status?: object;
}

/**
 * Makes the status equal to `next`, when it is not. A merge patch without a resource version: metadata that others write
 * is left alone and cannot conflict; the uid keeps it from an object of the same name that came after. True if written.
 */
export async function replaceStatus<T extends WithStatus>(
  client: Client,
  def: ResourceDef<T>,
  object: T,
  next: NonNullable<T['status']>,
): Promise<boolean> {
  const before = (object.status ?? {}) as Record<string, unknown>;
  const after = next as Record<string, unknown>;
  const changed: Record<string, unknown> = {};
  for (const key of Object.keys(before)) if (after[key] === undefined) changed[key] = null;
  for (const key of Object.keys(after)) {
    if (after[key] !== undefined && !deepEqual(before[key], after[key])) changed[key] = after[key];
  }
  if (Object.keys(changed).length === 0) return false;
  const { name, namespace, uid } = object.metadata;
  const body = { metadata: { uid }, status: changed };
  try {
    await client.patch(
      def,
      { name, ...(namespace ? { namespace } : {}) },
      { type: 'merge', body },
      { subresource: 'status' },
    );
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
