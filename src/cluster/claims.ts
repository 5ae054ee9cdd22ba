/**
 * Which children belong to a controller (kubernetes pkg/controller ControllerRefManager): it keeps what its selector
 * matches, lets go of what no longer matches, and adopts what matches and has no controller.
 */
import { controllerOf, controllerRef, type KubeObject } from '../api/object.ts';
import { matchesSelector, type LabelSelector } from '../api/kubernetes/selectors.ts';
import type { ResourceDef } from '../api/resource.ts';
import { hasReason } from '../kube/api-error.ts';
import { objectKey, type Client } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';

interface ClaimOptions<T extends KubeObject> {
  readonly client: Client;
  readonly def: ResourceDef<T>;
  readonly informer: Informer<T>;
  readonly owner: KubeObject;
  /** Undefined matches nothing: children that have the owner as controller are kept all the same. */
  readonly selector: LabelSelector | undefined;
  /** Which of the children without a controller may be adopted. Default: all that are not being deleted. */
  readonly adopts?: (child: T) => boolean;
  /** Metadata to change together with an adoption or a release, as a merge patch of `metadata`. */
  readonly onAdopt?: (child: T) => object;
  readonly onRelease?: (child: T) => object;
}

/**
 * The owner's children. Writes the adoptions and releases that are due; an owner that is being deleted makes none.
 * Throws what the API answers to an adoption.
 */
export async function claimChildren<T extends KubeObject>(options: ClaimOptions<T>): Promise<T[]> {
  const { informer, owner, selector, adopts = () => true } = options;
  const { uid = '', namespace = '', deletionTimestamp } = owner.metadata;
  const claimed: T[] = [];
  for (const child of informer.ownedBy(uid)) {
    if (controllerOf(child)?.uid !== uid) continue;
    if (deletionTimestamp || !selector || matchesSelector(selector, child.metadata.labels)) {
      claimed.push(child);
    } else {
      const refs = (child.metadata.ownerReferences ?? []).filter((ref) => ref.uid !== uid);
      await setOwners(options, child, refs, options.onRelease?.(child));
    }
  }
  if (deletionTimestamp || !selector) return claimed;
  const orphans = informer
    .list({ namespace, labels: selector.matchLabels ?? {} })
    .filter(
      (child) =>
        !controllerOf(child) &&
        !child.metadata.deletionTimestamp &&
        matchesSelector(selector, child.metadata.labels) &&
        adopts(child),
    );
  for (const child of orphans) {
    const refs = [...(child.metadata.ownerReferences ?? []), controllerRef(owner)];
    const adopted = await setOwners(options, child, refs, options.onAdopt?.(child));
    if (adopted) claimed.push(adopted);
  }
  return claimed;
}

/** The version guards against an owner that came meanwhile; undefined when the child is gone. */
async function setOwners<T extends KubeObject>(
  { client, def }: ClaimOptions<T>,
  child: T,
  refs: readonly object[],
  more: object | undefined,
): Promise<T | undefined> {
  const { uid, resourceVersion } = child.metadata;
  const ownerReferences = refs.length > 0 ? refs : null;
  const body = { metadata: { uid, resourceVersion, ownerReferences, ...more } };
  try {
    return await client.patch(def, objectKey(child), { type: 'merge', body });
  } catch (error) {
    if (hasReason(error, 'NotFound')) return undefined;
    throw error;
  }
}
