/**
 * What one version of an object changed in another, as sets of fields (structured-merge-diff `typed.Compare`).
 * Identical subtrees are not looked into.
 */
import { deepEqual } from '../../../../base/json.ts';
import { isMembers } from '../../../../api/structural-members.ts';
import { emptySet, isEmptySet, member, type FieldSet, type MutableFieldSet } from './field-set.ts';
import type { FieldType, ListType, MapType } from './field-type.ts';
import { itemsByElement } from './list-items.ts';

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

type Part = keyof Comparison;

const self = '.';

/** A place in the comparison. Its trees come into being with the first field that is found below it. */
class Branch {
  readonly #parent: Branch | undefined;
  readonly #element: string;
  #added: MutableFieldSet | undefined;
  #modified: MutableFieldSet | undefined;
  #removed: MutableFieldSet | undefined;

  constructor(parent: Branch | undefined, element: string) {
    this.#parent = parent;
    this.#element = element;
  }

  at(part: Part): MutableFieldSet | undefined {
    return part === 'added' ? this.#added : part === 'removed' ? this.#removed : this.#modified;
  }

  #tree(part: Part): MutableFieldSet {
    const found = this.at(part);
    if (found) return found;
    const tree: MutableFieldSet = {};
    if (this.#parent) this.#parent.#adopt(part, this.#element, tree);
    if (part === 'added') this.#added = tree;
    else if (part === 'removed') this.#removed = tree;
    else this.#modified = tree;
    return tree;
  }

  /** Hangs the tree of an element in; the element may be in the set by itself already. */
  #adopt(part: Part, element: string, below: MutableFieldSet): void {
    const tree = this.#tree(part);
    if (tree[element]) below[self] = member;
    tree[element] = below;
  }

  /** Puts a field into the set. */
  put(part: Part, element: string): void {
    const tree = this.#tree(part);
    const below = tree[element];
    if (!below) tree[element] = member;
    else if (below !== member) Object.assign(below, { [self]: member });
  }
}

/** Members that a walk leaves out, at the place where it starts. */
export type Skip = (name: string) => boolean;

/** `before` and `after` may be undefined: absent. */
export function compare(type: FieldType, before: unknown, after: unknown): Comparison {
  const root = new Branch(undefined, '');
  visit(type, before, after, root, undefined, undefined);
  return resultOf(root);
}

/**
 * Compares whole objects, without what no manager ever owns: apiVersion, kind, and the identity and bookkeeping in
 * metadata. `skip` leaves out more members of the object.
 */
export function compareObjects(
  type: FieldType,
  before: Readonly<Record<string, unknown>> | undefined,
  after: Readonly<Record<string, unknown>>,
  skip: Skip,
): Comparison {
  const root = new Branch(undefined, '');
  const map = type.map;
  if (map) {
    const left = before ?? {};
    visitMembers(map, left, after, root, (name) => unowned.has(name) || skip(name));
    const metadata = map.fields.get('metadata');
    if (metadata?.type.map && !skip('metadata')) {
      const [old, now] = [left['metadata'], after['metadata']];
      const branch = new Branch(root, metadata.element);
      visitMembers(metadata.type.map, isMembers(old) ? old : {}, isMembers(now) ? now : {}, branch, (name) =>
        unownedMetadata.has(name),
      );
    }
  }
  return resultOf(root);
}

/** Metadata is looked into by itself. */
const unowned: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

const unownedMetadata: ReadonlySet<string> = new Set([
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'clusterName',
  'generation',
  'managedFields',
  'resourceVersion',
]);

/** What is taken out of every manager's set: the same, as a set. */
export const unownedFields: FieldSet = {
  'f:apiVersion': member,
  'f:kind': member,
  'f:metadata': {
    [self]: member,
    ...Object.fromEntries([...unownedMetadata].map((name) => [`f:${name}`, member])),
  },
};

function resultOf(root: Branch): Comparison {
  return {
    added: root.at('added') ?? emptySet,
    modified: root.at('modified') ?? emptySet,
    removed: root.at('removed') ?? emptySet,
  };
}

export function isSame({ added, modified, removed }: Comparison): boolean {
  return isEmptySet(added) && isEmptySet(modified) && isEmptySet(removed);
}

type Form = 'map' | 'list' | 'scalar';

/** The form that a value takes; for null the first that the type allows. */
function formOf(type: FieldType, value: unknown): Form {
  if (isMembers(value) && type.map) return 'map';
  if (Array.isArray(value) && type.list) return 'list';
  if (value !== null && value !== undefined && typeof value !== 'object' && type.scalar) return 'scalar';
  return type.map ? 'map' : type.scalar ? 'scalar' : 'list';
}

