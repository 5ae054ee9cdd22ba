/** Writing the status of an object that only one controller writes. */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { mergePatchOf } from '../../base/json.ts';
import { isNotFound } from '../api-error.ts';
import { objectKey, type Client } from '../client/client.ts';

/**
 * Makes the status equal to `status`, when it is not. A merge patch without a resource version: metadata that others
 * write is left alone and cannot conflict; the uid keeps it from an object of the same name that came after. True when
 * something was written; an object that is gone is left alone.
 */
export async function writeStatus<T extends KubeObject & { status?: unknown }>(
  client: Client,
  def: ResourceDef<T>,
  object: T,
  status: NonNullable<T['status']>,
): Promise<boolean> {
  const patch = mergePatchOf(object.status ?? {}, status);
  if (patch === undefined) return false;
  const body = { metadata: { uid: object.metadata.uid }, status: patch };
  try {
    await client.patch(def, objectKey(object), { type: 'merge', body }, { subresource: 'status' });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
