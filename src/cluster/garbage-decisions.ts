/** What garbage collection does with one object, as pure functions (kubernetes pkg/controller/garbagecollector). */
import type { KubeObject, OwnerReference } from '../api/object.ts';

export const foregroundFinalizer = 'foregroundDeletion';
export const orphanFinalizer = 'orphan';

export function isDeleting(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** The object waits for those it owns to go first. */
export function waitsForDependents(object: KubeObject): boolean {
  return isDeleting(object) && (object.metadata.finalizers?.includes(foregroundFinalizer) ?? false);
}

/** The object waits for those it owns to be let go. */
export function orphansDependents(object: KubeObject): boolean {
  return isDeleting(object) && (object.metadata.finalizers?.includes(orphanFinalizer) ?? false);
}

/** One owner reference and the object it names: undefined when there is none of that uid. */
export interface OwnerState {
  readonly ref: OwnerReference;
  readonly owner: KubeObject | undefined;
}

export type Verdict =
  | { readonly action: 'keep' }
  /** Remove the references to these uids: their owners are gone or going, others remain. */
  | { readonly action: 'release'; readonly uids: readonly string[] }
  | { readonly action: 'delete'; readonly policy: 'Foreground' | 'Background' | 'Orphan' };

/**
 * Decides from all owners of an object. An object without owner references is nobody's garbage; one keeps living as
 * long as one owner lives.
 */
export function judge(object: KubeObject, owners: readonly OwnerState[], hasDependents: boolean): Verdict {
  if (owners.length === 0 || isDeleting(object)) return { action: 'keep' };
  const gone = owners.filter(({ owner }) => owner === undefined);
  const waiting = owners.filter(
    ({ owner, ref }) => owner && waitsForDependents(owner) && ref.blockOwnerDeletion,
  );
  const solid = owners.length - gone.length - waiting.length;
  if (solid > 0) {
    const uids = [...gone, ...waiting].map(({ ref }) => ref.uid);
    return uids.length > 0 ? { action: 'release', uids } : { action: 'keep' };
  }
  if (waiting.length > 0 && hasDependents) return { action: 'delete', policy: 'Foreground' };
  if (object.metadata.finalizers?.includes(orphanFinalizer)) return { action: 'delete', policy: 'Orphan' };
  if (object.metadata.finalizers?.includes(foregroundFinalizer))
    return { action: 'delete', policy: 'Foreground' };
  return { action: 'delete', policy: 'Background' };
}

/** Whether this dependent keeps an owner of that uid from going in a foreground deletion. */
export function blocks(dependent: KubeObject, ownerUid: string): boolean {
  return (
    dependent.metadata.ownerReferences?.some((ref) => ref.uid === ownerUid && ref.blockOwnerDeletion) ?? false
  );
}

/**
 * Owners that an object and others keep in a circle: all of them wait in a foreground deletion for one that waits for
 * the next, so none would ever go. Gives the uids of those among its own owners that lie behind it on such a circle;
 * letting them go first breaks it. `waitingDependents`: the uids of the objects that block an object's deletion and wait
 * for dependents themselves. Upstream guesses a circle from the first two of its members and may let owners go early
 * that are on none.
 */
export function ownersInCircle(
  object: KubeObject,
  waitingDependents: (uid: string) => readonly string[],
): ReadonlySet<string> {
  const { uid = '', ownerReferences = [] } = object.metadata;
  const found = new Set<string>();
  if (!waitsForDependents(object) || !ownerReferences.some((ref) => ref.blockOwnerDeletion)) return found;
  const reached = new Set<string>();
  for (const next = [uid]; next.length > 0;) {
    for (const dependent of waitingDependents(next.pop() ?? '')) {
      if (reached.has(dependent)) continue;
      reached.add(dependent);
      next.push(dependent);
    }
  }
  for (const ref of ownerReferences) if (ref.blockOwnerDeletion && reached.has(ref.uid)) found.add(ref.uid);
  return found;
}
