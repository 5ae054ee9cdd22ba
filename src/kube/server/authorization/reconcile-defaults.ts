/** Brings the default roles and bindings into the store, and back to at least what they must grant. */
import {
  clusterRoleBindings,
  clusterRoles,
  type ClusterRole,
  type ClusterRoleBinding,
} from '../../../api/kubernetes/index.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { deepEqual } from '../../../base/json.ts';
import { isNotFound } from '../../api-error.ts';
import type { Client } from '../../client/client.ts';
import { autoUpdate, defaultClusterRoleBindings, defaultClusterRoles } from './default-roles.ts';
import { uncovered } from './rules.ts';

/**
 * Creates what is missing and adds what was taken away; what was added stays. An object whose autoupdate annotation is
 * `false` is its owner's business (kubernetes pkg/registry/rbac/reconciliation).
 */
export async function reconcileDefaultRoles(client: Client): Promise<void> {
  await Promise.all([
    ...defaultClusterRoles().map((role) => reconcile(client, clusterRoles, role, completeRole)),
    ...defaultClusterRoleBindings().map((binding) =>
      reconcile(client, clusterRoleBindings, binding, completeBinding),
    ),
  ]);
}

async function reconcile<T extends KubeObject>(
  client: Client,
  def: ResourceDef<T>,
  wanted: T,
  complete: (stored: T, wanted: T) => T | 'replace',
): Promise<void> {
  let stored: T;
  try {
    stored = await client.get(def, { name: wanted.metadata.name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.create(def, wanted);
    return;
  }
  if (stored.metadata.annotations?.[autoUpdate] === 'false') return;
  const completed = complete(stored, wanted);
  if (completed === 'replace') {
    await client.delete(def, { name: wanted.metadata.name });
    await client.create(def, wanted);
    return;
  }
  const metadata = {
    ...completed.metadata,
    labels: { ...completed.metadata.labels, ...wanted.metadata.labels },
    annotations: { ...completed.metadata.annotations, ...wanted.metadata.annotations },
  };
  const next = { ...completed, metadata };
  if (!deepEqual(next, stored)) await client.update(def, next);
}

function completeRole(stored: ClusterRole, wanted: ClusterRole): ClusterRole {
  const { aggregationRule } = wanted;
  if (aggregationRule) {
    const present = stored.aggregationRule?.clusterRoleSelectors ?? [];
    const missing = (aggregationRule.clusterRoleSelectors ?? []).filter(
      (selector) => !present.some((other) => deepEqual(other, selector)),
    );
    return { ...stored, aggregationRule: { clusterRoleSelectors: [...present, ...missing] } };
  }
  const missing = uncovered(stored.rules ?? [], wanted.rules ?? []);
  return missing.length === 0 ? stored : { ...stored, rules: [...(stored.rules ?? []), ...missing] };
}

/** A reference to another role cannot be mended, only replaced. */
function completeBinding(
  stored: ClusterRoleBinding,
  wanted: ClusterRoleBinding,
): ClusterRoleBinding | 'replace' {
  if (!deepEqual(stored.roleRef, wanted.roleRef)) return 'replace';
  const present = stored.subjects ?? [];
  const missing = (wanted.subjects ?? []).filter(
    (subject) => !present.some(({ kind, name }) => kind === subject.kind && name === subject.name),
  );
  return missing.length === 0 ? stored : { ...stored, subjects: [...present, ...missing] };
}
