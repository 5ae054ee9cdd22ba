/** What the controllers of eventing share when they tell a status. */
import { deepEqual } from '../base/json.ts';
import type { KubeObject } from '../api/object.ts';
import type { ConditionValue } from '../api/knative/conditions.ts';
import type { ResourceDef } from '../api/resource.ts';
import type { Client } from '../kube/client/client.ts';

/** Kinds that get events say this: no identity is made while the feature is off. */
export const oidcDisabled: ConditionValue = {
  status: 'True',
  reason: 'authentication-oidc feature disabled',
};

/** Writes a status when it differs from the one that is there. Conflicts are thrown: the kernel looks again. */
export async function writeStatus<T extends KubeObject & { status?: unknown }>(
  client: Client,
  def: ResourceDef<T>,
  object: T,
  status: NonNullable<T['status']>,
): Promise<void> {
  if (deepEqual(object.status, status)) return;
  await client.update(def, { ...object, status }, { subresource: 'status' });
}
