/** Operators, equality and order. */
import { Duration, Timestamp } from '../time.ts';
import {
  bool,
  bytes,
  double,
  duration,
  dyn,
  int,
  listOf,
  mapOf,
  parameter,
  string,
  timestamp,
  uint,
  type CelType,
} from '../types.ts';
import { CelMap, compare, equals, identityOf, UInt, withIdentity, type Charge } from '../values.ts';
import { checked, fail, fn, traversal, type Overload } from './signature.ts';

const a = parameter('A');
const b = parameter('B');
const listOfA = listOf(a);

const smaller = (sizes: readonly number[]): number => Math.min(sizes[0] ?? 1, sizes[1] ?? 1) * traversal;
const both = (sizes: readonly number[]): number => (sizes[0] ?? 0) + (sizes[1] ?? 0);

function unsigned(value: bigint): UInt {
  return value < 0n || value > 0xffff_ffff_ffff_ffffn ? fail('unsigned integer overflow') : new UInt(value);
}

const arithmetic: readonly Overload[] = [
  fn('_+_', [int, int], int, ([x, y]: readonly bigint[]) => checked((x ?? 0n) + (y ?? 0n))),
  fn('_-_', [int, int], int, ([x, y]: readonly bigint[]) => checked((x ?? 0n) - (y ?? 0n))),
  fn('_*_', [int, int], int, ([x, y]: readonly bigint[]) => checked((x ?? 0n) * (y ?? 0n))),
  fn('_/_', [int, int], int, ([x, y]: readonly bigint[]) =>
    y ? checked((x ?? 0n) / y) : fail('division by zero'),
  ),
  fn('_%_', [int, int], int, ([x, y]: readonly bigint[]) => (y ? (x ?? 0n) % y : fail('modulus by zero'))),
  fn('-_', [int], int, ([x]: readonly bigint[]) => checked(-(x ?? 0n))),
  fn('_+_', [uint, uint], uint, ([x, y]: readonly UInt[]) => unsigned((x?.value ?? 0n) + (y?.value ?? 0n))),
  fn('_-_', [uint, uint], uint, ([x, y]: readonly UInt[]) => unsigned((x?.value ?? 0n) - (y?.value ?? 0n))),
  fn('_*_', [uint, uint], uint, ([x, y]: readonly UInt[]) => unsigned((x?.value ?? 0n) * (y?.value ?? 0n))),
  fn('_/_', [uint, uint], uint, ([x, y]: readonly UInt[]) =>
    y?.value ? unsigned((x?.value ?? 0n) / y.value) : fail('division by zero'),
  ),
  fn('_%_', [uint, uint], uint, ([x, y]: readonly UInt[]) =>
    y?.value ? unsigned((x?.value ?? 0n) % y.value) : fail('modulus by zero'),
  ),
  fn('_+_', [double, double], double, ([x = 0, y = 0]: readonly number[]) => x + y),
  fn('_-_', [double, double], double, ([x = 0, y = 0]: readonly number[]) => x - y),
  fn('_*_', [double, double], double, ([x = 0, y = 0]: readonly number[]) => x * y),
  fn('_/_', [double, double], double, ([x = 0, y = 0]: readonly number[]) => x / y),
  fn('-_', [double], double, ([x = 0]: readonly number[]) => -x),
];

const concatenation: readonly Overload[] = [
  fn('_+_', [string, string], string, ([x = '', y = '']: readonly string[]) => x + y, {
    cost: (sizes) => both(sizes) * traversal,
    size: both,
  }),
  fn('_+_', [bytes, bytes], bytes, (args: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(args)), {
    cost: (sizes) => both(sizes) * traversal,
    size: both,
  }),
  fn(
    '_+_',
    [listOfA, listOfA],
    listOfA,
    (args: readonly (readonly unknown[])[], budget) => addLists(args, budget.charge),
    {
      cost: (sizes) => both(sizes) * traversal,
      size: both,
    },
  ),
];

