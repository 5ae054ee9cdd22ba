/** What an applied configuration says: its fields as a set, and whether it has the form of its type. */
import { isMembers } from '../../../../api/structural-members.ts';
import { isEmptySet, member, type FieldSet, type MutableFieldSet } from './field-set.ts';
import type { FieldType, ListType, MapType } from './field-type.ts';
import { itemElement, itemsByElement, KeyFault } from './list-items.ts';
import { elementText } from './path-element.ts';

type Members = Readonly<Record<string, unknown>>;

/** Every field and item that a value mentions (structured-merge-diff `typed.ToFieldSet`). */
export function fieldSetOf(type: FieldType, value: unknown): FieldSet {
  return fieldsOf(type, value).below;
}

interface Fields {
  /** The value is a field by itself. */
  readonly whole: boolean;
  readonly below: FieldSet;
}

const leaf: Fields = { whole: true, below: member };

function fieldsOf(type: FieldType, value: unknown): Fields {
  if (isMembers(value) && type.map) {
    return type.map.atomic ? leaf : { whole: false, below: memberFields(type.map, value) };
  }
  if (Array.isArray(value) && type.list) {
    return type.list.atomic ? leaf : { whole: false, below: itemFields(type.list, value) };
  }
  return leaf;
}

function memberFields(map: MapType, members: Members): FieldSet {
  const set: MutableFieldSet = {};
  for (const key in members) {
    const value = members[key];
    if (value === undefined) continue;
    const field = map.fields.get(key);
    const type = field?.type ?? map.others;
    if (!type) continue;
    const { whole, below } = fieldsOf(type, value);
    // Members that the schema does not name are items of the map, and empty maps have nothing else to own.
    put(set, field?.element ?? `f:${key}`, whole || !field || isEmptyMap(value), below);
  }
  return set;
}

function isEmptyMap(value: unknown): boolean {
  return isMembers(value) && Object.keys(value).length === 0;
}

function itemFields(list: ListType, items: readonly unknown[]): FieldSet {
  const set: MutableFieldSet = {};
  for (const [element, same] of itemsByElement(list, items) ?? []) {
    put(set, element, true, same.length > 1 ? member : fieldsOf(list.items, same[0]).below);
  }
  return set;
}

function put(set: MutableFieldSet, element: string, belongs: boolean, below: FieldSet): void {
  if (belongs) set[element] = isEmptySet(below) ? member : { '.': member, ...below };
  else if (!isEmptySet(below)) set[element] = below;
}

/** The set with every member that the schema names and below which it has fields (`EnsureNamedFieldsAreMembers`). */
export function withNamedFields(type: FieldType | undefined, set: FieldSet): FieldSet {
  const result: MutableFieldSet = {};
  for (const element in set) {
    const below = set[element] ?? member;
    if (element === '.' || isEmptySet(below)) {
      result[element] = below;
      continue;
    }
    const name = element.startsWith('f:') ? element.slice(2) : undefined;
    const field = name === undefined ? undefined : type?.map?.fields.get(name);
    const inner =
      name === undefined
        ? element.startsWith('k:')
          ? type?.list?.items
          : undefined
        : (field?.type ?? type?.map?.others);
    const children = withNamedFields(inner, below);
    result[element] = field && !('.' in children) ? { '.': member, ...children } : children;
  }
  return result;
}

/** Fields of atomic values that a set still names one by one become those values (`ReconcileFieldSetWithSchema`). */
export function reconciled(type: FieldType, set: FieldSet): FieldSet {
  let result: MutableFieldSet | undefined;
  for (const element in set) {
    const below = set[element] ?? member;
    if (element === '.' || isEmptySet(below)) continue;
    const inner = element.startsWith('f:')
      ? (type.map?.fields.get(element.slice(2))?.type ?? type.map?.others)
      : type.list?.items;
    if (!inner) continue;
    const only = inner.map ?? inner.list;
    const after = only?.atomic && !inner.scalar ? member : reconciled(inner, below);
    if (after === below) continue;
    result ??= { ...set };
    result[element] = after;
  }
  return result ?? set;
}

/** One fault of form. */
interface Fault {
  readonly place: Place;
  readonly message: string;
}

/** Where a walk is; undefined at the root. It is put into words for faults alone: most walks find none. */
type Place = { readonly above: Place; readonly text: () => string } | undefined;

function placeText(place: Place): string {
  return place ? `${placeText(place.above)}${place.text()}` : '';
}

/** A configuration may have a hundred thousand faults; nobody reads an answer of tens of MB. */
const maxToldFaults = 1000;

/** Why a configuration is not of the type, in structured-merge-diff's words; undefined when it is. */
export function typeFaults(type: FieldType, value: unknown): string | undefined {
  const faults: Fault[] = [];
  validate(type, value, undefined, faults);
  if (faults.length === 0) return undefined;
  const lines = faults
    .slice(0, maxToldFaults)
    .map(({ place, message }) => (place ? `${placeText(place)}: ${message}` : message));
  if (faults.length > lines.length) lines.push(`and ${faults.length - lines.length} more faults`);
  return lines.length === 1 ? lines.join('') : ['errors:', ...lines.map((line) => `  ${line}`)].join('\n');
}

function validate(type: FieldType, value: unknown, place: Place, faults: Fault[]): void {
  if (value === null || value === undefined) return;
  if (isMembers(value)) {
    if (type.map) return validateMembers(type.map, value, place, faults);
  } else if (Array.isArray(value)) {
    if (type.list) return validateItems(type.list, value, place, faults);
  } else if (type.scalar) {
    const wanted = scalarFault(type.scalar, value);
    if (wanted) faults.push({ place, message: wanted });
    return;
  }
  const wanted = type.map ? 'map' : type.scalar ? scalarWords[type.scalar] : 'list';
  faults.push({ place, message: `expected ${wanted}, got ${shown(value)}` });
}

const scalarWords = {
  numeric: 'numeric (int or float)',
  string: 'string',
  boolean: 'boolean',
  untyped: 'scalar',
};

const scalarTypes = { numeric: 'number', string: 'string', boolean: 'boolean' };

function scalarFault(scalar: NonNullable<FieldType['scalar']>, value: unknown): string | undefined {
  if (scalar === 'untyped' || typeof value === scalarTypes[scalar]) return undefined;
  return `expected ${scalarWords[scalar]}, got ${shown(value)}`;
}

/** A short value as it is; of a large one its kind. */
function shown(value: unknown): string {
  if (isMembers(value)) return 'map';
  if (Array.isArray(value)) return 'list';
  return JSON.stringify(value).slice(0, 200);
}

function validateMembers(map: MapType, members: Members, above: Place, faults: Fault[]): void {
  for (const key of Object.keys(members)) {
    const place = { above, text: () => `.${key}` };
    const type = map.fields.get(key)?.type ?? map.others;
    if (type) validate(type, members[key], place, faults);
    else faults.push({ place, message: 'field not declared in schema' });
  }
}

function validateItems(list: ListType, items: readonly unknown[], above: Place, faults: Fault[]): void {
  const seen = new Set<string>();
  for (const [i, item] of items.entries()) {
    if (list.atomic) {
      validate(list.items, item, { above, text: () => `[${i}]` }, faults);
      continue;
    }
    let element: string;
    try {
      element = itemElement(list, item);
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      faults.push({ place: above, message: `element ${i}: ${error.message}` });
      return;
    }
    if (seen.has(element)) {
      faults.push({ place: above, message: `duplicate entries for key ${elementText(element)}` });
    }
    seen.add(element);
    validate(list.items, item, { above, text: () => elementText(element) }, faults);
  }
}
