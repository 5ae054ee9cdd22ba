/** JSON patch (RFC 6902) with the failures of Go's implementation (evanphx/json-patch), which Kubernetes uses. */
import { cloneJson } from '../../../../base/json.ts';
import { isMembers } from '../../../../api/structural-members.ts';
import { ApiError } from '../../../api-error.ts';
import { badRequest } from '../errors.ts';
import { isUnsafeKey } from './merge.ts';

/** As in Kubernetes: more would let one request hold the server for long. */
const maxOperations = 10_000;
/** Copies may double a document each time: their sum is bounded like a request body. */
const maxCopied = 3 * 1024 * 1024;
/**
 * Members and items that all operations together may compare, and, a block of {@link movedAtOnce} as one, items that they
 * may shift. Each operation is small, but what it meets may be large: this many take some tenths of a second.
 */
const maxWork = 4_000_000;
const movedAtOnce = 64;

const kinds = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const;
type Kind = (typeof kinds)[number];

interface Operation {
  readonly op: Kind;
  readonly path: string;
  /** Of `move` and `copy`. */
  readonly from: string;
  /** Absent means null, as in Go's implementation. */
  readonly value: unknown;
}

/** Applies all operations or none; neither the target nor the patch is changed. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  }
  if (patch.length > maxOperations) {
    throw tooLarge(`The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`);
  }
  const patched = new PatchedDocument(cloneJson(target));
  for (const operation of patch as unknown[]) patched.apply(readOperation(operation));
  return patched.root;
}

function readOperation(operation: unknown): Operation {
  if (!isMembers(operation))
    throw badRequest('json: cannot unmarshal patch operation into Go value of type jsonpatch.Operation');
  const { op, path, from, value } = operation;
  const kind = kinds.find((known) => known === op);
  if (!kind) throw refused(`Unexpected kind: ${String(op)}`);
  if (typeof path !== 'string') throw refused(`${kind} operation does not apply: doc is missing path`);
  const moves = kind === 'move' || kind === 'copy';
  if (moves && typeof from !== 'string') {
    throw refused(`${kind} operation does not apply: doc is missing from path: missing value`);
  }
  for (const pointer of [path, from]) {
    if (typeof pointer === 'string' && pointer.split('/').some(isUnsafeKey)) {
      throw refused(`${kind} operation does not apply: path ${pointer} is not allowed`);
    }
  }
  return { op: kind, path, from: typeof from === 'string' ? from : '', value: value ?? null };
}

/** Where a pointer leads: the map or list that has, or could have, what it names; undefined for the whole document. */
type Place =
  | undefined
  | { readonly map: Record<string, unknown>; readonly name: string }
  /** `index` may be the length of the list, where something can be added. */
  | { readonly list: unknown[]; readonly index: number };

/** Nothing is at a place, or the place itself cannot be. */
class Missing extends Error {
  readonly why: 'missing value' | 'invalid index referenced';

  constructor(why: Missing['why'] = 'missing value') {
    super(why);
    this.why = why;
  }
}

/** A document while operations change it, in place. */
class PatchedDocument {
  root: unknown;
  #copied = 0;
  #work = 0;

  constructor(root: unknown) {
    this.root = root;
  }

  /** Throws an ApiError when the operation does not apply. */
  apply(operation: Operation): void {
    try {
      this.#apply(operation);
    } catch (error) {
      throw error instanceof Missing ? refused(goWords(operation, error.why)) : error;
    }
  }

  #apply({ op, path, from, value }: Operation): void {
    switch (op) {
      case 'add':
        return this.#add(this.#place(path, true), cloneJson(value));
      case 'remove':
        return void this.#remove(this.#place(path, false));
      case 'replace': {
        const place = this.#place(path, false);
        this.#get(place);
        return this.#set(place, cloneJson(value));
      }
      case 'move': {
        const moved = this.#remove(this.#place(from, false));
        return this.#add(this.#place(path, true), moved);
      }
      case 'copy':
        return this.#add(this.#place(path, true), this.#copy(this.#get(this.#place(from, false))));
      case 'test':
        if (!this.#equal(this.#tested(path, value), value)) throw new Missing();
    }
  }

