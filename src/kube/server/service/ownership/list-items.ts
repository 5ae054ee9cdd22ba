/** What tells the items of a list apart. */
import { isMembers } from '../../../../api/structural-members.ts';
import type { ListType } from './field-type.ts';
import { keyElement, valueElement } from './path-element.ts';

/** Why an item has no path element, in the words of structured-merge-diff. */
export class KeyFault extends Error {}

/** The path element of an item of a list that is not atomic. Throws {@link KeyFault}. */
export function itemElement(list: ListType, item: unknown): string {
  if (list.keys.length === 0) return setElement(item);
  if (item === null) throw new KeyFault('associative list with keys may not have a null element');
  if (!isMembers(item)) throw new KeyFault('associative list with keys may not have non-map elements');
  const fields: (readonly [string, unknown])[] = [];
  for (const { name, byDefault } of list.keys) {
    const value = item[name] ?? byDefault;
    if (value === undefined) {
      throw new KeyFault(
        `associative list with keys has an element that omits key field ${JSON.stringify(name)} (and doesn't have default value)`,
      );
    }
    fields.push([name, value]);
  }
  return keyElement(fields);
}

function setElement(item: unknown): string {
  if (isMembers(item)) throw new KeyFault("associative list without keys has an element that's a map type");
  if (Array.isArray(item)) throw new KeyFault('not supported: associative list with lists as elements');
  if (item === null)
    throw new KeyFault("associative list without keys has an element that's an explicit null");
  return valueElement(item);
}

/** The items by their elements, in order; several where elements repeat. Undefined when an item has no element. */
export function itemsByElement(
  list: ListType,
  items: readonly unknown[],
): Map<string, unknown[]> | undefined {
  const found = new Map<string, unknown[]>();
  try {
    for (const item of items) {
      const element = itemElement(list, item);
      const same = found.get(element);
      if (same) same.push(item);
      else found.set(element, [item]);
    }
  } catch (error) {
    if (error instanceof KeyFault) return undefined;
    throw error;
  }
  return found;
}
