/** Rules of lists in a structural schema: sets, and lists that are maps. */
import { isMembers } from '../../../api/structural-members.ts';
import type { RawSchema } from './definition.ts';
import type { Faults } from './faults.ts';

const scalarTypes = new Set(['boolean', 'integer', 'number', 'string']);
const listTypes = ['atomic', 'map', 'set'];

/** Faults of `x-kubernetes-list-type` and what belongs to it. */
export function checkLists(rules: Faults, raw: RawSchema, path: string): void {
  const listType = raw['x-kubernetes-list-type'];
  const keys = raw['x-kubernetes-list-map-keys'];
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (listType === undefined) {
    if (Array.isArray(keys) && keys.length > 0) {
      rules.required(
        `${path}.x-kubernetes-list-type`,
        'must be map if x-kubernetes-list-map-keys is non-empty',
      );
    }
    return;
  }
  if (!listTypes.includes(listType as string)) {
    return rules.supported(`${path}.x-kubernetes-list-type`, listType, listTypes);
  }
  if (raw['type'] !== 'array') {
    rules.invalid(`${path}.type`, raw['type'] ?? '', 'must be array if x-kubernetes-list-type is specified');
  }
  const items = isMembers(raw['items']) ? raw['items'] : {};
  if (listType === 'set') checkSetItems(rules, items, `${path}.items`);
  if (listType !== 'map') {
    if (Array.isArray(keys) && keys.length > 0) {
      rules.forbidden(at, 'must be empty if x-kubernetes-list-type is not map');
    }
    return;
  }
  if (!Array.isArray(keys) || keys.length === 0) {
    return rules.required(at, 'must not be empty if x-kubernetes-list-type is map');
  }
  checkMapKeys(rules, items, keys as string[], path);
}

function checkSetItems(rules: Faults, items: RawSchema, path: string): void {
  if (items['nullable'] === true) {
    rules.forbidden(`${path}.nullable`, 'cannot be nullable when x-kubernetes-list-type is set');
  }
  const isAtomicMap = items['type'] === 'object' && items['x-kubernetes-map-type'] === 'atomic';
  const listType = items['x-kubernetes-list-type'];
  const isAtomicList = items['type'] === 'array' && (listType === undefined || listType === 'atomic');
  if (items['type'] === 'object' && !isAtomicMap) {
    rules.invalid(
      `${path}.x-kubernetes-map-type`,
      items['x-kubernetes-map-type'] ?? null,
      'must be atomic as item of a list with x-kubernetes-list-type=set',
    );
  } else if (items['type'] === 'array' && !isAtomicList) {
    rules.invalid(
      `${path}.x-kubernetes-list-type`,
      listType ?? null,
      'must be atomic as item of a list with x-kubernetes-list-type=set',
    );
  }
}

function checkMapKeys(rules: Faults, items: RawSchema, keys: readonly string[], path: string): void {
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (items['type'] !== 'object') {
    rules.invalid(
      `${path}.items.type`,
      items['type'] ?? '',
      `must be object if parent array's x-kubernetes-list-type is map`,
    );
    return;
  }
  const properties = isMembers(items['properties']) ? items['properties'] : {};
  const required = Array.isArray(items['required']) ? (items['required'] as string[]) : [];
  keys.forEach((key, i) => {
    const property = properties[key];
    if (keys.indexOf(key) < i) {
      rules.issues.push({ type: 'Duplicate', path: `${at}[${i}]`, value: key, detail: '' });
    } else if (!Object.hasOwn(properties, key) || !isMembers(property)) {
      rules.invalid(`${at}[${i}]`, key, 'entries must all be names of item properties');
    } else if (!scalarTypes.has(property['type'] as string)) {
      rules.invalid(
        `${path}.items.properties[${key}].type`,
        property['type'] ?? '',
        'must be a scalar type if parent array x-kubernetes-list-type is map',
      );
    } else if (property['default'] === undefined && !required.includes(key)) {
      rules.required(
        `${path}.items.properties[${key}].default`,
        'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
      );
    }
  });
}
