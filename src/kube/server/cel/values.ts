/**
 * Values of CEL at run time. int is bigint, double is number, uint a class of its own; strings, bools, null and bytes
 * (Uint8Array) are what JavaScript has. Lists are arrays, maps are {@link CelMap}, objects of a schema are {@link Struct}.
 */
import { deepEqual } from '../../../base/json.ts';
import { CelEvaluationError } from './errors.ts';
import { Duration, parseDuration, parseTimestamp, Timestamp } from './time.ts';
import type { CelType, ListIdentity } from './types.ts';

export class UInt {
  readonly value: bigint;
  constructor(value: bigint) {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn)
      throw new CelEvaluationError('unsigned integer overflow');
    this.value = value;
  }
}

export class Optional {
  readonly value: unknown;
  readonly hasValue: boolean;
  constructor(hasValue: boolean, value: unknown) {
    this.hasValue = hasValue;
    this.value = value;
  }
  static readonly none = new Optional(false, undefined);
  static of(value: unknown): Optional {
    return new Optional(true, value);
  }
}

export class TypeValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A value that only functions look into. `same` compares two of one name. */
export class Opaque {
  readonly name: string;
  readonly value: unknown;
  readonly same: (other: Opaque) => boolean;
  constructor(name: string, value: unknown, same: (other: Opaque) => boolean) {
    this.name = name;
    this.value = value;
    this.same = same;
  }
}

export type MapKey = string | bigint | boolean | UInt;

/** A map; keys of different types never collide, 1 and 1u are the same. */
export class CelMap {
  readonly #entries = new Map<string, { readonly key: MapKey; readonly value: unknown }>();

  get size(): number {
    return this.#entries.size;
  }

  set(key: MapKey, value: unknown): void {
    this.#entries.set(keyText(key), { key, value });
  }

  has(key: unknown): boolean {
    return isKey(key) && this.#entries.has(keyText(key));
  }

  get(key: unknown): unknown {
    return isKey(key) ? this.#entries.get(keyText(key))?.value : undefined;
  }

  keys(): MapKey[] {
    return [...this.#entries.values()].map(({ key }) => key);
  }

  entries(): { readonly key: MapKey; readonly value: unknown }[] {
    return [...this.#entries.values()];
  }
}

/** Whether a value may be a key. Doubles that are whole look up ints. */
function isKey(key: unknown): key is MapKey | number {
  if (typeof key === 'number') return Number.isInteger(key);
  return (
    typeof key === 'string' || typeof key === 'bigint' || typeof key === 'boolean' || key instanceof UInt
  );
}

function keyText(key: MapKey | number): string {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean') return `b${key}`;
  if (typeof key === 'number') return `i${BigInt(key)}`;
  return `i${key instanceof UInt ? key.value : key}`;
}

/** An object of a schema: its members are converted when they are looked at. */
export class Struct {
  readonly type: Extract<CelType, { kind: 'object' }>;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #data: Data;

  constructor(
    type: Extract<CelType, { kind: 'object' }>,
    raw: Readonly<Record<string, unknown>>,
    data: Data,
  ) {
    this.type = type;
    this.raw = raw;
    this.#data = data;
  }

  /** Undefined when the member is absent. `name` as an expression writes it. */
  get(name: string): unknown {
    const field = this.type.fields.get(name);
    if (field === undefined || !Object.hasOwn(this.raw, field.property)) return undefined;
    const value = this.raw[field.property];
    // A member that is null is as good as absent.
    return value === undefined || value === null ? undefined : this.#data.convert(value, field.type);
  }

  /** Members that are there, as expressions write them. */
  names(): string[] {
    return [...this.type.fields].flatMap(([name, { property, isAlias }]) =>
      isAlias || (this.raw[property] ?? null) === null || !Object.hasOwn(this.raw, property) ? [] : [name],
    );
  }

  /** Members that expressions cannot see. They make objects different all the same. */
  hidden(): [string, unknown][] {
    const seen = new Set([...this.type.fields.values()].map(({ property }) => property));
    return Object.entries(this.raw).filter(([key]) => !seen.has(key));
  }
}

const anything: CelType = { kind: 'dyn' };

/** How a list of a schema tells its elements apart; none for an atomic one. */
const identities = new WeakMap<readonly unknown[], ListIdentity>();

export function identityOf(list: readonly unknown[]): ListIdentity | undefined {
  return identities.get(list);
}

export function withIdentity<T extends readonly unknown[]>(list: T, identity: ListIdentity | undefined): T {
  if (identity) identities.set(list, identity);
  return list;
}

/** JSON as CEL sees it. Converted lists and maps are kept for as long as this lives: one evaluation. */
export class Data {
  readonly #converted = new WeakMap<object, unknown>();

  convert(raw: unknown, type: CelType): unknown {
    if (raw === null || raw === undefined) return null;
    switch (typeof raw) {
      case 'string':
        return textValue(raw, type);
      case 'boolean':
        return raw;
      case 'number':
        if (type.kind === 'double') return raw;
        return Number.isInteger(raw) ? BigInt(raw) : raw;
      case 'object':
        break;
      default:
        return null;
    }
    const known = this.#converted.get(raw);
    if (known !== undefined) return known;
    const value = this.#container(raw, type);
    this.#converted.set(raw, value);
    return value;
  }

  #container(raw: object, type: CelType): unknown {
    if (Array.isArray(raw)) {
      const element = type.kind === 'list' ? type.element : anything;
      const list = raw.map((item: unknown) => this.convert(item, element));
      return withIdentity(list, type.kind === 'list' ? type.identity : undefined);
    }
    if (type.kind === 'object') return new Struct(type, raw as Record<string, unknown>, this);
    const value = type.kind === 'map' ? type.value : anything;
    const map = new CelMap();
    for (const [key, member] of Object.entries(raw)) {
      if (member !== undefined) map.set(key, this.convert(member, value));
    }
    return map;
  }
}

function textValue(text: string, type: CelType): unknown {
  switch (type.kind) {
    case 'timestamp':
      return parseTimestamp(text) ?? text;
    case 'duration':
      return parseDuration(text) ?? text;
    case 'bytes':
      return Uint8Array.from(Buffer.from(text, 'base64'));
    default:
      return text;
  }
}

/** The name of a value's type, as `type()` gives it. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'double';
    case 'boolean':
      return 'bool';
    default:
  }
  if (value === null) return 'null_type';
  if (Array.isArray(value)) return 'list';
  if (value instanceof UInt) return 'uint';
  if (value instanceof CelMap) return 'map';
  if (value instanceof Struct) return value.type.name;
  if (value instanceof Timestamp) return 'google.protobuf.Timestamp';
  if (value instanceof Duration) return 'google.protobuf.Duration';
  if (value instanceof Optional) return 'optional_type';
  if (value instanceof TypeValue) return 'type';
  if (value instanceof Uint8Array) return 'bytes';
  return value instanceof Opaque ? value.name : 'dyn';
}

/** What the walk through two values costs, counted where it happens. */
export type Charge = (units: number) => void;

/** CEL's equality: numbers of all types by their value, lists of a set in any order. Never fails. */
export function equals(a: unknown, b: unknown, charge: Charge): boolean {
  if (a === b) return true;
  if (isNumber(a)) return isNumber(b) && compareNumbers(a, b) === 0;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && equalLists(a, b, charge);
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof Optional) {
    return b instanceof Optional && a.hasValue === b.hasValue && equals(a.value, b.value, charge);
  }
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof Opaque) return b instanceof Opaque && a.name === b.name && a.same(b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof CelMap) return b instanceof CelMap && equalMaps(a, b, charge);
  if (a instanceof Struct) return b instanceof Struct && equalStructs(a, b, charge);
  return false;
}

