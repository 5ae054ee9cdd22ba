/** Lists as Kubernetes extends them, sets, and optional values. */
import { Duration, Timestamp } from '../time.ts';
import {
  bool,
  double,
  duration,
  dyn,
  int,
  listOf,
  optionalOf,
  parameter,
  string,
  timestamp,
  uint,
  type CelType,
} from '../types.ts';
import { CelMap, compare, equals, isNumber, Optional, Struct, UInt } from '../values.ts';
import { type Budget, checked, fail, fn, indexOf, method, type Overload } from './signature.ts';

type List = readonly unknown[];

const a = parameter('A');
const anyList = listOf(a);
const perElement = { cost: (sizes: readonly number[]) => sizes[0] ?? 1 };
const perElementKeeping = { ...perElement, size: (sizes: readonly number[]) => sizes[0] ?? 1 };
const perPair = { cost: (sizes: readonly number[]) => (sizes[0] ?? 1) * (sizes[1] ?? 1) };

const orderedTypes: readonly CelType[] = [int, uint, double, bool, duration, timestamp, string];
const summedTypes: readonly CelType[] = [int, uint, double, duration];

function order(x: unknown, y: unknown): number {
  return compare(x, y) ?? fail('no such overload: elements are not ordered');
}

function isSorted([list]: readonly [List]): boolean {
  return list.every((item, i) => i === 0 || order(list[i - 1], item) <= 0);
}

function extreme(sign: 1 | -1, name: string): (args: readonly [List]) => unknown {
  return ([list]) => {
    if (list.length === 0) return fail(`${name} called on empty list`);
    return list.reduce((best, item) => (order(item, best) * sign > 0 ? item : best));
  };
}

function sum(zero: unknown): (args: readonly [List]) => unknown {
  return ([list]) => list.reduce((total, item) => plus(total, item), zero);
}

function plus(x: unknown, y: unknown): unknown {
  if (typeof x === 'bigint' && typeof y === 'bigint') return checked(x + y);
  if (x instanceof UInt && y instanceof UInt) return new UInt(x.value + y.value);
  if (typeof x === 'number' && typeof y === 'number') return x + y;
  if (x instanceof Duration && y instanceof Duration) return new Duration(x.nanos + y.nanos);
  return fail('no such overload: elements cannot be added');
}

const zeros: Readonly<Record<string, unknown>> = {
  uint: new UInt(0n),
  double: 0,
  duration: new Duration(0n),
};

function distinct([list]: readonly [List], budget: Budget): unknown[] {
  const out: unknown[] = [];
  for (const item of list) {
    budget.charge(out.length);
    if (!out.some((other) => equals(item, other, budget.charge))) out.push(item);
  }
  return out;
}

function sort([list]: readonly [List], budget: Budget): unknown[] {
  budget.charge(list.length * Math.log2(list.length + 1));
  return list.toSorted(order);
}

function flatten(list: List, depth: number, budget: Budget): unknown[] {
  return list.flatMap((item) => {
    budget.charge(1);
    return Array.isArray(item) && depth > 0 ? flatten(item, depth - 1, budget) : [item];
  });
}

function slice([list, from, to]: readonly [List, bigint, bigint]): List {
  const start = indexOf(from);
  const end = indexOf(to);
  const bad = (why: string): never => fail(`cannot slice(${from}, ${to}), ${why}`);
  if (start < 0 || end < 0) return bad('negative indexes not supported');
  if (start > end) return bad('start index must be less than or equal to end index');
  return end > list.length ? bad(`list is length ${list.length}`) : list.slice(start, end);
}

