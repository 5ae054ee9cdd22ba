/** What expressions become: closures with a type and a largest cost, and the scope in which they are made. */
import { CelEvaluationError } from './errors.ts';
import { compileError, type Expression } from './expression.ts';
import { BudgetError, type Budget } from './functions/signature.ts';
import { largestSize, type CelType } from './types.ts';
import { typeName, UInt, type MapKey } from './values.ts';

/** The variables of a running expression, by their slots. */
export interface Frame {
  readonly slots: unknown[];
  readonly budget: Budget;
}

/** A checked piece of an expression. `cost` is the largest that running it may take. */
export interface Code {
  readonly type: CelType;
  readonly cost: number;
  run(frame: Frame): unknown;
}

/** A declared variable. */
export interface Variable {
  readonly type: CelType;
  readonly slot: number;
}

/** Reads a variable. */
export function variableCode({ type, slot }: Variable): Code {
  return {
    type,
    cost: 1,
    run: ({ slots, budget }) => {
      budget.charge(1);
      return slots[slot];
    },
  };
}

export type Compiler = (node: Expression, scope: Scope) => Code;

/** What a part of an expression is compiled in. */
export class Scope {
  readonly text: string;
  /** Literals of lists and maps may be of mixed types here. */
  readonly allowsMixed: boolean;
  readonly #variables: ReadonlyMap<string, Variable>;
  /** Slots in use, counted over the whole program. */
  readonly #slots: { count: number };
  readonly #compiler: Compiler;

  constructor(
    text: string,
    variables: ReadonlyMap<string, Variable>,
    slots: { count: number },
    compiler: Compiler,
    allowsMixed = false,
  ) {
    this.text = text;
    this.allowsMixed = allowsMixed;
    this.#variables = variables;
    this.#slots = slots;
    this.#compiler = compiler;
  }

  /** A part of the expression, with what this scope declares. */
  compile(node: Expression): Code {
    return this.#compiler(node, this);
  }

  find(name: string): Variable | undefined {
    return this.#variables.get(name);
  }

  /** The scope with one more variable, in a slot of its own. */
  with(name: string, type: CelType): { readonly scope: Scope; readonly slot: number } {
    const slot = this.#slots.count++;
    const variables = new Map(this.#variables).set(name, { type, slot });
    const scope = new Scope(this.text, variables, this.#slots, this.#compiler, this.allowsMixed);
    return { scope, slot };
  }

  /** For arguments that are shown, whatever they are. */
  mixed(): Scope {
    return new Scope(this.text, this.#variables, this.#slots, this.#compiler, true);
  }

  fail(node: Expression, message: string): never {
    throw compileError(this.text, node.at, message);
  }
}

/** The largest size of a value of the type. */
export function largestOf(type: CelType): number {
  switch (type.kind) {
    case 'string':
    case 'bytes':
    case 'list':
    case 'map':
      return type.max ?? largestSize;
    case 'dyn':
      return largestSize;
    default:
      return 1;
  }
}

export function asKey(value: unknown): MapKey {
  if (
    typeof value === 'string' ||
    typeof value === 'bigint' ||
    typeof value === 'boolean' ||
    value instanceof UInt
  ) {
    return value;
  }
  throw new CelEvaluationError(`unsupported key type: ${typeName(value)}`);
}

/** Failures of an expression may be overruled; the end of its budget may not, nor may mistakes of this program. */
export function absorbable(error: unknown): CelEvaluationError {
  if (!(error instanceof CelEvaluationError) || error instanceof BudgetError) throw error;
  return error;
}

/** A node of one kind. */
export type NodeOf<O extends Expression['op']> = Extract<Expression, { op: O }>;
