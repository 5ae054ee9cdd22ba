/**
 * Sets of fields, and their algebra. A set is kept in the form of its wire format (meta/v1 FieldsV1): a tree of path
 * elements, where an empty tree is a field that belongs to the set, and `.` inside a tree says that the field above it
 * belongs, too. Nothing is changed in place; what an operation leaves alone is shared, so identity means equality.
 * Semantics: structured-merge-diff `fieldpath.Set`.
 */
import { isMembers } from '../../../../api/structural-members.ts';
import {
  canonicalElement,
  compareElements,
  elementText,
  sortElements,
  UnknownElement,
} from './path-element.ts';

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** A set while it is made. */
export interface MutableFieldSet {
  [element: string]: FieldSet;
}

/** What stands for a field that belongs to the set. */
export const member: FieldSet = Object.freeze({});

export const emptySet: FieldSet = member;

const self = '.';

/** Deeper than any object may be. */
const maxDepth = 250;

/** Whether there is nothing in a tree: as a whole set, that it is empty; under an element, that it is a member alone. */
export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

function isMember(node: FieldSet): boolean {
  return self in node || isEmptySet(node);
}

/** A node from its parts, or undefined when it would say nothing. */
function node(belongs: boolean, children: FieldSet): FieldSet | undefined {
  if (isEmptySet(children)) return belongs ? member : undefined;
  return belongs ? { [self]: member, ...children } : children;
}

function childrenOf(tree: FieldSet): FieldSet {
  if (!(self in tree)) return tree;
  const { [self]: _self, ...children } = tree;
  return children;
}

export function hasField(set: FieldSet, path: readonly string[]): boolean {
  let at: FieldSet | undefined = set;
  for (const element of path) {
    at = at[element];
    if (!at) return false;
  }
  return path.length > 0 && isMember(at);
}

/** A set of one field. */
export function fieldAt(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((inner, element) => ({ [element]: inner }), member);
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  return unionOfTrees(a, b);
}

function unionOfTrees(a: FieldSet, b: FieldSet): FieldSet {
  let result: MutableFieldSet | undefined;
  for (const element in b) {
    const added = b[element] ?? member;
    const before = a[element];
    const after = before ? unionOfNodes(before, added) : added;
    if (after === before) continue;
    result ??= { ...a };
    result[element] = after;
  }
  return result ?? a;
}

function unionOfNodes(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  if (isEmptySet(a)) return isEmptySet(b) || self in b ? (isEmptySet(b) ? a : b) : { [self]: member, ...b };
  if (isEmptySet(b)) return self in a ? a : { [self]: member, ...a };
  return unionOfTrees(a, b);
}

/** The fields of `a` that are not in `b`. A field that goes leaves the fields below it. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, false);
}

/** The fields of `a` that are neither in `b` nor below a field of `b`. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, true);
}

function subtract(a: FieldSet, b: FieldSet, recursive: boolean): FieldSet {
  if (!meets(a, b)) return a;
  const result: MutableFieldSet = {};
  let same = true;
  for (const element in a) {
    const before = a[element] ?? member;
    const taken = element === self ? undefined : b[element];
    const after = taken ? subtractFromNode(before, taken, recursive) : before;
    if (after !== before) same = false;
    if (after) result[element] = after;
  }
  return same ? a : result;
}

function meets(a: FieldSet, b: FieldSet): boolean {
  for (const element in b) if (element !== self && element in a) return true;
  return false;
}

function subtractFromNode(before: FieldSet, taken: FieldSet, recursive: boolean): FieldSet | undefined {
  const gone = isMember(taken);
  if (gone && recursive) return undefined;
  if (isEmptySet(before)) return gone ? undefined : before;
  const rest = subtract(before, taken, recursive);
  if (gone && self in rest) return node(false, childrenOf(rest));
  if (rest === before) return before;
  return node(self in rest, childrenOf(rest));
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  const result: MutableFieldSet = {};
  for (const element in a) {
    const [left, right] = [a[element], b[element]];
    if (!left || !right || element === self) continue;
    const common = node(isMember(left) && isMember(right), intersection(childrenOf(left), childrenOf(right)));
    if (common) result[element] = common;
  }
  return result;
}

/** Every field of a set: the members of a tree first, then what lies below, as Kubernetes lists conflicts. */
export function pathsOf(set: FieldSet): string[][] {
  const elements = Object.keys(set).filter((element) => element !== self);
  const own = elements.filter((element) => isMember(set[element] ?? member)).map((element) => [element]);
  const below = elements.flatMap((element) =>
    pathsOf(set[element] ?? member).map((path) => [element, ...path]),
  );
  return [...own, ...below];
}

/** `.spec.containers[name="x"].image` */
export function pathText(path: readonly string[]): string {
  return path.map(elementText).join('');
}

/** The same set with its elements in canonical order. Frozen trees are in order: the store froze them so. */
export function inOrder(set: FieldSet): FieldSet {
  if (Object.isFrozen(set)) return set;
  const elements: string[] = [];
  const found: FieldSet[] = [];
  let same = true;
  let sorted = true;
  for (const element in set) {
    const before = set[element] ?? member;
    const below = before === member ? before : inOrder(before);
    if (below !== before) same = false;
    const last = elements.at(-1);
    if (last !== undefined && sorted && compareElements(last, element) > 0) sorted = false;
    elements.push(element);
    found.push(below);
  }
  if (sorted && same) return set;
  let result: FieldSet = set;
  if (!same) result = Object.fromEntries(elements.map((element, i) => [element, found[i] ?? member]));
  return sorted ? result : reordered(result, sortElements(elements));
}

function reordered(set: FieldSet, elements: readonly string[]): FieldSet {
  const result: MutableFieldSet = {};
  for (const element of elements) result[element] = set[element] ?? member;
  return result;
}

/** A set from what a client wrote. Unknown kinds of elements are left out. Throws an Error for malformed input. */
export function parseFieldSet(value: unknown, depth = 0): FieldSet {
  if (value === null || value === undefined) return emptySet;
  if (!isMembers(value)) throw new Error('parsing fields: expected an object');
  if (depth > maxDepth) throw new Error('parsing fields: nested too deeply');
  const children: MutableFieldSet = {};
  let belongs = false;
  for (const [key, content] of Object.entries(value)) {
    if (key === self) {
      belongs = true;
      continue;
    }
    let element: string;
    try {
      element = canonicalElement(key);
    } catch (error) {
      if (error instanceof UnknownElement) continue;
      throw error;
    }
    const below = parseFieldSet(content, depth + 1);
    const before = children[element];
    children[element] = before ? unionOfNodes(before, below) : below;
  }
  if (depth === 0) return isEmptySet(children) ? emptySet : inOrder(children);
  return node(belongs, children) ?? member;
}
