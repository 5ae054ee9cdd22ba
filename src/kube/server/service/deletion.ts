/** What a DELETE does to an object: remove it now, mark it, or nothing (apiserver registry/rest `BeforeDelete`). */
import { timestamp, type KubeObject, type ObjectMeta } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { DeleteRequest } from './requests.ts';

export type Deletion =
  | { readonly action: 'remove' }
  | { readonly action: 'keep' }
  /** Store the object with this metadata (and, for a namespace, phase Terminating). */
  | { readonly action: 'mark'; readonly metadata: ObjectMeta };

const foreground = 'foregroundDeletion';
const orphan = 'orphan';

/** `now` is milliseconds since the epoch. Pure. */
export function decideDeletion(
  def: ResourceDef,
  object: KubeObject,
  request: Pick<DeleteRequest, 'gracePeriodSeconds' | 'propagationPolicy'>,
  now: number,
): Deletion {
  const stored = object.metadata;
  const own = stored.deletionTimestamp === undefined ? (def.deletionFinalizers ?? []) : [];
  const before = stored.finalizers ?? [];
  const finalizers = finalizersFor(
    [...before, ...own.filter((name) => !before.includes(name))],
    request.propagationPolicy ?? defaultPolicy(def, before),
  );
  const held = finalizers.length > 0 || namespaceHeld(def, object);
  const grace = gracePeriod(def, object, request.gracePeriodSeconds);
  const marked = stored.deletionTimestamp !== undefined;

  if (marked) {
    const left = stored.deletionGracePeriodSeconds ?? 0;
    const shorter = request.gracePeriodSeconds !== undefined && grace < left ? grace : left;
    if (shorter === 0 && !held) return { action: 'remove' };
    if (shorter === left && sameFinalizers(finalizers, stored.finalizers)) return { action: 'keep' };
    const due = Date.parse(stored.deletionTimestamp ?? '') - (left - shorter) * 1000;
    return { action: 'mark', metadata: marking(stored, finalizers, due, shorter, false) };
  }
  if (grace === 0 && !held) return { action: 'remove' };
  return { action: 'mark', metadata: marking(stored, finalizers, now + grace * 1000, grace, true) };
}

function marking(
  stored: ObjectMeta,
  finalizers: readonly string[],
  due: number,
  grace: number,
  first: boolean,
): ObjectMeta {
  const { finalizers: _before, ...rest } = stored;
  return {
    ...rest,
    ...(first && stored.generation ? { generation: stored.generation + 1 } : {}),
    deletionTimestamp: timestamp(due),
    deletionGracePeriodSeconds: grace,
    ...(finalizers.length > 0 ? { finalizers: [...finalizers] } : {}),
  };
}

/** A finalizer of an earlier request has decided already. */
function defaultPolicy(def: ResourceDef, stored: readonly string[]): DeleteRequest['propagationPolicy'] {
  if (!def.orphansByDefault || stored.includes(foreground) || stored.includes(orphan)) return undefined;
  return 'Orphan';
}

/**
 * A propagation policy becomes a finalizer that the garbage collector works off. Without a policy, one that an earlier
 * request left stays.
 */
function finalizersFor(
  stored: readonly string[],
  policy: DeleteRequest['propagationPolicy'],
): readonly string[] {
  if (policy === undefined) return stored;
  const others = stored.filter((finalizer) => finalizer !== foreground && finalizer !== orphan);
  if (policy === 'Foreground') return [...others, foreground];
  if (policy === 'Orphan') return [...others, orphan];
  return others;
}

function sameFinalizers(a: readonly string[], b: readonly string[] | undefined): boolean {
  return a.length === (b?.length ?? 0) && a.every((finalizer, i) => finalizer === b?.[i]);
}

/** A namespace stays until `spec.finalizers` has been emptied through its `finalize` subresource. */
export function namespaceHeld(def: ResourceDef, object: KubeObject): boolean {
  return isNamespace(def) && ((object as NamespaceShape).spec?.finalizers?.length ?? 0) > 0;
}

export function isNamespace(def: ResourceDef): boolean {
  return def.group === '' && def.plural === 'namespaces';
}

interface NamespaceShape extends KubeObject {
  spec?: { finalizers?: string[] };
}

interface PodShape extends KubeObject {
  spec?: { nodeName?: string; terminationGracePeriodSeconds?: number };
  status?: { phase?: string };
}

/** A century. The end of a longer period may be a date that cannot be written, and its pod could never be deleted. */
const longestGraceSeconds = 100 * 365 * 24 * 3600;

/** Only pods get time to stop, and only once a node has them and while they run (pkg/registry/core/pod). */
function gracePeriod(def: ResourceDef, object: KubeObject, asked: number | undefined): number {
  if (def.group !== '' || def.plural !== 'pods') return 0;
  const { spec, status } = object as PodShape;
  if (!spec?.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  const seconds = asked ?? spec.terminationGracePeriodSeconds ?? 30;
  return seconds < 0 ? 1 : Math.min(seconds, longestGraceSeconds);
}
