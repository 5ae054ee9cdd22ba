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
  return issues.filter(
    ({ path, type }) =>
      path.startsWith('metadata') || !isUnchanged(schema, stepsOf(path), value, old, type === 'Required'),
  );
}

/** `spec.containers[0].ports[x]` in its parts. */
function stepsOf(path: string): string[] {
  return path.split(/[.[]/).map((step) => step.replace(/\]$/, ''));
}

/** Whether the value at the path, or anything around it, is as it was. The whole object never counts. */
function isUnchanged(
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
      before = before.find((other) =>
        keys.every((key) => deepEqual(memberOf(item, key), memberOf(other, key))),
      );
      next = item;
      schema = resolved.items;
    } else if (isMembers(next) && isMembers(before)) {
      next = next[step];
      before = before[step];
      schema = memberSchema(resolved, step);
    } else return false;
    if (next === undefined || before === undefined) return false;
    if (deepEqual(next, before)) return true;
  }
  return false;
}

function memberOf(value: unknown, key: string): unknown {
  return isMembers(value) ? value[key] : undefined;
}
