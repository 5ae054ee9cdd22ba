/** The short difference of two values that refusals of immutable fields show. */
import { deepEqual } from '../../../base/json.ts';

/** Lines `-path: old` and `+path: new` of everything that differs, in order of path. */
export function shortDiff(before: unknown, after: unknown, path = '{spec}'): string {
  return diffLines(before, after, path).join('\n');
}

function diffLines(before: unknown, after: unknown, path: string): string[] {
  if (deepEqual(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) =>
      diffLines(before[key], after[key], Array.isArray(before) ? `${path}[${key}]` : `${path}.${key}`),
    );
  }
  const lines = [`${path}:`];
  if (before !== undefined) lines.push(`\t-: ${JSON.stringify(before)}`);
  if (after !== undefined) lines.push(`\t+: ${JSON.stringify(after)}`);
  return lines;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
