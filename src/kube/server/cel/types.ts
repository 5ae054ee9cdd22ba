/** The types of CEL, with the largest size that a value may have where a schema bounds it. */

export interface FieldType {
  /** The member's own name; the key of the map is how an expression writes it. */
  readonly property: string;
  readonly type: CelType;
  /** Another way to write a member that has one already. */
  readonly isAlias?: true;
}

export type CelType =
  | {
      readonly kind: 'dyn' | 'bool' | 'int' | 'uint' | 'double' | 'null' | 'timestamp' | 'duration' | 'type';
    }
  /** `max`: code points, or bytes. */
  | { readonly kind: 'string' | 'bytes'; readonly max?: number }
  | {
      readonly kind: 'list';
      readonly element: CelType;
      readonly max?: number;
      /** How the elements are told apart, in a list of a schema. */
      readonly identity?: ListIdentity;
    }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType; readonly max?: number }
  | { readonly kind: 'optional'; readonly of: CelType }
  /** An object with known members. */
  | {
      readonly kind: 'object';
      readonly name: string;
      readonly fields: ReadonlyMap<string, FieldType>;
    }
  /** A type that only functions know: `Quantity`, `URL`. */
  | { readonly kind: 'opaque'; readonly name: string }
  /** Stands for any type in the signature of a function; the same one each time it occurs. */
  | { readonly kind: 'parameter'; readonly name: string };

/** `x-kubernetes-list-type` of a set or a map. */
export type ListIdentity = { readonly keys: readonly string[] | undefined };

export const dyn: CelType = { kind: 'dyn' };
export const bool: CelType = { kind: 'bool' };
export const int: CelType = { kind: 'int' };
export const uint: CelType = { kind: 'uint' };
export const double: CelType = { kind: 'double' };
export const nullType: CelType = { kind: 'null' };
export const timestamp: CelType = { kind: 'timestamp' };
export const duration: CelType = { kind: 'duration' };
export const typeType: CelType = { kind: 'type' };
export const string: CelType = { kind: 'string' };
export const bytes: CelType = { kind: 'bytes' };

export const listOf = (element: CelType, max?: number): CelType => ({
  kind: 'list',
  element,
  ...(max === undefined ? {} : { max }),
});
export const mapOf = (key: CelType, value: CelType, max?: number): CelType => ({
  kind: 'map',
  key,
  value,
  ...(max === undefined ? {} : { max }),
});
export const optionalOf = (of: CelType): CelType => ({ kind: 'optional', of });
export const opaque = (name: string): CelType => ({ kind: 'opaque', name });
export const parameter = (name: string): CelType => ({ kind: 'parameter', name });

/** As cel-go shows types in messages: `list(string)`. */
export function formatType(type: CelType): string {
  switch (type.kind) {
    case 'list':
      return `list(${formatType(type.element)})`;
    case 'map':
      return `map(${formatType(type.key)}, ${formatType(type.value)})`;
    case 'optional':
      return `optional_type(${formatType(type.of)})`;
    case 'timestamp':
      return 'google.protobuf.Timestamp';
    case 'duration':
      return 'google.protobuf.Duration';
    case 'object':
    case 'opaque':
    case 'parameter':
      return type.name;
    default:
      return type.kind;
  }
}

/** What type parameters stand for so far. */
export type Bindings = Map<string, CelType>;

/** Whether a value of type `actual` may be given where `wanted` is. Binds parameters of `wanted`. */
export function isAssignable(wanted: CelType, actual: CelType, bindings: Bindings): boolean {
  if (wanted.kind === 'parameter') {
    const bound = bindings.get(wanted.name);
    if (!bound) {
      bindings.set(wanted.name, actual);
      return true;
    }
    if (isAssignable(bound, actual, bindings)) return true;
    // A parameter that was bound to something vaguer gives way.
    if (!isAssignable(actual, bound, bindings)) return false;
    bindings.set(wanted.name, actual);
    return true;
  }
  if (wanted.kind === 'dyn' || actual.kind === 'dyn') return true;
  if (actual.kind === 'null') return isNullable(wanted);
  switch (wanted.kind) {
    case 'list':
      return actual.kind === 'list' && isAssignable(wanted.element, actual.element, bindings);
    case 'map':
      if (actual.kind !== 'map') return false;
      return (
        isAssignable(wanted.key, actual.key, bindings) && isAssignable(wanted.value, actual.value, bindings)
      );
    case 'optional':
      return actual.kind === 'optional' && isAssignable(wanted.of, actual.of, bindings);
    case 'object':
      return actual.kind === 'object' && (wanted === actual || wanted.name === actual.name);
    case 'opaque':
      return actual.kind === 'opaque' && wanted.name === actual.name;
    default:
      return wanted.kind === actual.kind;
  }
}

function isNullable(type: CelType): boolean {
  return ['null', 'timestamp', 'duration', 'optional', 'object', 'opaque'].includes(type.kind);
}

/** The type with its parameters replaced; a parameter that nothing is known of is dyn. */
export function substitute(type: CelType, bindings: Bindings): CelType {
  switch (type.kind) {
    case 'parameter':
      return bindings.get(type.name) ?? dyn;
    case 'list':
      return { ...type, element: substitute(type.element, bindings) };
    case 'map':
      return { ...type, key: substitute(type.key, bindings), value: substitute(type.value, bindings) };
    case 'optional':
      return optionalOf(substitute(type.of, bindings));
    default:
      return type;
  }
}

/** The type of either of two values: one of both when they agree, dyn otherwise. */
export function join(a: CelType, b: CelType): CelType {
  if (isAssignable(a, b, new Map())) return a.kind === 'null' ? b : widen(a, b);
  return isAssignable(b, a, new Map()) ? widen(b, a) : dyn;
}

function widen(a: CelType, b: CelType): CelType {
  if (!('max' in a) || !('max' in b)) {
    if ('max' in a) {
      const { max: _, ...unbounded } = a;
      return unbounded;
    }
    return a;
  }
  return { ...a, max: Math.max(a.max ?? Infinity, b.max ?? Infinity) };
}

/** As large as a request may be: what is not bounded by its schema is bounded by this. */
export const largestSize = 3 * 1024 * 1024;
