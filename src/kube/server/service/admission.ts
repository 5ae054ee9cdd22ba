/** From a request body to an object that may be stored: form, defaults, the kind's own rules. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, type AdmissionContext, type Issue, type ResourceDef } from '../../../api/resource.ts';
import {
  applyDefaults,
  prune,
  resourceSchema,
  typeIssues,
  validateStructure,
} from '../../../api/structural.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { changedIssues } from '../../../api/structural-ratchet.ts';
import { ApiError } from '../../api-error.ts';
import { badRequest, firstOf, invalid } from './errors.ts';
import { metadataIssues } from './metadata.ts';
import { isUnsafeKey } from './patch/merge.ts';
import type { BodyFaults } from './requests.ts';
import { sameIntent } from './writes.ts';

/** Deeper than any Kubernetes object; keeps recursive walks off the end of the stack. */
const maxDepth = 200;

/** A private, unfrozen copy of JSON-like input. Drops undefined members. Throws 400 on hostile shapes. */
export function copyInput(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > maxDepth) throw badRequest(`the object is nested deeper than ${maxDepth} levels`);
  if (Array.isArray(value)) return value.map((item: unknown) => copyInput(item, depth + 1));
  const copy: Record<string, unknown> = {};
  // Not by entries: a pair for each of a hundred thousand members doubles the price.
  for (const key of Object.keys(value)) {
    const member = (value as Readonly<Record<string, unknown>>)[key];
    if (member === undefined) continue;
    if (isUnsafeKey(key)) throw badRequest(`a member may not be named ${JSON.stringify(key)}`);
    copy[key] = typeof member === 'object' ? copyInput(member, depth + 1) : member;
  }
  return copy;
}

/** The entries of managedFields that a body has. They are never changed in place, and long: nobody copies them. */
function entriesOf(body: Record<string, unknown>): unknown {
  const metadata = body['metadata'];
  return isMembers(metadata) ? metadata['managedFields'] : undefined;
}

/** A private copy without the entries of managedFields. */
function copyObject(body: Record<string, unknown>): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(body)) {
    const value = body[key];
    if (value === undefined) continue;
    if (isUnsafeKey(key)) throw badRequest(`a member may not be named ${JSON.stringify(key)}`);
    copy[key] = key === 'metadata' && isMembers(value) ? copyMetadata(value) : copyInput(value, 1);
  }
  return copy;
}

function copyMetadata(metadata: Record<string, unknown>): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(metadata)) {
    const value = metadata[key];
    if (value === undefined || key === 'managedFields') continue;
    if (isUnsafeKey(key)) throw badRequest(`a member may not be named ${JSON.stringify(key)}`);
    copy[key] = copyInput(value, 2);
  }
  return copy;
}