/** Lists of a set unite; lists keyed by members merge, the right one's elements winning (Kubernetes). */
function addLists(
  [left = [], right = []]: readonly (readonly unknown[])[],
  charge: Charge,
): readonly unknown[] {
  const identity = identityOf(left) ?? identityOf(right);
  if (!identity) {
    charge((left.length + right.length) / 2);
    return [...left, ...right];
  }
  const { keys } = identity;
  const out = [...left];
  for (const item of right) {
    charge(out.length);
    const at = out.findIndex((other) =>
      keys ? sameKeys(keys, item, other, charge) : equals(item, other, charge),
    );
    if (at < 0) out.push(item);
    else if (keys) out[at] = item;
  }
  return withIdentity(out, identity);
}

function sameKeys(keys: readonly string[], x: unknown, y: unknown, charge: Charge): boolean {
  return keys.every((key) => equals(memberOf(x, key), memberOf(y, key), charge));
}

function memberOf(value: unknown, key: string): unknown {
  const raw = typeof value === 'object' && value !== null && 'raw' in value ? value.raw : undefined;
  if (typeof raw === 'object' && raw !== null) return (raw as Record<string, unknown>)[key];
  return value instanceof CelMap ? value.get(key) : undefined;
}

const time: readonly Overload[] = [
  fn(
    '_+_',
    [timestamp, duration],
    timestamp,
    ([x, y]: readonly [Timestamp, Duration]) => new Timestamp(x.nanos + y.nanos),
  ),
  fn(
    '_+_',
    [duration, timestamp],
    timestamp,
    ([x, y]: readonly [Duration, Timestamp]) => new Timestamp(x.nanos + y.nanos),
  ),
  fn(
    '_+_',
    [duration, duration],
    duration,
    ([x, y]: readonly [Duration, Duration]) => new Duration(x.nanos + y.nanos),
  ),
  fn(
    '_-_',
    [timestamp, timestamp],
    duration,
    ([x, y]: readonly [Timestamp, Timestamp]) => new Duration(x.nanos - y.nanos),
  ),
  fn(
    '_-_',
    [timestamp, duration],
    timestamp,
    ([x, y]: readonly [Timestamp, Duration]) => new Timestamp(x.nanos - y.nanos),
  ),
  fn(
    '_-_',
    [duration, duration],
    duration,
    ([x, y]: readonly [Duration, Duration]) => new Duration(x.nanos - y.nanos),
  ),
];

const numbers = [int, uint, double];
/** Numbers of all types are ordered among each other. */
const ordered: readonly (readonly [CelType, CelType])[] = [
  ...numbers.flatMap((x) => numbers.map((y) => [x, y] as const)),
  [string, string],
  [bytes, bytes],
  [bool, bool],
  [timestamp, timestamp],
  [duration, duration],
];

function comparison(name: string, holds: (order: number) => boolean): Overload[] {
  return ordered.map(([x, y]) =>
    fn(
      name,
      [x, y],
      bool,
      ([left, right]: readonly unknown[]) => {
        const order = compare(left, right);
        return order !== undefined && holds(order);
      },
      x.kind === 'string' || x.kind === 'bytes' ? { cost: smaller } : {},
    ),
  );
}

export const operators: readonly Overload[] = [
  ...arithmetic,
  ...concatenation,
  ...time,
  ...comparison('_<_', (order) => order < 0),
  ...comparison('_<=_', (order) => order <= 0),
  ...comparison('_>_', (order) => order > 0),
  ...comparison('_>=_', (order) => order >= 0),
  fn('_==_', [a, a], bool, ([x, y]: readonly unknown[], budget) => equals(x, y, budget.charge), {
    cost: smaller,
  }),
  fn('_!=_', [a, a], bool, ([x, y]: readonly unknown[], budget) => !equals(x, y, budget.charge), {
    cost: smaller,
  }),
  fn('!_', [bool], bool, ([x]: readonly boolean[]) => !x),
  fn(
    '@in',
    [a, listOfA],
    bool,
    ([x, list]: readonly [unknown, readonly unknown[]], budget) =>
      list.some((item) => equals(x, item, budget.charge)),
    { cost: (sizes) => sizes[1] ?? 1 },
  ),
  fn('@in', [a, mapOf(a, b)], bool, ([x, map]: readonly [unknown, CelMap]) => map.has(x)),
  fn('dyn', [a], dyn, ([x]: readonly unknown[]) => x),
];
