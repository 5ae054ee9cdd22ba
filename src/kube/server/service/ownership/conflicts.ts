/** Fields that an apply would take from other managers, and how Kubernetes tells about them. */
import { ApiError } from '../../../api-error.ts';
import { intersection, isEmptySet, pathsOf, pathText, union, type FieldSet } from './field-set.ts';
import type { Comparison } from './compare.ts';
import { identityOf, type Manager } from './managers.ts';

export interface Conflict {
  readonly owner: Manager;
  readonly path: readonly string[];
}

/** By manager, in the order of their identities. */
export function conflictsWith(managers: readonly Manager[], { added, modified }: Comparison): Conflict[] {
  const changed: FieldSet = union(modified, added);
  if (isEmptySet(changed)) return [];
  return managers
    .toSorted((a, b) => (identityOf(a) < identityOf(b) ? -1 : 1))
    .flatMap((owner) => pathsOf(intersection(owner.fieldsV1, changed)).map((path) => ({ owner, path })));
}

/** There may be a hundred thousand conflicts; nobody reads an answer of tens of MB. */
const maxCauses = 1000;

/** 409 with one cause a field (apimachinery `NewApplyConflict`). */
export function conflictError(conflicts: readonly Conflict[]): ApiError {
  const causes = conflicts.slice(0, maxCauses).map(({ owner, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${ownerText(owner)}`,
    field: pathText(path),
  }));
  return new ApiError('Conflict', conflictMessage(conflicts), { causes });
}

function conflictMessage(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first) {
    return `Apply failed with 1 conflict: conflict with ${ownerText(first.owner)}: ${pathText(first.path)}`;
  }
  const lines: string[] = [];
  let owner: Manager | undefined;
  for (const [i, conflict] of conflicts.entries()) {
    if (conflict.owner !== owner) lines.push(`conflicts with ${ownerText(conflict.owner)}:`);
    owner = conflict.owner;
    lines.push(`- ${pathText(conflict.path)}`);
    if (i + 1 < maxCauses || i + 1 === conflicts.length) continue;
    lines.push(`and ${conflicts.length - maxCauses} more`);
    break;
  }
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}

function ownerText({ manager, operation, apiVersion, subresource }: Manager): string {
  const name =
    JSON.stringify(manager) + (subresource ? ` with subresource ${JSON.stringify(subresource)}` : '');
  return operation === 'Update' ? `${name} using ${apiVersion}` : name;
}