/** Checks that the body is an object of this resource and gives a private copy, apiVersion, kind and metadata first. */
export function readObject(def: ResourceDef, body: unknown): UntypedObject {
  if (!isMembers(body)) {
    throw badRequest(`the object provided is unrecognized (must be of type ${def.kind}): not a JSON object`);
  }
  const { apiVersion, kind, metadata, ...rest } = copyObject(body);
  const wanted = apiVersionOf(def);
  // A built-in kind is decoded into the type that the path names, so a body without a kind is taken for it.
  if (!def.builtin && (!kind || !apiVersion)) {
    throw badRequest(`Object '${kind ? 'apiVersion' : 'Kind'}' is missing in the object provided`);
  }
  if (apiVersion !== undefined && apiVersion !== '' && apiVersion !== wanted) {
    throw badRequest(
      `the API version in the data (${shown(apiVersion)}) does not match the expected API version (${wanted})`,
    );
  }
  if (kind !== undefined && kind !== '' && kind !== def.kind) {
    throw badRequest(`the kind in the data (${shown(kind)}) does not match the expected kind (${def.kind})`);
  }
  const object = { apiVersion: wanted, kind: def.kind, metadata: metadata ?? {}, ...rest };
  const managedFields = entriesOf(body);
  // Frozen entries are the store's own.
  const unproven = managedFields !== undefined && !Object.isFrozen(managedFields);
  const faults = [
    ...typeIssues(resourceSchema(def), { metadata: object.metadata }, def.builtin),
    ...(unproven ? typeIssues(resourceSchema(def), { metadata: { managedFields } }, def.builtin) : []),
  ];
  if (faults.length > 0) refuseTypes(def, nameOf(object.metadata), faults);
  if (managedFields) Object.assign(object.metadata, { managedFields });
  const read = object as unknown as UntypedObject;
  // Zero is no version: clients send it to write without looking.
  if (read.metadata.resourceVersion === '0') delete read.metadata.resourceVersion;
  return read;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function nameOf(metadata: unknown): string {
  return isMembers(metadata) && typeof metadata['name'] === 'string' ? metadata['name'] : '';
}

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/**
 * Removes unknown fields, refuses wrong types, fills the schema's defaults. In place. Returns warnings. `bodyFaults` are
 * what the decoder found that only Strict refuses. Throws 400 (those and unknown fields under Strict; wrong types in a built-in kind) or 422 (wrong types elsewhere).
 */
export function applySchema(
  def: ResourceDef,
  object: KubeObject,
  fieldValidation: FieldValidation,
  bodyFaults: BodyFaults = { texts: [] },
): string[] {
  const schema = resourceSchema(def);
  const unknown = prune(schema, object).map((path) => `unknown field ${JSON.stringify(path)}`);
  const { texts, inOrder } = bodyFaults;
  const found = [...texts, ...unknown];
  const strict = inOrder && texts.length > 0 && unknown.length > 0 ? [...inOrder(found)] : found;
  if (strict.length > 0 && fieldValidation === 'Strict') {
    const told = firstOf(strict, (count) => `and ${count} more`);
    throw badRequest(cannotHandle(def, `strict decoding error: ${told.join(', ')}`));
  }
  const faults = typeIssues(schema, object, def.builtin);
  if (faults.length > 0) refuseTypes(def, object.metadata.name, faults);
  applyDefaults(schema, object);
  // Defaulting takes an empty name for an absent one; everything after counts on a string.
  object.metadata.name ??= '';
  return fieldValidation === 'Ignore' ? [] : strict;
}

function refuseTypes(def: ResourceDef, name: string, faults: readonly Issue[]): never {
  const [first] = faults;
  if (def.builtin && first) throw badRequest(cannotHandle(def, first.detail));
  throw invalid(def, name, faults);
}

function cannotHandle(def: ResourceDef, why: string): string {
  return `${def.kind} in version ${JSON.stringify(def.version)} cannot be handled as a ${def.kind}: ${why}`;
}

/**
 * The kind's last word on a complete object. `found` are faults that the caller knows already. Throws 422, or the 400 of
 * the kind's `denial` when the schema is content and only the kind's own rules are broken.
 */
export function check(
  def: ResourceDef,
  object: KubeObject,
  context: AdmissionContext,
  found: readonly Issue[],
): void {
  // An object on its way out must be able to lose its finalizers, whatever today's rules say of the rest.
  if (context.old?.metadata.deletionTimestamp !== undefined && sameIntent(def, context.old, object)) {
    const issues = [...found, ...metadataIssues(def, object.metadata)];
    if (issues.length > 0) throw invalid(def, object.metadata.name, issues);
    return;
  }
  const form = [
    ...metadataIssues(def, object.metadata),
    ...validateStructure(resourceSchema(def), withoutEntries(object), def.builtin),
  ];
  if (def.builtin) {
    const issues = withoutRepeats([...found, ...form, ...(def.validate?.(object, context) ?? [])]);
    if (issues.length > 0) throw invalid(def, object.metadata.name, issues);
    return;
  }
  const faults = [
    ...found,
    ...(context.old ? changedIssues(resourceSchema(def), form, object, context.old) : form),
  ];
  if (faults.length > 0) throw invalid(def, object.metadata.name, faults);
  const issues = def.validate?.(object, context) ?? [];
  if (issues.length === 0) return;
  throw def.denial
    ? new ApiError('BadRequest', def.denial(issues))
    : invalid(def, object.metadata.name, issues);
}

/** Entries of managedFields are made by the server, and long. */
function withoutEntries(object: KubeObject): KubeObject {
  if (!object.metadata.managedFields) return object;
  const { managedFields: _entries, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Schema and kind may both miss the same field; it is told once. */
function withoutRepeats(issues: readonly Issue[]): Issue[] {
  const seen = new Set<string>();
  return issues.filter((issue) => {
    if (issue.type !== 'Required') return true;
    if (seen.has(issue.path)) return false;
    seen.add(issue.path);
    return true;
  });
}
