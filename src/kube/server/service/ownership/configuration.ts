/** Server-side apply of a configuration to one of the API's objects, or where there is none yet. */
import { timestamp, type KubeObject, type UntypedObject } from '../../../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../../../api/resource.ts';
import { isMembers } from '../../../../api/structural-members.ts';
import type { ApiError } from '../../../api-error.ts';
import { badRequest } from '../errors.ts';
import type { WriteRequest } from '../requests.ts';
import { apply } from './apply.ts';
import { compareObjects } from './compare.ts';
import { conflictError } from './conflicts.ts';
import { hasField } from './field-set.ts';
import { lastAppliedFields, withLastApplied } from './last-applied.ts';
import type { Manager } from './managers.ts';
import { managerKey, ownershipType, storedManagers, untouched, untouchedFields } from './ownership.ts';
import { typeFaults } from './typed.ts';
import { afterUpdate } from './update.ts';

export interface AppliedObject {
  readonly object: unknown;
  readonly managers: readonly Manager[];
}

/** Under this name kubectl applies; it alone takes over from client-side apply. */
const kubectl = 'kubectl';

/**
 * What applying `config` makes of the stored object (undefined: there is none). Changes neither. Throws 400 for what is no
 * configuration of the resource; gives the 409 of conflicts.
 */
export function applyConfiguration(
  def: ResourceDef,
  stored: UntypedObject | undefined,
  config: unknown,
  request: WriteRequest,
  now: number,
): AppliedObject | ApiError {
  const type = ownershipType(def);
  const live = stored ? withoutEntries(stored) : {};
  checkConfiguration(def, config);
  const faults = typeFaults(type, config);
  if (faults !== undefined) {
    throw badRequest(`failed to create typed patch object (${describe(def, config)}): ${faults}`);
  }
  const key = managerKey(def, request, 'Apply');
  const time = timestamp(now);
  const names = new Set([...Object.keys(live), ...Object.keys(config)]);
  const takesOver = key.manager === kubectl && !request.force;
  const inherited = takesOver ? lastAppliedFields(type, live, apiVersionOf(def)) : undefined;
  const result = apply({
    type,
    live,
    config,
    managers: managersOf(def, stored, request, time),
    key,
    ignored: untouchedFields(def, request.subresource, names),
    force: inherited ? ({ path }) => hasField(inherited, path) : request.force === true,
    time,
  });
  if (result.conflicts) return conflictError(result.conflicts);
  const object = key.manager === kubectl ? withLastApplied(result.object, config) : result.object;
  return { object, managers: result.managers };
}

function withoutEntries(object: UntypedObject): UntypedObject {
  const { managedFields: _entries, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Fields of an object that nobody tracks belong to a manager of their own from the first apply on. */
function managersOf(
  def: ResourceDef,
  stored: UntypedObject | undefined,
  request: WriteRequest,
  time: string,
): readonly Manager[] {
  const managers = storedManagers(stored);
  if (managers.length > 0 || !stored) return managers;
  const all = compareObjects(ownershipType(def), undefined, stored, untouched(def, request.subresource));
  const before = { ...managerKey(def, request, 'Update'), manager: 'before-first-apply' };
  return afterUpdate([], all, before, time);
}

function checkConfiguration(def: ResourceDef, config: unknown): asserts config is Record<string, unknown> {
  if (!isMembers(config)) {
    throw badRequest(
      'error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal the body into Go value of type map[string]interface {}',
    );
  }
  const { apiVersion, kind, metadata } = config;
  if (apiVersion !== apiVersionOf(def) || kind !== def.kind) {
    throw badRequest(`invalid object type: ${kindText(apiVersion, kind)}`);
  }
  if (isMembers(metadata) && metadata['managedFields'] !== undefined && metadata['managedFields'] !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
}

/** `apps/v1, Kind=Deployment`, as Go prints a GroupVersionKind. */
function kindText(apiVersion: unknown, kind: unknown): string {
  const version = typeof apiVersion === 'string' ? apiVersion : '';
  return `${version.includes('/') ? version : `/${version}`}, Kind=${typeof kind === 'string' ? kind : ''}`;
}

function describe(def: ResourceDef, config: Record<string, unknown>): string {
  const { name = '', namespace = '' } = (isMembers(config['metadata']) ? config['metadata'] : {}) as Partial<
    KubeObject['metadata']
  >;
  return `${namespace}/${name}; ${kindText(apiVersionOf(def), def.kind)}`;
}
