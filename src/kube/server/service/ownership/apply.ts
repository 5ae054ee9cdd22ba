/** Server-side apply: the object and its managers after a configuration is applied (structured-merge-diff `merge.Updater.Apply`). */
import { compare, isSame, unownedFields, type Comparison } from './compare.ts';
import { conflictsWith, type Conflict } from './conflicts.ts';
import {
  difference,
  intersection,
  isEmptySet,
  recursiveDifference,
  union,
  type FieldSet,
} from './field-set.ts';
import type { FieldType } from './field-type.ts';
import { capped, entryOf, isEntryOf, sorted, type Manager, type ManagerKey } from './managers.ts';
import { merge, without } from './merge.ts';
import { fieldSetOf, reconciled, withNamedFields } from './typed.ts';
import { withoutChanged } from './update.ts';

export interface Application {
  readonly type: FieldType;
  /** The object as it is, without managedFields. */
  readonly live: unknown;
  /** What is applied: valid by its type, without managedFields. */
  readonly config: unknown;
  readonly managers: readonly Manager[];
  readonly key: ManagerKey;
  /** What this write never changes, whatever the configuration says of it. */
  readonly ignored: FieldSet;
  /** Conflicts that do not stand in the way; true: none do. */
  readonly force: boolean | ((conflict: Conflict) => boolean);
  /** RFC 3339. */
  readonly time: string;
}

export type Applied =
  | { readonly conflicts: readonly Conflict[] }
  | {
      readonly conflicts?: never;
      readonly object: unknown;
      readonly managers: readonly Manager[];
    };

/** What an apply comes to; changes nothing that it is given. */
export function apply(application: Application): Applied {
  const { type, live, config, key, ignored, force, time } = application;
  const managers = application.managers.map((entry) => {
    const fieldsV1 = reconciled(type, entry.fieldsV1);
    return fieldsV1 === entry.fieldsV1 ? entry : { ...entry, fieldsV1 };
  });
  const last = managers.find((entry) => isEntryOf(key, entry));
  const others = managers.filter((entry) => entry !== last);
  const applied = recursiveDifference(fieldSetOf(type, config), ignored);
  const merged = merge(type, live, config);
  const dropped = last
    ? droppedFields(type, merged, last.fieldsV1, [applied, ...others.map(fieldsOf)])
    : undefined;
  const pruned = dropped ? without(type, merged, dropped, null) : merged;
  const comparison = excluding(compare(type, live, pruned), ignored);
  const conflicts = conflictsWith(others, comparison);
  if (force !== true && conflicts.length > 0) {
    const standing = force === false ? conflicts : conflicts.filter((conflict) => !force(conflict));
    if (standing.length > 0) return { conflicts: standing };
  }
  const own = difference(applied, unownedFields);
  const kept = withoutChanged(others, comparison);
  if (!isEmptySet(own)) kept.push(ownEntry(key, own, last, isSame(comparison), time));
  return {
    object: dropped ? without(type, merged, dropped, undefined) : merged,
    managers: sorted(capped(kept)),
  };
}

function fieldsOf({ fieldsV1 }: Manager): FieldSet {
  return fieldsV1;
}

function excluding({ added, modified, removed }: Comparison, ignored: FieldSet): Comparison {
  if (isEmptySet(ignored)) return { added, modified, removed };
  return {
    added: recursiveDifference(added, ignored),
    modified: recursiveDifference(modified, ignored),
    removed: recursiveDifference(removed, ignored),
  };
}

/** The applier's entry keeps its time as long as an apply changes neither the object nor what it owns. */
function ownEntry(
  key: ManagerKey,
  fields: FieldSet,
  last: Manager | undefined,
  unchanged: boolean,
  time: string,
): Manager {
  const same =
    unchanged &&
    last?.apiVersion === key.apiVersion &&
    isEmptySet(difference(fields, last.fieldsV1)) &&
    isEmptySet(difference(last.fieldsV1, fields));
  return same ? last : entryOf(key, fields, time);
}

/**
 * What an apply takes out: fields that the manager applied last time, and that nobody owns now. An item or member goes
 * with everything below it, and stays as long as anybody owns something of it.
 */
function droppedFields(
  type: FieldType,
  merged: unknown,
  lastFields: FieldSet,
  owners: readonly FieldSet[],
): FieldSet | undefined {
  const last = withNamedFields(type, lastFields);
  const owned = withNamedFields(type, owners.reduce(union));
  // Mostly everything is applied again. What follows walks the object many times.
  if (isEmptySet(difference(last, owned))) return undefined;
  const present = withNamedFields(type, fieldSetOf(type, merged));
  const first = fieldSetOf(type, without(type, merged, last, null));
  const unowned = difference(present, union(withNamedFields(type, first), owned));
  const second = fieldSetOf(type, without(type, merged, unowned, null));
  const dropped = intersection(difference(present, withNamedFields(type, second)), last);
  return isEmptySet(dropped) ? undefined : dropped;
}
