/** What part of an object a write may change, and when its generation moves. Pure. */
import { cloneJson, deepEqual } from '../../../base/json.ts';
import type { KubeObject, ObjectMeta, UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { applyDefaults, resourceSchema } from '../../../api/structural.ts';
import { isMembers, memberSchema } from '../../../api/structural-members.ts';
import { isNamespace } from './deletion.ts';
import type { ObjectSubresource } from './requests.ts';

/**
 * A status given on create is dropped where status is a subresource; nodes register with theirs, as kubelets do. Kubernetes'
 * own kinds have an empty one from the start.
 */
export function resetStatus(def: ResourceDef, object: UntypedObject): void {
  if (!def.subresources?.status || (def.group === '' && def.plural === 'nodes')) return;
  delete object['status'];
  const schema = def.builtin ? memberSchema(resourceSchema(def), 'status') : undefined;
  if (!schema) return;
  const status = {};
  applyDefaults(schema, status);
  object['status'] = status;
}

/** The new object, with everything that this write may not touch taken from the stored one. May reuse `given`. */
export function withSubresource(
  def: ResourceDef,
  stored: UntypedObject,
  given: UntypedObject,
  subresource: ObjectSubresource | undefined,
): UntypedObject {
  if (subresource === 'status' || subresource === 'approval') {
    const { status: _before, metadata, ...kept } = stored;
    // Built-in kinds let labels and annotations through with status; custom resources do not.
    const labelled = def.builtin
      ? { ...given.metadata, ...owners(stored) }
      : cloneJson(withoutManagers(metadata));
    const { apiVersion, kind, ...rest } = cloneJson(kept);
    const next: UntypedObject = { apiVersion, kind, metadata: labelled, ...rest };
    if (given['status'] !== undefined) next['status'] = given['status'];
    return next;
  }
  if (subresource === 'ephemeralcontainers') {
    const next = cloneJson(stored);
    const { ephemeralContainers: _before, ...kept } = membersOf(next['spec']);
    const { ephemeralContainers } = membersOf(given['spec']);
    next['spec'] = { ...kept, ...(ephemeralContainers === undefined ? {} : { ephemeralContainers }) };
    return next;
  }
  if (subresource === 'finalize') {
    const { spec: _before, ...kept } = cloneJson(stored);
    return { ...kept, spec: given['spec'] ?? {} };
  }
  if (def.subresources?.status) {
    if (stored['status'] === undefined) delete given['status'];
    else given['status'] = cloneJson(stored['status']);
  }
  if (isNamespace(def)) given['spec'] = cloneJson(stored['spec']);
  return given;
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMembers(value) ? value : {};
}

/** Entries of managedFields are long, and set anew by every write. */
function withoutManagers({ managedFields: _entries, ...metadata }: ObjectMeta): ObjectMeta {
  return metadata;
}

function owners(stored: UntypedObject): Pick<UntypedObject['metadata'], 'ownerReferences'> {
  const { ownerReferences } = stored.metadata;
  return ownerReferences ? { ownerReferences: cloneJson(ownerReferences) } : {};
}

/** The generation after a write, or undefined where the kind has none. Metadata and status never move it. */
export function generationAfter(
  def: ResourceDef,
  stored: UntypedObject,
  next: UntypedObject,
): number | undefined {
  const before = stored.metadata.generation;
  if (def.tracksGeneration === false) return before;
  const isPod = def.group === '' && def.plural === 'pods';
  const same = sameIntent(def, stored, isPod ? placedAs(stored, next) : next);
  return (before ?? 1) + (same ? 0 : 1);
}

/** Where a scheduler puts a pod is nothing that the pod wants (registry/core/pod/storage `BindingREST`). */
function placedAs(stored: UntypedObject, next: UntypedObject): UntypedObject {
  const { nodeName: _chosen, ...spec } = membersOf(next['spec']);
  const { nodeName } = membersOf(stored['spec']);
  return { ...next, spec: nodeName === undefined ? spec : { ...spec, nodeName } };
}

/** Whether two versions want the same. */
export function sameIntent(def: ResourceDef, stored: KubeObject, next: KubeObject): boolean {
  return deepEqual(intent(def, stored as UntypedObject), intent(def, next as UntypedObject));
}

/** The part of an object that says what is wanted. */
function intent(def: ResourceDef, object: UntypedObject): unknown {
  // Of Kubernetes' own kinds with a generation, those without a spec are webhook configurations and classes.
  if (def.builtin && object['spec'] !== undefined) return object['spec'];
  const { metadata: _meta, status, ...rest } = object;
  return def.subresources?.status ? rest : { ...rest, status };
}