/** `branch` and `element` say where; the root of a walk has no element. */
function visit(
  type: FieldType,
  before: unknown,
  after: unknown,
  branch: Branch,
  element: string | undefined,
  form: Form | undefined,
): void {
  if (before === after) return;
  if (form === undefined) {
    const left = formOf(type, before);
    const right = formOf(type, after);
    if (after === undefined) return visit(type, before, after, branch, element, left);
    // A value that changed its form is gone as what it was, and there as what it is.
    if (before !== undefined && left !== right) visit(type, before, after, branch, element, left);
    return visit(type, before, after, branch, element, right);
  }
  const inner = (): Branch => (element === undefined ? branch : new Branch(branch, element));
  if (form === 'map' && type.map && !type.map.atomic) {
    const left = isMembers(before) && !isEmpty(before) ? before : undefined;
    const right = isMembers(after) && !isEmpty(after) ? after : undefined;
    if (left || right) {
      note(before, after, branch, element);
      return visitMembers(type.map, left ?? noMembers, right ?? noMembers, inner(), undefined);
    }
  } else if (form === 'list' && type.list && !type.list.atomic) {
    const left = Array.isArray(before) && before.length > 0 ? (before as unknown[]) : undefined;
    const right = Array.isArray(after) && after.length > 0 ? (after as unknown[]) : undefined;
    const leftItems = itemsByElement(type.list, left ?? noItems);
    const rightItems = itemsByElement(type.list, right ?? noItems);
    // Items that nothing tells apart are compared as a whole; the kind's own rules will have refused them.
    if ((left || right) && leftItems && rightItems) {
      note(before, after, branch, element);
      return visitItems(type.list, leftItems, rightItems, inner());
    }
  }
  if (before !== undefined && after !== undefined && element !== undefined) {
    if (!deepEqual(before, after)) branch.put('modified', element);
  } else note(before, after, branch, element);
}

/** A container, or a whole value, that came or went. */
function note(before: unknown, after: unknown, branch: Branch, element: string | undefined): void {
  if (element === undefined) return;
  if (before === undefined) branch.put('added', element);
  else if (after === undefined) branch.put('removed', element);
}

type Members = Readonly<Record<string, unknown>>;

const noMembers: Members = {};
const noItems: readonly unknown[] = [];

function isEmpty(members: Members): boolean {
  for (const key in members) if (members[key] !== undefined) return false;
  return true;
}

function visitMembers(
  map: MapType,
  before: Members,
  after: Members,
  branch: Branch,
  skip: Skip | undefined,
): void {
  for (const key in before) {
    const value = before[key];
    if (value === undefined || skip?.(key)) continue;
    visitMember(map, key, value, own(after, key), branch);
  }
  for (const key in after) {
    const value = after[key];
    if (value === undefined || own(before, key) !== undefined || skip?.(key)) continue;
    visitMember(map, key, undefined, value, branch);
  }
}

/** Keys come from outside: `constructor` must not find what every object inherits. */
function own(members: Members, key: string): unknown {
  return Object.hasOwn(members, key) ? members[key] : undefined;
}

function visitMember(map: MapType, key: string, before: unknown, after: unknown, branch: Branch): void {
  if (before === after) return;
  const field = map.fields.get(key);
  const type = field?.type ?? map.others;
  if (type) visit(type, before, after, branch, field?.element ?? `f:${key}`, undefined);
}

function visitItems(
  list: ListType,
  before: ReadonlyMap<string, readonly unknown[]>,
  after: ReadonlyMap<string, readonly unknown[]>,
  branch: Branch,
): void {
  for (const element of new Set([...before.keys(), ...after.keys()])) {
    const left = before.get(element) ?? noItems;
    const right = after.get(element) ?? noItems;
    if (left.length <= 1 && right.length <= 1) {
      visit(list.items, left[0], right[0], branch, element, undefined);
    } else if (left.length > 1 && right.length > 1) {
      // Items that repeat are one field.
      if (!deepEqual(left, right)) branch.put('modified', element);
    } else if (left.length > 1) {
      if (right.length > 0) visit(list.items, undefined, right[0], branch, element, undefined);
      branch.put('removed', element);
    } else {
      if (left.length > 0) visit(list.items, left[0], undefined, branch, element, undefined);
      branch.put('added', element);
    }
  }
}
