/** How functions of CEL are declared. */
import { CelEvaluationError } from '../errors.ts';
import type { CelType } from '../types.ts';
import { CelMap, UInt } from '../values.ts';

/** Units that one run of a rule may spend; as kube-apiserver. */
export const ruleBudget = 1_000_000;

/** What an evaluation may still spend. */
export class Budget {
  #left: number;

  constructor(units: number) {
    this.#left = units;
  }

  get left(): number {
    return this.#left;
  }

  /** Throws {@link CelEvaluationError} when nothing is left: the evaluation ends. */
  readonly charge = (units: number): void => {
    this.#left -= units;
    if (this.#left < 0) throw new BudgetError('operation cancelled: actual cost limit exceeded');
  };
}

/** Unlike other failures this one is never absorbed by `||`. */
export class BudgetError extends CelEvaluationError {}

export interface Overload {
  /** Operators are called as in cel-go: `_+_`, `@in`. Methods have their receiver as the first parameter. */
  readonly name: string;
  readonly method: boolean;
  readonly parameters: readonly CelType[];
  readonly result: CelType;
  run(args: readonly unknown[], budget: Budget): unknown;
  /** Units beyond the one of the call, from the sizes of the arguments: real ones, or the largest possible. */
  readonly cost?: (sizes: readonly number[]) => number;
  /** The largest size of the result, likewise. */
  readonly size?: (sizes: readonly number[]) => number;
}

type Extra = Pick<Overload, 'cost' | 'size'>;
/** Typed by each function as its parameters are. */
type Run = (args: never, budget: Budget) => unknown;

/** Arguments arrive as the parameters say: the compiler, or the dispatch at run time, sees to it. */
export function fn(
  name: string,
  parameters: readonly CelType[],
  result: CelType,
  run: Run,
  extra: Extra = {},
): Overload {
  return { name, method: false, parameters, result, run, ...extra };
}

export function method(
  name: string,
  parameters: readonly CelType[],
  result: CelType,
  run: Run,
  extra: Extra = {},
): Overload {
  return { ...fn(name, parameters, result, run, extra), method: true };
}

/** The price of walking a text of so many characters. */
export const traversal = 0.1;

/** The size that costs depend on: characters, elements, entries. */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  return value instanceof CelMap ? value.size : 1;
}

export function fail(message: string): never {
  throw new CelEvaluationError(message);
}

const minInt = -(2n ** 63n);
const maxInt = 2n ** 63n - 1n;

/** A 64-bit integer; fails past its bounds. */
export function checked(value: bigint): bigint {
  return value >= minInt && value <= maxInt ? value : fail('integer overflow');
}

/** An int argument as an index: whole and safe. */
export function indexOf(value: bigint): number {
  return value > 9_007_199_254_740_991n || value < -9_007_199_254_740_991n
    ? fail(`index out of range: ${value}`)
    : Number(value);
}

export function isUInt(value: unknown): value is UInt {
  return value instanceof UInt;
}
