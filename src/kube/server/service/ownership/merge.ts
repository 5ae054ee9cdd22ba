/** Merging an applied configuration into an object, and taking fields out of one (structured-merge-diff `typed`). */
import { isMembers } from '../../../../api/structural-members.ts';
import { hasField, type FieldSet } from './field-set.ts';
import type { FieldType, ListType, MapType } from './field-type.ts';
import { itemElement, itemsByElement } from './list-items.ts';

type Members = Readonly<Record<string, unknown>>;

/** Assigns without reaching a prototype's setter: keys come from outside. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
  } else target[key] = value;
}

function own(members: Members, key: string): unknown {
  return Object.hasOwn(members, key) ? members[key] : undefined;
}

/**
 * `live` with everything that `applied` mentions. Parts of both are shared with the result. Items of a list come in the
 * order of the configuration, those that only the object has before the next item that both have.
 */
export function merge(type: FieldType, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return live;
  if (live === undefined) return applied;
  if (type.map && !type.map.atomic && (isMembers(applied) || (applied === null && isMembers(live)))) {
    const [left, right] = [isMembers(live) ? live : {}, isMembers(applied) ? applied : {}];
    if (!isEmpty(left) || !isEmpty(right)) return mergeMembers(type.map, left, right);
  }
  if (
    type.list &&
    !type.list.atomic &&
    (Array.isArray(applied) || (applied === null && Array.isArray(live)))
  ) {
    const left = Array.isArray(live) ? (live as unknown[]) : [];
    const right = Array.isArray(applied) ? (applied as unknown[]) : [];
    if (left.length > 0 || right.length > 0) return mergeItems(type.list, left, right);
  }
  return applied;
}

function isEmpty(members: Members): boolean {
  return Object.keys(members).length === 0;
}

function mergeMembers(map: MapType, live: Members, applied: Members): Members {
  const result: Record<string, unknown> = { ...live };
  for (const [key, value] of Object.entries(applied)) {
    const type = map.fields.get(key)?.type ?? map.others;
    setOwn(result, key, type ? merge(type, own(live, key), value) : value);
  }
  return result;
}

function mergeItems(list: ListType, live: readonly unknown[], applied: readonly unknown[]): unknown[] {
  const wanted = itemsByElement(list, applied);
  const before = itemsByElement(list, live);
  if (!wanted || !before) return [...applied];
  const result: unknown[] = [];
  const done = new Set<string>();
  const take = (element: string): void => {
    const old = before.get(element);
    // Items that repeat have nothing of their own to keep.
    result.push(merge(list.items, old?.length === 1 ? old[0] : undefined, wanted.get(element)?.[0]));
    done.add(element);
  };
  const order = [...wanted.keys()];
  const shared = order.filter((element) => before.has(element));
  const present = live.map((item) => itemElement(list, item));
  let [left, right, turn] = [0, 0, 0];
  while (left < present.length || right < order.length) {
    const old = present[left];
    const next = order[right];
    if (old !== undefined && (!wanted.has(old) || done.has(old))) {
      if (!wanted.has(old)) result.push(live[left]);
      left++;
    } else if (old !== undefined && old !== next && old !== shared[turn]) {
      // An item of both whose turn comes later, or was: the configuration decides.
      left++;
    } else if (next !== undefined) {
      take(next);
      right++;
      if (shared[turn] === next) turn++;
    } else left++;
  }
  return result;
}

/**
 * The value without the fields of a set. A container that loses its last member or item becomes `emptied` (undefined: it is
 * left out, and what contains it stays), and so does an atomic value below which the set names fields.
 */
export function without(
  type: FieldType,
  value: unknown,
  fields: FieldSet,
  emptied: null | undefined,
): unknown {
  if (isMembers(value) && type.map) {
    if (isEmpty(value)) return value;
    return type.map.atomic ? emptied : membersWithout(type.map, value, fields, emptied);
  }
  if (Array.isArray(value) && type.list) {
    if (value.length === 0) return value as unknown[];
    return type.list.atomic ? emptied : itemsWithout(type.list, value, fields, emptied);
  }
  return value;
}

function membersWithout(
  map: MapType,
  members: Members,
  fields: FieldSet,
  emptied: null | undefined,
): unknown {
  const result: Record<string, unknown> = {};
  let kept = false;
  for (const [key, value] of Object.entries(members)) {
    const element = `f:${key}`;
    const below = fields[element];
    if (below && hasField(fields, [element])) continue;
    const type = map.fields.get(key)?.type ?? map.others;
    const rest = below && type ? without(type, value, below, emptied) : value;
    kept = true;
    if (rest !== undefined) setOwn(result, key, rest);
  }
  return kept ? result : emptied;
}

function itemsWithout(
  list: ListType,
  items: readonly unknown[],
  fields: FieldSet,
  emptied: null | undefined,
): unknown {
  if (!itemsByElement(list, items)) return items;
  const result: unknown[] = [];
  let kept = false;
  for (const item of items) {
    const element = itemElement(list, item);
    const below = fields[element];
    if (below && hasField(fields, [element])) continue;
    const rest = below ? without(list.items, item, below, emptied) : item;
    kept = true;
    if (rest !== undefined) result.push(rest);
  }
  return kept ? result : emptied;
}