const lists: readonly Overload[] = [
  ...orderedTypes.map((type) => method('isSorted', [listOf(type)], bool, isSorted, perElement)),
  ...summedTypes.map((type) => method('sum', [listOf(type)], type, sum(zeros[type.kind] ?? 0n), perElement)),
  ...orderedTypes.flatMap((type) => [
    method('min', [listOf(type)], type, extreme(-1, 'min'), perElement),
    method('max', [listOf(type)], type, extreme(1, 'max'), perElement),
  ]),
  method(
    'indexOf',
    [anyList, a],
    int,
    ([list, item]: readonly [List, unknown], budget) =>
      BigInt(list.findIndex((other) => equals(other, item, budget.charge))),
    perElement,
  ),
  method(
    'lastIndexOf',
    [anyList, a],
    int,
    ([list, item]: readonly [List, unknown], budget) =>
      BigInt(list.findLastIndex((other) => equals(other, item, budget.charge))),
    perElement,
  ),
  method('slice', [anyList, int, int], anyList, slice, perElementKeeping),
  method('reverse', [anyList], anyList, ([list]: readonly [List]) => list.toReversed(), perElementKeeping),
  method('distinct', [anyList], anyList, distinct, perElementKeeping),
  method('sort', [anyList], anyList, sort, perElementKeeping),
  method(
    'flatten',
    [listOf(dyn)],
    listOf(dyn),
    ([list]: readonly [List], budget) => flatten(list, 1, budget),
    perElement,
  ),
  method(
    'flatten',
    [listOf(dyn), int],
    listOf(dyn),
    ([list, depth]: readonly [List, bigint], budget) =>
      depth < 0n ? fail('level must be non-negative') : flatten(list, Math.min(100, Number(depth)), budget),
    perElement,
  ),
];

function containsAll(list: List, wanted: List, budget: Budget): boolean {
  return wanted.every((item) => {
    budget.charge(list.length);
    return list.some((other) => equals(item, other, budget.charge));
  });
}

function range([count]: readonly [bigint], budget: Budget): bigint[] {
  budget.charge(Math.max(0, Number(count)));
  return Array.from({ length: Math.max(0, Number(count)) }, (_, i) => BigInt(i));
}

const sets: readonly Overload[] = [
  fn('lists.range', [int], listOf(int), range),
  fn(
    'sets.contains',
    [anyList, anyList],
    bool,
    ([list, wanted]: readonly [List, List], budget) => containsAll(list, wanted, budget),
    perPair,
  ),
  fn(
    'sets.equivalent',
    [anyList, anyList],
    bool,
    ([x, y]: readonly [List, List], budget) => containsAll(x, y, budget) && containsAll(y, x, budget),
    perPair,
  ),
  fn(
    'sets.intersects',
    [anyList, anyList],
    bool,
    ([x, y]: readonly [List, List], budget) => x.some((item) => containsAll(y, [item], budget)),
    perPair,
  ),
];

/** Where Go's time begins: year 1. */
const firstMoment = -62_135_596_800_000_000_000n;

/** Whether a value is what its type starts with. */
function isZero(value: unknown): boolean {
  if (value === null || value === '' || value === false) return true;
  if (isNumber(value)) return value instanceof UInt ? value.value === 0n : Number(value) === 0;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof CelMap) return value.size === 0;
  if (value instanceof Struct) return value.names().length === 0;
  if (value instanceof Duration) return value.nanos === 0n;
  if (value instanceof Timestamp) return value.nanos === firstMoment;
  return value instanceof Uint8Array && value.length === 0;
}

const optionals: readonly Overload[] = [
  fn('optional.of', [a], optionalOf(a), ([value]: List) => Optional.of(value)),
  fn('optional.ofNonZeroValue', [a], optionalOf(a), ([value]: List) =>
    isZero(value) ? Optional.none : Optional.of(value),
  ),
  fn('optional.none', [], optionalOf(a), () => Optional.none),
  method('hasValue', [optionalOf(a)], bool, ([optional]: readonly [Optional]) => optional.hasValue),
  method('value', [optionalOf(a)], a, ([optional]: readonly [Optional]) =>
    optional.hasValue ? optional.value : fail('optional.none() dereference'),
  ),
  method('or', [optionalOf(a), optionalOf(a)], optionalOf(a), ([x, y]: readonly [Optional, Optional]) =>
    x.hasValue ? x : y,
  ),
  method('orValue', [optionalOf(a), a], a, ([x, y]: readonly [Optional, unknown]) =>
    x.hasValue ? x.value : y,
  ),
];

export const listFunctions: readonly Overload[] = [...lists, ...sets, ...optionals];
