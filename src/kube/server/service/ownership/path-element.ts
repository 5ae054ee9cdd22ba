/**
 * Path elements of FieldsV1 (structured-merge-diff `fieldpath`): one step from a value to a part of it, as text.
 * `f:name` a member, `k:{"name":"x"}` the list item with these key fields, `v:"x"` the item of a set, `i:0` an index.
 */
import { isMembers } from '../../../../api/structural-members.ts';

/** An element of a kind that this version of the format does not know: readers skip it. */
export class UnknownElement extends Error {}

/** The element of a list item with these key fields, by name in order. */
export function keyElement(fields: readonly (readonly [name: string, value: unknown])[]): string {
  const [first] = fields;
  // Most lists have one key.
  if (first && fields.length === 1) return `k:{${JSON.stringify(first[0])}:${JSON.stringify(first[1])}}`;
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `k:{${sorted.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}

/** The element of an item of a set. */
export function valueElement(value: unknown): string {
  return `v:${JSON.stringify(value)}`;
}

/** The one spelling of an element that a client wrote. Throws {@link UnknownElement}, and an Error for malformed text. */
export function canonicalElement(text: string): string {
  if (text.length < 2) throw new Error('key must be 2 characters long:');
  if (text[1] !== ':') throw new Error(`missing colon: ${text}`);
  const content = text.slice(2);
  switch (text[0]) {
    case 'f':
      return text;
    case 'v':
      return valueElement(JSON.parse(content));
    case 'k': {
      const fields: unknown = JSON.parse(content);
      if (!isMembers(fields)) throw new Error(`not an object: ${content}`);
      return keyElement(Object.entries(fields));
    }
    case 'i':
      if (!/^[+-]?\d{1,15}$/.test(content)) {
        throw new Error(`strconv.Atoi: parsing ${JSON.stringify(content)}: invalid syntax`);
      }
      return `i:${Number(content)}`;
    default:
      throw new UnknownElement('unknown path element type');
  }
}

/** How an element reads in messages: `.name`, `[name="x"]`, `[="x"]`, `[0]`. */
export function elementText(element: string): string {
  const content = element.slice(2);
  if (element.startsWith('f:')) return `.${content}`;
  if (element.startsWith('k:')) {
    const fields = Object.entries(JSON.parse(content) as Record<string, unknown>);
    return `[${fields.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
  }
  return element.startsWith('v:') ? `[=${content}]` : `[${content}]`;
}

const kinds = '.fkvi';

/** The order of elements in a set: the object itself, members, keyed items, values, indices; each by its content. */
export function compareElements(a: string, b: string): number {
  if (a === b) return 0;
  const kind = a.charCodeAt(0);
  if (kind !== b.charCodeAt(0)) return kinds.indexOf(a.charAt(0)) - kinds.indexOf(b.charAt(0));
  if (kind === 0x66) return a < b ? -1 : 1;
  const quick = kind === 0x6b ? compareTextKeys(a, b) : undefined;
  if (quick !== undefined) return quick;
  const [left, right]: unknown[] = [JSON.parse(a.slice(2)), JSON.parse(b.slice(2))];
  return isMembers(left) && isMembers(right) ? compareFields(left, right) : compareScalars(left, right);
}

/** The elements in canonical order. Members alone, or items of one list alone, are sorted as texts: there may be very many. */
export function sortElements(elements: readonly string[]): string[] {
  if (elements.every((element) => element.startsWith('f:') || element === '.')) return elements.toSorted();
  const [first = ''] = elements;
  const head = first.slice(0, first.indexOf('":"') + 3);
  const isText = (element: string): boolean =>
    head.startsWith('k:') && element.startsWith(head) && isOneText(element, head.length);
  if (!elements.every(isText)) return elements.toSorted(compareElements);
  return elements
    .map((element) => element.slice(head.length, -2))
    .sort()
    .map((text) => `${head}${text}"}`);
}

/** Most lists have one key, and that is text: those need no parsing. */
function compareTextKeys(a: string, b: string): number | undefined {
  const at = a.indexOf('":"') + 3;
  if (at < 3 || !b.startsWith(a.slice(0, at)) || !isOneText(a, at) || !isOneText(b, at)) return undefined;
  return a.slice(at, -2) < b.slice(at, -2) ? -1 : 1;
}

function isOneText(element: string, from: number): boolean {
  return element.indexOf('"', from) === element.length - 2 && !element.includes('\\');
}

function compareFields(a: Record<string, unknown>, b: Record<string, unknown>): number {
  const left = Object.entries(a);
  const right = Object.entries(b);
  for (const [i, [name, value]] of left.entries()) {
    const other = right[i];
    if (!other) return 1;
    if (name !== other[0]) return name < other[0] ? -1 : 1;
    const order = compareScalars(value, other[1]);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

const scalarKinds = ['number', 'string', 'boolean'];

function compareScalars(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return a === b ? 0 : a < b ? -1 : 1;
  return scalarKinds.indexOf(typeof a) - scalarKinds.indexOf(typeof b) || Number(a) - Number(b);
}