  /** As in Go's implementation a member that is absent is as good as one that is null, to a test. */
  #tested(path: string, value: unknown): unknown {
    const place = this.#place(path, false);
    if (value === null && place && 'map' in place && !Object.hasOwn(place.map, place.name)) return null;
    return this.#get(place);
  }

  /** Throws {@link Missing} where nothing leads to the place. `inserts`: a list has one more, behind the last item. */
  #place(pointer: string, inserts: boolean): Place {
    if (pointer === '') return undefined;
    const [start, ...tokens] = pointer.split('/');
    const last = tokens.pop();
    if (start !== '' || last === undefined) throw new Missing();
    let at = this.root;
    for (const token of tokens) at = this.#get(placeIn(at, token, false));
    return placeIn(at, last, inserts);
  }

  #get(place: Place): unknown {
    if (!place) return this.root;
    const value = 'map' in place ? ownMember(place.map, place.name) : place.list[place.index];
    if (value === undefined) throw new Missing();
    return value;
  }

  #set(place: Place, value: unknown): void {
    if (!place) this.root = value;
    else if ('map' in place) place.map[place.name] = value;
    else place.list[place.index] = value;
  }

  #add(place: Place, value: unknown): void {
    if (!place || 'map' in place) return this.#set(place, value);
    const { list, index } = place;
    if (index > list.length) throw new Missing('invalid index referenced');
    this.#charge((list.length - index) / movedAtOnce);
    list.splice(index, 0, value);
  }

  #remove(place: Place): unknown {
    const value = this.#get(place);
    if (!place) this.root = null;
    else if ('map' in place) delete place.map[place.name];
    else {
      this.#charge((place.list.length - place.index) / movedAtOnce);
      place.list.splice(place.index, 1);
    }
    return value;
  }

  #copy(value: unknown): unknown {
    const text = JSON.stringify(value);
    this.#copied += text.length;
    if (this.#copied > maxCopied) {
      throw refused(
        `Unable to complete the copy, the accumulated size increase of copy is ${this.#copied}, exceeding the limit ${maxCopied}`,
      );
    }
    return JSON.parse(text) as unknown;
  }

  #equal(a: unknown, b: unknown): boolean {
    if (a === b) return true;
    if (Array.isArray(a)) {
      if (!Array.isArray(b) || a.length !== b.length) return false;
      this.#charge(a.length);
      return a.every((item, i) => this.#equal(item, b[i]));
    }
    if (!isMembers(a) || !isMembers(b)) return false;
    const names = Object.keys(a);
    const others = Object.keys(b);
    this.#charge(names.length + others.length);
    return (
      names.every((name) => this.#equal(a[name], ownMember(b, name))) &&
      others.every((name) => ownMember(a, name) !== undefined)
    );
  }

  #charge(work: number): void {
    this.#work += work;
    if (this.#work > maxWork) {
      throw tooLarge('The operations of the JSON patch take too long on an object of this size');
    }
  }
}

/** What a token of a pointer means in a value. */
function placeIn(value: unknown, token: string, inserts: boolean): NonNullable<Place> {
  if (Array.isArray(value)) return { list: value, index: indexOf(value, token, inserts) };
  if (!isMembers(value)) throw new Missing();
  return { map: value, name: token.replaceAll('~1', '/').replaceAll('~0', '~') };
}

/** As in Go's implementation a negative index counts from the end: `-1` is the last item, or the place behind it for `add`. */
function indexOf(list: readonly unknown[], token: string, inserts: boolean): number {
  if (token === '-') return list.length;
  if (/^\d+$/.test(token)) return Number(token);
  const index = /^-\d{1,9}$/.test(token) ? list.length + (inserts ? 1 : 0) + Number(token) : -1;
  if (index < 0) throw new Missing('invalid index referenced');
  return index;
}

/** Names come from outside: `constructor` must not find what every object inherits. */
function ownMember(map: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

function goWords({ op, path }: Operation, why: Missing['why']): string {
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (op === 'test') return `testing value ${path} failed: test failed`;
  if (why !== 'missing value') {
    return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: ${why}`;
  }
  if (op === 'remove') {
    return `error in remove for path: '${path}': Unable to remove nonexistent key: ${last}: ${why}`;
  }
  if (op === 'replace') return `replace operation does not apply: doc is missing key: ${path}: ${why}`;
  return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: ${why}`;
}

function tooLarge(message: string): ApiError {
  return new ApiError('RequestEntityTooLarge', message);
}

/** Kubernetes answers 422 with a general text; the cause tells which operation it was. */
function refused(why: string): ApiError {
  return new ApiError('Invalid', 'the server rejected our request due to an error in our request', {
    causes: [{ reason: 'UnexpectedServerResponse', message: why }],
  });
}
