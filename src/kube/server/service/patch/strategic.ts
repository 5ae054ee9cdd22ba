/**
 * Strategic merge patch (apimachinery pkg/util/strategicpatch): lists of the built-in kinds are merged by key.
 * Directives: `$patch`, `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.
 * Nothing is changed in place.
 */
import type { Schema } from '../../../../api/schema.ts';
import { isMembers, memberSchema, resolveSchema } from '../../../../api/structural-members.ts';
import { ApiError } from '../../../api-error.ts';
import { badRequest } from '../errors.ts';
import { isUnsafeKey } from './merge.ts';

type Members = Record<string, unknown>;

const deletePrefix = '$deleteFromPrimitiveList/';
const orderPrefix = '$setElementOrder/';

export function strategicMergePatch(schema: Schema, target: unknown, patch: unknown): unknown {
  if (!isMembers(patch))
    throw badRequest('json: cannot unmarshal patch into Go value of type map[string]interface {}');
  return mergeMap(schema, isMembers(target) ? target : {}, patch);
}

function mergeMap(schema: Schema | undefined, target: Members, patch: Members): Members {
  const directive = patch['$patch'];
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') {
    throw badRequest(`unknown patch type: ${JSON.stringify(directive)}`);
  }
  const resolved = schema ? resolveSchema(schema) : {};
  const result: Members = { ...target };
  retainKeys(result, patch['$retainKeys']);
  for (const [key, value] of Object.entries(patch)) {
    if (key === '$patch' || key === '$retainKeys' || key.startsWith(orderPrefix) || isUnsafeKey(key))
      continue;
    if (key.startsWith(deletePrefix)) {
      deleteFromPrimitives(result, key.slice(deletePrefix.length), value);
    } else if (value === null) {
      delete result[key];
    } else {
      const before = Object.hasOwn(result, key) ? result[key] : undefined;
      result[key] = mergeValue(memberSchema(resolved, key), before, value);
    }
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(orderPrefix)) continue;
    const list = key.slice(orderPrefix.length);
    if (!Array.isArray(order)) {
      throw badRequest('invalid patch format of setElementOrder list');
    }
    const merged = result[list];
    const server = target[list];
    if (!Array.isArray(merged)) continue;
    const mergeKey = memberSchema(resolved, list)?.['x-kubernetes-patch-merge-key'];
    result[list] = orderElements(merged, order, Array.isArray(server) ? server : [], mergeKey);
  }
  return result;
}

function mergeValue(schema: Schema | undefined, before: unknown, value: unknown): unknown {
  const strategy = (schema?.['x-kubernetes-patch-strategy'] ?? '').split(',');
  if (Array.isArray(value)) {
    if (!strategy.includes('merge')) return value;
    const items = schema ? resolveSchema(schema).items : undefined;
    return mergeList(
      items,
      Array.isArray(before) ? before : [],
      value,
      schema?.['x-kubernetes-patch-merge-key'],
    );
  }
  if (!isMembers(value)) return value;
  if (strategy.includes('replace')) return withoutDirectives(value);
  return mergeMap(schema, isMembers(before) ? before : {}, value);
}

/** The elements of the patch come in its order, and before those of the server where the server has no order for both. */
function mergeList(
  items: Schema | undefined,
  before: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  if (mergeKey === undefined) {
    return orderElements([...new Set([...before, ...patch])], patch, before, undefined);
  }
  const elements = patch.map((element) => {
    if (!isMembers(element)) throw badRequest(`list element is not a map: ${JSON.stringify(element)}`);
    return element;
  });
  if (elements.some((element) => element['$patch'] === 'replace')) {
    return elements.filter((element) => element['$patch'] !== 'replace').map(withoutDirectives);
  }
  const result: unknown[] = [];
  // By their key, so that long lists take no time by the square of their length.
  const places = new Map<unknown, number[]>();
  const removed = new Set<number>();
  const append = (item: unknown): void => {
    if (isMembers(item)) {
      const same = places.get(item[mergeKey]);
      if (same) same.push(result.length);
      else places.set(item[mergeKey], [result.length]);
    }
    result.push(item);
  };
  before.forEach(append);
  for (const element of elements) {
    const id = element[mergeKey];
    if (id === undefined) {
      const shown = JSON.stringify(element);
      throw new ApiError('Invalid', `map: ${shown} does not contain declared merge key: ${mergeKey}`);
    }
    if (element['$patch'] === 'delete') {
      for (const at of places.get(id) ?? []) removed.add(at);
      places.delete(id);
      continue;
    }
    const [at] = places.get(id) ?? [];
    const current = at === undefined ? undefined : result[at];
    const merged = mergeMap(items, isMembers(current) ? current : {}, element);
    if (at === undefined) append(merged);
    else result[at] = merged;
  }
  const left = removed.size === 0 ? result : result.filter((_item, at) => !removed.has(at));
  return orderElements(left, elements, before, mergeKey);
}

function retainKeys(result: Members, keys: unknown): void {
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw badRequest('invalid patch format of retainKeys');
  const kept = new Set<unknown>(keys);
  for (const key of Object.keys(result)) if (!kept.has(key)) delete result[key];
}

function deleteFromPrimitives(result: Members, list: string, values: unknown): void {
  if (!Array.isArray(values)) throw badRequest('invalid patch format of primitive list');
  const current = result[list];
  const gone = new Set<unknown>(values);
  if (Array.isArray(current)) result[list] = current.filter((item) => !gone.has(item));
}

/** A value that only the patch has: taken as it is, less the directives in it. */
function withoutDirectives(value: Members): Members {
  const { $patch: _patch, $retainKeys: _retain, ...rest } = value;
  return rest;
}

/**
 * Elements named by `order` come in that order. The others keep their order on the server, each before the first ordered
 * element that follows it there (strategicpatch `mergeSortedSlice`).
 */
function orderElements(
  merged: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const idOf = (item: unknown): unknown =>
    mergeKey !== undefined && isMembers(item) ? item[mergeKey] : item;
  const position = new Map(order.map((item, i) => [idOf(item), i]));
  const serverPosition = new Map(server.map((item, i) => [idOf(item), i]));
  const rank = (item: unknown): number => position.get(idOf(item)) ?? 0;
  const ordered = merged.filter((item) => position.has(idOf(item))).sort((a, b) => rank(a) - rank(b));
  const serverOnly = merged.filter((item) => !position.has(idOf(item)));
  const result: unknown[] = [];
  let left = 0;
  let right = 0;
  while (left < serverOnly.length && right < ordered.length) {
    const l = serverPosition.get(idOf(serverOnly[left]));
    const r = serverPosition.get(idOf(ordered[right]));
    if (l !== undefined && r !== undefined && l < r) result.push(serverOnly[left++]);
    else result.push(ordered[right++]);
  }
  return [...result, ...serverOnly.slice(left), ...ordered.slice(right)];
}
