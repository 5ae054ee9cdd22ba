/** Any JSON value. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/** Freezes a JSON-like value all the way down and returns it. Frozen subtrees are not visited again. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}

/** A copy all the way down of a JSON-like value, not frozen. Several times faster than `structuredClone`. */
export function cloneJson<T>(value: T): T {
  return cloneAny(value) as T;
}

function cloneAny(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneAny);
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = cloneAny((value as Record<string, unknown>)[key]);
    // Assigning this name would set the prototype instead.
    if (key === '__proto__') Object.defineProperty(copy, key, { value: member, enumerable: true });
    else copy[key] = member;
  }
  return copy;
}

/** Structural equality of JSON-like values; `undefined` members count as absent. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => deepEqual(item, b[i]));
  }
  const left = a as Members;
  const right = b as Members;
  for (const key of Object.keys(left)) if (!deepEqual(left[key], own(right, key))) return false;
  for (const key of Object.keys(right)) {
    if (right[key] !== undefined && own(left, key) === undefined) return false;
  }
  return true;
}

type Members = Readonly<Record<string, unknown>>;

/** A member of its own: `constructor` must not find what every object inherits. */
function own(members: Members, key: string): unknown {
  return Object.hasOwn(members, key) ? members[key] : undefined;
}

/** The JSON merge patch (RFC 7396) that turns `before` into `after`, or undefined when they are equal. */
export function mergePatchOf(before: unknown, after: unknown): unknown {
  if (deepEqual(before, after)) return undefined;
  if (!isMembers(before) || !isMembers(after)) return after;
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(before)) if (own(after, key) === undefined) patch[key] = null;
  for (const key of Object.keys(after)) {
    const member = mergePatchOf(own(before, key), after[key]);
    if (member !== undefined) patch[key] = member;
  }
  return patch;
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
