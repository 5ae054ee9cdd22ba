/** The three kinds of patch that say what to change, behind one door; an apply says what is wanted, and is elsewhere. */
import type { ResourceDef } from '../../../../api/resource.ts';
import type { Schema } from '../../../../api/schema.ts';
import { isMembers } from '../../../../api/structural-members.ts';
import { ApiError } from '../../../api-error.ts';
import { badRequest } from '../errors.ts';
import type { ChangingPatch, PatchRequest } from '../requests.ts';
import { jsonPatch } from './json.ts';
import { mergePatch } from './merge.ts';
import { strategicMergePatch } from './strategic.ts';

/** Throws 415 for patches that this resource does not take. */
export function checkPatchType(def: ResourceDef, patch: PatchRequest): void {
  if (patch.type === 'strategic' && !def.builtin) {
    throw new ApiError(
      'UnsupportedMediaType',
      'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json',
    );
  }
}

/** The object that a patch makes of `target`, which has the schema and stays as it is. Throws 400 and 422. */
export function applyPatch(schema: Schema, target: unknown, patch: ChangingPatch): unknown {
  if (patch.type === 'json') return jsonPatch(target, patch.body);
  if (!isMembers(patch.body)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal the body into Go value of type map[string]interface {}',
    );
  }
  if (patch.type === 'merge') return mergePatch(target, patch.body);
  const patched = strategicMergePatch(schema, target, patch.body);
  if (!isMembers(patched) || !isMembers(target)) return patched;
  // This one changes fields of a type that is known: another kind in it (Ansible's for a Scale) says nothing.
  return { ...patched, apiVersion: target['apiVersion'], kind: target['kind'] };
}
