/** Who owns what after a write that is not an apply (structured-merge-diff `merge.Updater.Update`). */
import type { Comparison } from './compare.ts';
import { isSame } from './compare.ts';
import { difference, isEmptySet, union } from './field-set.ts';
import { capped, entryOf, isEntryOf, sorted, type Manager, type ManagerKey } from './managers.ts';

/**
 * The entries after a write by `key` that changed what `comparison` says: it owns what it added or modified, others lose
 * what was modified or removed. The same list when nothing changed. `time` is RFC 3339.
 */
export function afterUpdate(
  managers: readonly Manager[],
  comparison: Comparison,
  key: ManagerKey,
  time: string,
): readonly Manager[] {
  if (isSame(comparison)) return managers;
  const { added, modified, removed } = comparison;
  const taken = difference(union(modified, added), removed);
  const own = managers.find((entry) => isEntryOf(key, entry));
  const others = managers.filter((entry) => entry !== own);
  const kept = withoutChanged(others, comparison);
  const fields = own ? union(difference(own.fieldsV1, removed), taken) : taken;
  if (own && isEmptySet(taken) && fields === own.fieldsV1) kept.push(own);
  else if (!isEmptySet(fields)) kept.push(entryOf(key, fields, isEmptySet(taken) ? own?.time : time));
  return sorted(capped(kept));
}

/** The entries without the fields that changed, and without those that own nothing any more. */
export function withoutChanged(
  managers: readonly Manager[],
  { added, modified, removed }: Comparison,
): Manager[] {
  const changed = union(union(modified, added), removed);
  const rest: Manager[] = [];
  for (const entry of managers) {
    const fieldsV1 = difference(entry.fieldsV1, changed);
    if (fieldsV1 === entry.fieldsV1) rest.push(entry);
    else if (!isEmptySet(fieldsV1)) rest.push({ ...entry, fieldsV1 });
  }
  return rest;
}
