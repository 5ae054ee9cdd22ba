/** Which volume suits a claim (kubernetes pkg/volume/util `FindMatchingVolume`). Pure. */
import { matchesSelector } from '../../api/kubernetes/selectors.ts';
import { compareQuantities } from '../../api/kubernetes/quantity.ts';
import {
  classNameOf,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from '../../api/kubernetes/storage.ts';

/** The volume is reserved for the claim, by name or, once it was bound, by uid. */
export function isReservedFor(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const { name, namespace, uid } = volume.spec?.claimRef ?? {};
  const { metadata } = claim;
  if (name !== metadata.name || namespace !== metadata.namespace) return false;
  return !uid || uid === metadata.uid;
}

/** The volume was bound to this very claim. */
export function isClaimedBy(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return volume.spec?.claimRef?.uid === claim.metadata.uid;
}

/** Why the volume cannot serve the claim that asks for it by name; undefined when it can. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (compareQuantities(capacityOf(volume), requestOf(claim)) < 0) {
    return 'requested PV is too small';
  }
  // Reserving a volume says more than its class.
  if (
    classNameOf(volume) !== classNameOf(claim) &&
    !(volume.spec?.claimRef && isReservedFor(volume, claim))
  ) {
    return 'storageClassName does not match';
  }
  if (modeOf(volume) !== modeOf(claim)) return 'incompatible volumeMode';
  if (!hasAccessModes(volume, claim)) return 'incompatible accessMode';
  return undefined;
}

/** A volume reserved for the claim, or else the smallest free one that suits. Undefined when there is none. */
export function findVolume(
  volumes: Iterable<PersistentVolume>,
  claim: PersistentVolumeClaim,
): PersistentVolume | undefined {
  let smallest: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (volume.metadata.deletionTimestamp || mismatch(volume, claim) !== undefined) continue;
    if (volume.spec?.claimRef) {
      if (isReservedFor(volume, claim)) return volume;
      continue;
    }
    const { selector } = claim.spec ?? {};
    if (selector && !matchesSelector(selector, volume.metadata.labels)) continue;
    if (volume.status?.phase !== 'Available') continue;
    if (!smallest || isSmaller(volume, smallest)) smallest = volume;
  }
  return smallest;
}

/** Equal ones in the order of their names, so that the choice does not hang on a cache. */
function isSmaller(a: PersistentVolume, b: PersistentVolume): boolean {
  const order = compareQuantities(capacityOf(a), capacityOf(b));
  return order === 0 ? a.metadata.name < b.metadata.name : order < 0;
}

function hasAccessModes(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const offered = volume.spec?.accessModes ?? [];
  return (claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode));
}

export function capacityOf(volume: PersistentVolume): string {
  return volume.spec?.capacity?.['storage'] ?? '0';
}

export function requestOf(claim: PersistentVolumeClaim): string {
  return claim.spec?.resources?.requests?.['storage'] ?? '0';
}

function modeOf(object: PersistentVolume | PersistentVolumeClaim): string {
  return object.spec?.volumeMode ?? 'Filesystem';
}
