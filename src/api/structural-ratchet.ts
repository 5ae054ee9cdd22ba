/** Ratcheting: what was accepted once and has not changed is not refused, although today's schema would. */
import { deepEqual } from '../base/json.ts';
import type { Issue } from './resource.ts';
import type { Schema } from './schema.ts';
import { isMembers, memberSchema, resolveSchema } from './structural-members.ts';

/** The issues about values that an update changes, and all about metadata. List elements are the same only where keys tell (`list-type: map`). */
export function changedIssues(
  schema: Schema,
  issues: readonly Issue[],
  value: unknown,
  old: unknown,
): readonly Issue[] {
  const ratchet = new Ratchet();
  return issues.filter(
    ({ path, type }) =>
      path.startsWith('metadata') ||
      !ratchet.isUnchanged(schema, stepsOf(path), value, old, type === 'Required'),
  );
}

/** `spec.containers[0].ports[x]` in its parts. */
function stepsOf(path: string): string[] {
  return path.split(/[.[]/).map((step) => step.replace(/\]$/, ''));
}

/**
 * One comparison of two objects. An object may have a hundred thousand issues, which go through the same lists and
 * members: those are compared, and the items of the lists found, once.
 */
class Ratchet {
  /** By the new value, whose place says what it is compared with. */
  readonly #equal = new Map<object, boolean>();
  readonly #items = new Map<readonly unknown[], ReadonlyMap<string, unknown>>();

  /** Whether the value at the path, or anything around it, is as it was. The whole object never counts. */
  isUnchanged(
    root: Schema,
    steps: readonly string[],
    value: unknown,
    old: unknown,
    missing: boolean,
  ): boolean {
    let schema: Schema | undefined = root;
    let next = value;
    let before = old;
    for (const [i, step] of steps.entries()) {
      // What is missing is a fault of what it is missing in.
      if (missing && i === steps.length - 1) return false;
      const resolved: Schema = resolveSchema(schema ?? {});
      if (Array.isArray(next) && Array.isArray(before)) {
        const item: unknown = next[Number(step)];
        const keys =
          resolved['x-kubernetes-list-type'] === 'map' ? resolved['x-kubernetes-list-map-keys'] : undefined;
        if (!keys) return false;
        before = this.#itemsOf(before, keys).get(keyText(item, keys));
        next = item;
        schema = resolved.items;
      } else if (isMembers(next) && isMembers(before)) {
        next = next[step];
        before = before[step];
        schema = memberSchema(resolved, step);
      } else return false;
      if (next === undefined || before === undefined) return false;
      if (this.#isEqual(next, before)) return true;
    }
    return false;
  }

  #isEqual(next: unknown, before: unknown): boolean {
    if (typeof next !== 'object' || next === null) return deepEqual(next, before);
    let equal = this.#equal.get(next);
    if (equal === undefined) {
      equal = deepEqual(next, before);
      this.#equal.set(next, equal);
    }
    return equal;
  }

  /** A list's items by their keys; of those that repeat the first. */
  #itemsOf(list: readonly unknown[], keys: readonly string[]): ReadonlyMap<string, unknown> {
    let items = this.#items.get(list);
    if (!items) {
      const found = new Map<string, unknown>();
      for (const item of list) {
        const text = keyText(item, keys);
        if (!found.has(text)) found.set(text, item);
      }
      items = found;
      this.#items.set(list, items);
    }
    return items;
  }
}

/** The values of an item's keys, as a text that only they have. */
function keyText(item: unknown, keys: readonly string[]): string {
  return JSON.stringify(keys.map((key) => (isMembers(item) ? item[key] : undefined)));
}