function equalLists(a: readonly unknown[], b: readonly unknown[], charge: Charge): boolean {
  if (a.length !== b.length) return false;
  charge(a.length);
  const identity = identityOf(a) ?? identityOf(b);
  if (!identity) return a.every((item, i) => equals(item, b[i], charge));
  return a.every((item) => {
    charge(b.length);
    return b.some((other) => equals(item, other, charge));
  });
}

function equalMaps(a: CelMap, b: CelMap, charge: Charge): boolean {
  if (a.size !== b.size) return false;
  charge(a.size);
  return a.entries().every(({ key, value }) => b.has(key) && equals(value, b.get(key), charge));
}

function equalStructs(a: Struct, b: Struct, charge: Charge): boolean {
  const names = new Set([...a.names(), ...b.names()]);
  charge(names.size);
  for (const name of names) {
    const left = a.get(name);
    const right = b.get(name);
    if (left === undefined || right === undefined || !equals(left, right, charge)) return false;
  }
  const [mine, theirs] = [a.hidden(), b.hidden()];
  if (mine.length === 0 && theirs.length === 0) return true;
  charge((JSON.stringify(mine).length + JSON.stringify(theirs).length) / 10);
  return deepEqual(Object.fromEntries(mine), Object.fromEntries(theirs));
}

export type Numeric = bigint | number | UInt;

export function isNumber(value: unknown): value is Numeric {
  return typeof value === 'bigint' || typeof value === 'number' || value instanceof UInt;
}

/** By value, across the numeric types; NaN is unlike everything. */
export function compareNumbers(a: Numeric, b: Numeric): number {
  const left = a instanceof UInt ? a.value : a;
  const right = b instanceof UInt ? b.value : b;
  if (left < right) return -1;
  if (left > right) return 1;
  // oxlint-disable-next-line eqeqeq -- bigint and number are the same number here
  return left == right ? 0 : Number.NaN;
}

/** Order of two values of one ordered type, or undefined where there is none. */
export function compare(a: unknown, b: unknown): number | undefined {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Timestamp && b instanceof Timestamp) return compareNumbers(a.nanos, b.nanos);
  if (a instanceof Duration && b instanceof Duration) return compareNumbers(a.nanos, b.nanos);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return undefined;
}

/** By code points, which is the order of UTF-8 bytes. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const surrogates = /[\ud800-\udfff]/;
  if (surrogates.test(a) || surrogates.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : 1;
}

/** The element at an index, the value of a key, or undefined. Fails on what cannot be indexed. */
export function indexedBy(value: unknown, key: unknown): unknown {
  if (Array.isArray(value)) {
    const at = key instanceof UInt ? Number(key.value) : typeof key === 'bigint' ? Number(key) : key;
    if (typeof at !== 'number' || !Number.isInteger(at)) {
      throw new CelEvaluationError(`unsupported index type '${typeName(key)}' in list`);
    }
    return at < 0 ? undefined : (value[at] as unknown);
  }
  if (value instanceof CelMap) return value.get(key);
  if (value instanceof Struct && typeof key === 'string') return value.get(key);
  throw new CelEvaluationError(`no such overload: ${typeName(value)} cannot be indexed`);
}
