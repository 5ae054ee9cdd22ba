/** JSON as text: what `JSON.parse` does not tell. Members that repeat, integers that lose digits, and depth. */
import { isMembers } from '../../api/structural-members.ts';

/** Deeper than any object that the API takes; a parser of another library may do with less stack than ours. */
const maxDepth = 1000;

/** Faults named in one body, and about how many characters their paths may have: the rest is alike. */
const maxFaults = 100;
const maxPaths = 100_000;

const quote = 0x22;
const backslash = 0x5c;

/**
 * One pass over valid JSON: counts members, and throws an Error for nesting deeper than a thousand levels and for integers
 * that a double cannot hold exactly.
 */
export function inspectJson(bytes: Buffer): { readonly members: number } {
  let members = 0;
  let depth = 0;
  let digits = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte >= 0x30 && byte <= 0x39) {
      digits++;
      continue;
    }
    if (digits > 15) checkInteger(bytes, at - digits, at);
    digits = 0;
    if (byte === quote) {
      for (at++; at < bytes.length && bytes[at] !== quote; at++) if (bytes[at] === backslash) at++;
    } else if (byte === 0x3a) members++;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxDepth) throw new Error('exceeded max depth');
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return { members };
}

/** Digits from `start` to `end`, of which there are many: part of a float they may be rounded, an integer may not. */
function checkInteger(bytes: Buffer, start: number, end: number): void {
  const before = bytes[start - 1];
  const after = bytes[end];
  const isPart = (byte: number | undefined): boolean =>
    byte === 0x2e || byte === 0x65 || byte === 0x45 || byte === 0x2b;
  if (isPart(before) || isPart(after)) return;
  // The exponent of a float, with its sign.
  if (before === 0x2d && (bytes[start - 2] === 0x65 || bytes[start - 2] === 0x45)) return;
  checkExact(bytes.toString('latin1', start, end));
}

/** Throws an Error for an integer that would come back with other digits. */
export function checkExact(digits: string): void {
  const value = Number(digits);
  // The first: what a double prints as, though it is not quite that, comes from a double and is that again.
  if (String(value) === digits || BigInt(digits) === BigInt(value)) return;
  throw new Error(
    `the integer ${digits.slice(0, 40)} cannot be kept exactly; integers beyond 2^53 belong in strings`,
  );
}

/** How many members a parsed value has, at all levels: fewer than its text says when some repeat. */
export function countMembers(value: unknown): number {
  let count = 0;
  const add = (part: unknown): void => {
    if (typeof part === 'object' && part !== null) count += countMembers(part);
  };
  if (Array.isArray(value)) value.forEach(add);
  else if (isMembers(value)) {
    const keys = Object.keys(value);
    count += keys.length;
    for (const key of keys) add(value[key]);
  }
  return count;
}

interface Frame {
  readonly path: string;
  /** Names seen; absent in a list. */
  readonly seen: Set<string> | undefined;
  index: number;
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The members of valid JSON by their paths (`spec.containers[0].name`), in the order of the text. */
function* membersOf(text: string): Generator<{ readonly path: string; readonly isRepeated: boolean }> {
  const frames: Frame[] = [];
  let path = '';
  let last = '';
  for (const [part] of text.matchAll(token)) {
    const top = frames.at(-1);
    switch (part) {
      case '{':
      case '[':
        if (top && !top.seen) path = `${top.path}[${top.index}]`;
        frames.push({ path, seen: part === '{' ? new Set() : undefined, index: 0 });
        break;
      case '}':
      case ']':
        frames.pop();
        break;
      case ',':
        if (top) top.index++;
        break;
      case ':': {
        const name = JSON.parse(last) as string;
        path = top?.path ? `${top.path}.${name}` : name;
        yield { path, isRepeated: top?.seen?.has(name) === true };
        top?.seen?.add(name);
        break;
      }
      default:
        last = part;
    }
  }
}

/** Paths of members that repeat in valid JSON, as Kubernetes' strict decoder names them: `metadata.labels.a`. */
export function repeatedMembers(text: string): string[] {
  const found = new Set<string>();
  let length = 0;
  for (const { path, isRepeated } of membersOf(text)) {
    if (!isRepeated || found.has(path)) continue;
    found.add(path);
    length += path.length;
    if (found.size >= maxFaults || length > maxPaths) break;
  }
  return [...found];
}

/**
 * Where members come first in valid JSON, and where those that repeat do so first, by the paths of both: as numbers that
 * can be compared with each other.
 */
export function memberPositions(text: string): {
  readonly first: ReadonlyMap<string, number>;
  readonly repeated: ReadonlyMap<string, number>;
} {
  const first = new Map<string, number>();
  const repeated = new Map<string, number>();
  let position = 0;
  for (const { path, isRepeated } of membersOf(text)) {
    const positions = isRepeated ? repeated : first;
    if (!positions.has(path)) positions.set(path, position);
    position++;
  }
  return { first, repeated };
}
