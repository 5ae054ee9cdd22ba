/** From text to a tree that the compiler walks. The grammar is read by cel-js; macros are recognised here. */
import { Environment, type ASTNode } from '@marcbachmann/cel-js';
import { messageOf } from '../../../base/errors.ts';
import { CelCompileError } from './errors.ts';
import { UInt } from './values.ts';

export type ComprehensionKind =
  | 'all'
  | 'exists'
  | 'exists_one'
  | 'filter'
  | 'map'
  | 'transformList'
  | 'transformMap';

/** `at` is the offset in the text, for messages. */
export type Expression = { readonly at: number } & (
  | { readonly op: 'literal'; readonly value: unknown }
  | { readonly op: 'name'; readonly name: string }
  | {
      readonly op: 'select';
      readonly target: Expression;
      readonly field: string;
      /** `a.?b` */
      readonly optional: boolean;
    }
  | { readonly op: 'has'; readonly target: Expression; readonly field: string }
  | {
      readonly op: 'index';
      readonly target: Expression;
      readonly index: Expression;
      readonly optional: boolean;
    }
  | {
      readonly op: 'call';
      readonly name: string;
      readonly target: Expression | undefined;
      readonly args: readonly Expression[];
    }
  | { readonly op: 'list'; readonly items: readonly Expression[] }
  | { readonly op: 'map'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly op: 'logic'; readonly and: boolean; readonly left: Expression; readonly right: Expression }
  | {
      readonly op: 'choice';
      readonly condition: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
  | {
      readonly op: 'comprehension';
      readonly kind: ComprehensionKind;
      readonly range: Expression;
      /** One name, or key and value. */
      readonly names: readonly string[];
      readonly predicate: Expression | undefined;
      readonly transform: Expression | undefined;
    }
  | { readonly op: 'bind'; readonly name: string; readonly value: Expression; readonly body: Expression }
  | {
      readonly op: 'optional-map';
      readonly flat: boolean;
      readonly target: Expression;
      readonly name: string;
      readonly body: Expression;
    }
);

/** As cel-go's parser. */
const maxCodePoints = 100_000;
const grammar = new Environment({
  enableOptionalTypes: true,
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
});

/** Throws {@link CelCompileError}. */
export function parseExpression(text: string): Expression {
  if (text.length > maxCodePoints) {
    throw new CelCompileError(
      `ERROR: <input>:-1:0: expression code point size exceeds limit: size: ${text.length}, limit ${maxCodePoints}`,
    );
  }
  let tree: ASTNode;
  try {
    tree = grammar.parse(text).ast;
  } catch (error) {
    const { summary, range } = error as { summary?: string; range?: { start: number } };
    throw compileError(
      text,
      range?.start ?? 0,
      `Syntax error: ${summary ?? messageOf(error).split('\n')[0]}`,
    );
  }
  return new Reader(text).read(tree);
}

/** A message with its place and the line in question, as cel-go formats it. */
export function compileError(text: string, at: number, message: string): CelCompileError {
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - (before.lastIndexOf('\n') + 1);
  const source = text.split('\n')[line - 1] ?? '';
  const pointer = `${'.'.repeat(Math.min(column, 200))}^`;
  return new CelCompileError(
    `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${source.slice(0, 400)}\n | ${pointer}`,
  );
}

const comprehensions: { readonly [name: string]: ComprehensionKind | undefined } = {
  all: 'all',
  exists: 'exists',
  exists_one: 'exists_one',
  existsOne: 'exists_one',
  filter: 'filter',
  map: 'map',
  transformList: 'transformList',
  transformMap: 'transformMap',
};

/** Long chains of operators are deep trees, which are walked by functions that call themselves. */
const maxNesting = 1000;

class Reader {
  readonly #text: string;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(node: ASTNode): Expression {
    if (++this.#depth > maxNesting) {
      throw this.#fault(node, `expression recursion limit exceeded: ${maxNesting}`);
    }
    const expression = this.#read(node);
    this.#depth--;
    return expression;
  }

  #read(node: ASTNode): Expression {
    const at = node.start;
    switch (node.op) {
      case 'value':
        return { op: 'literal', at, value: literal(node.args) };
      case 'id':
        return { op: 'name', at, name: node.args };
      case '.':
      case '.?':
        return {
          op: 'select',
          at: node.pos,
          target: this.read(node.args[0]),
          field: node.args[1],
          optional: node.op === '.?',
        };
      case '[]':
      case '[?]':
        return {
          op: 'index',
          at: node.pos,
          target: this.read(node.args[0]),
          index: this.read(node.args[1]),
          optional: node.op === '[?]',
        };
      case 'call':
        return this.#call(node.args[0], node.args[1], node);
      case 'rcall':
        return this.#method(node.args[0], node.args[1], node.args[2], node);
      case 'list':
        return { op: 'list', at, items: node.args.map((item) => this.read(item)) };
      case 'map':
        return {
          op: 'map',
          at,
          entries: node.args.map(([key, value]) => [this.read(key), this.read(value)] as const),
        };
      case '?:': {
        const [condition, yes, no] = node.args;
        return {
          op: 'choice',
          at: node.pos,
          condition: this.read(condition),
          yes: this.read(yes),
          no: this.read(no),
        };
      }
      case '&&':
      case '||': {
        const [left, right] = node.args;
        const and = node.op === '&&';
        return { op: 'logic', at: node.pos, and, left: this.read(left), right: this.read(right) };
      }
      case '!_':
      case '-_':
        return this.#unary(node.op, node.args, node);
      case 'in':
        return this.#operator('@in', node.args, node);
      default:
        return this.#operator(`_${node.op}_`, node.args, node);
    }
  }

  #operator(name: string, args: readonly ASTNode[], node: ASTNode): Expression {
    return { op: 'call', at: node.pos, name, target: undefined, args: args.map((arg) => this.read(arg)) };
  }

  #unary(op: '!_' | '-_', arg: ASTNode, node: ASTNode): Expression {
    const value = arg.op === 'value' ? arg.args : undefined;
    if (op === '-_' && typeof value === 'bigint') return { op: 'literal', at: node.start, value: -value };
    if (op === '-_' && typeof value === 'number') return { op: 'literal', at: node.start, value: -value };
    return this.#operator(op, [arg], node);
  }

  #call(name: string, args: readonly ASTNode[], node: ASTNode): Expression {
    const [only] = args;
    if (name === 'has' && args.length === 1 && only) {
      if (only.op !== '.') throw this.#fault(only, 'invalid argument to has() macro');
      return { op: 'has', at: node.start, target: this.read(only.args[0]), field: only.args[1] };
    }
    return {
      op: 'call',
      at: node.start,
      name,
      target: undefined,
      args: args.map((arg) => this.read(arg)),
    };
  }

  #method(name: string, target: ASTNode, args: readonly ASTNode[], node: ASTNode): Expression {
    const kind = Object.hasOwn(comprehensions, name) ? comprehensions[name] : undefined;
    if (kind && args.length >= 2 && args.length <= 4) {
      const comprehension = this.#comprehension(kind, target, args, node);
      if (comprehension) return comprehension;
    }
    const [first, second, third] = args;
    if (name === 'bind' && target.op === 'id' && target.args === 'cel' && first && second && third) {
      return {
        op: 'bind',
        at: node.pos,
        name: this.#variable(first),
        value: this.read(second),
        body: this.read(third),
      };
    }
    if ((name === 'optMap' || name === 'optFlatMap') && first && second && args.length === 2) {
      return {
        op: 'optional-map',
        at: node.pos,
        flat: name === 'optFlatMap',
        target: this.read(target),
        name: this.#variable(first),
        body: this.read(second),
      };
    }
    return {
      op: 'call',
      at: node.pos,
      name,
      target: this.read(target),
      args: args.map((arg) => this.read(arg)),
    };
  }

  #comprehension(
    kind: ComprehensionKind,
    target: ASTNode,
    args: readonly ASTNode[],
    node: ASTNode,
  ): Expression | undefined {
    const transforms = kind === 'transformList' || kind === 'transformMap';
    const maps = kind === 'map' || transforms;
    // all(x, p), all(k, v, p), map(x, t), map(x, p, t), transformList(k, v, t), transformList(k, v, p, t)
    const names = transforms || (!maps && kind !== 'filter' && args.length === 3) ? 2 : 1;
    const rest = args.slice(names).map((arg) => arg);
    if (rest.length === 0 || rest.length > (maps ? 2 : 1)) return undefined;
    const last = rest.at(-1);
    const predicate = maps ? (rest.length === 2 ? rest[0] : undefined) : last;
    return {
      op: 'comprehension',
      at: node.pos,
      kind,
      range: this.read(target),
      names: args.slice(0, names).map((arg) => this.#variable(arg)),
      predicate: predicate && this.read(predicate),
      transform: maps && last ? this.read(last) : undefined,
    };
  }

  #variable(node: ASTNode): string {
    if (node.op !== 'id') throw this.#fault(node, 'argument must be a simple name');
    return node.args;
  }

  #fault(node: ASTNode, message: string): CelCompileError {
    return compileError(this.#text, node.start, message);
  }
}

function literal(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  // cel-js has a class of its own for unsigned literals.
  return new UInt(BigInt(String((value as { valueOf(): unknown }).valueOf())));
}
