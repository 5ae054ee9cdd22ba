/** JSON merge patch (RFC 7386). Nothing is changed in place; untouched subtrees are shared with the original. */
import { isMembers } from '../../../../api/structural-members.ts';

/** Names that would reach the prototype instead of becoming a member. No Kubernetes field has them. */
export function isUnsafeKey(key: string): boolean {
  return key === '__proto__';
}

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMembers(patch)) return patch;
  const result: Record<string, unknown> = isMembers(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (isUnsafeKey(key)) continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
  }
  return result;
}
