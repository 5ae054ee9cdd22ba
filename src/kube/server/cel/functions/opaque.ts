/** What the types that Kubernetes adds have in common. */
import { bool, int, type CelType } from '../types.ts';
import { Opaque } from '../values.ts';
import { fail, method, traversal, type Overload } from './signature.ts';

export const walk = { cost: (sizes: readonly number[]) => (sizes[0] ?? 1) * traversal };
/** Nothing that is parsed here is longer. */
export const maxText = 4096;

export function parsed<T>(text: string, parse: (text: string) => T | undefined, what: string): T {
  const value = text.length <= maxText ? parse(text) : undefined;
  return value ?? fail(`${what}: ${JSON.stringify(text.slice(0, 128))}`);
}

export type Value<T> = Opaque & { readonly value: T };

/** A value of its own type. Its Opaque carries what `parse` gave. */
export function value<T>(name: string, content: T, same: (a: T, b: T) => boolean): Value<T> {
  return new Opaque(name, content, (other) => same(content, other.value as T)) as Value<T>;
}

export function sign(nano: bigint): bigint {
  return nano === 0n ? 0n : nano > 0n ? 1n : -1n;
}

/** isLessThan, isGreaterThan and compareTo of an ordered type. */
export function comparisons<T>(type: CelType, difference: (x: T, y: T) => bigint): Overload[] {
  return [
    method('isLessThan', [type, type], bool, ([x, y]: readonly [T, T]) => difference(x, y) < 0n),
    method('isGreaterThan', [type, type], bool, ([x, y]: readonly [T, T]) => difference(x, y) > 0n),
    method('compareTo', [type, type], int, ([x, y]: readonly [T, T]) => sign(difference(x, y))),
  ];
}
