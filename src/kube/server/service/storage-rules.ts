/** What the storage of single built-in kinds does otherwise than all others (kube-apiserver `pkg/registry`). */
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';

/** An update of a name that is free creates the object (`AllowCreateOnUpdate`). */
const createdByUpdate: ReadonlySet<string> = new Set([
  'clusterrolebindings.rbac.authorization.k8s.io',
  'clusterroles.rbac.authorization.k8s.io',
  'endpoints',
  'events',
  'events.events.k8s.io',
  'leases.coordination.k8s.io',
  'limitranges',
  'rolebindings.rbac.authorization.k8s.io',
  'roles.rbac.authorization.k8s.io',
  'runtimeclasses.node.k8s.io',
  'services',
]);

/** A deletion that is complete answers with the object, not with a Status (`ReturnDeletedObject`). */
const shownWhenDeleted: ReadonlySet<string> = new Set([
  'namespaces',
  'persistentvolumeclaims',
  'persistentvolumes',
  'pods',
  'podtemplates',
  'resourcequotas',
  'serviceaccounts',
  'services',
  'storageclasses.storage.k8s.io',
]);

export function isCreatedByUpdate(def: ResourceDef): boolean {
  return def.builtin && createdByUpdate.has(qualifiedName(def));
}

export function isShownWhenDeleted(def: ResourceDef): boolean {
  return def.builtin && shownWhenDeleted.has(qualifiedName(def));
}
