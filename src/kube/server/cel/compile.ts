/**
 * From an expression to something that runs: types are checked as cel-go checks them, the largest possible cost is
 * estimated, and each node becomes a closure.
 */
import { call } from './calls.ts';
import { absorbable, asKey, Scope, variableCode, type Code, type Frame, type NodeOf } from './code.ts';
import { compileComprehension } from './comprehension.ts';
import { CelEvaluationError } from './errors.ts';
import { parseExpression, type Expression } from './expression.ts';
import type { Budget } from './functions/signature.ts';
import { typeNames } from './library.ts';
import { has, index, select } from './members.ts';
import {
  bool,
  bytes,
  double,
  dyn,
  formatType,
  int,
  join,
  listOf,
  mapOf,
  nullType,
  optionalOf,
  string,
  typeType,
  uint,
  type CelType,
} from './types.ts';
import { CelMap, Optional, TypeValue, UInt } from './values.ts';

export interface Program {
  readonly type: CelType;
  /** The largest cost that a run may have, by the sizes that the types allow. */
  readonly cost: number;
  /** Values in the order of the variables. Throws {@link CelEvaluationError}. */
  run(values: readonly unknown[], budget: Budget): unknown;
}

/** Throws CelCompileError. */
export function compile(text: string, variables: readonly (readonly [string, CelType])[]): Program {
  const slots = { count: variables.length };
  const declared = new Map(variables.map(([name, type], slot) => [name, { type, slot }]));
  const scope = new Scope(text, declared, slots, compileNode);
  const code = scope.compile(parseExpression(text));
  return {
    type: code.type,
    cost: code.cost,
    run: (values, budget) => {
      const frame: Frame = { slots: [...values], budget };
      return code.run(frame);
    },
  };
}

function compileNode(node: Expression, scope: Scope): Code {
  switch (node.op) {
    case 'literal':
      return literal(node, scope);
    case 'name':
      return variable(node, scope);
    case 'select':
      return select(node, scope);
    case 'has':
      return has(node, scope);
    case 'index':
      return index(node, scope);
    case 'call':
      return call(node, scope);
    case 'list':
      return list(node, scope);
    case 'map':
      return map(node, scope);
    case 'logic':
      return logic(node, scope);
    case 'choice':
      return choice(node, scope);
    case 'comprehension':
      return compileComprehension(node, scope);
    case 'bind':
      return bind(node, scope);
    default:
      return optionalMap(node, scope);
  }
}

function literal(node: NodeOf<'literal'>, scope: Scope): Code {
  const { value } = node;
  if (typeof value === 'bigint' && (value < -(2n ** 63n) || value >= 2n ** 63n)) {
    scope.fail(node, 'invalid int literal');
  }
  return { type: literalType(value), cost: 0, run: () => value };
}

function literalType(value: unknown): CelType {
  if (typeof value === 'string') return { ...string, max: value.length } as CelType;
  if (value instanceof Uint8Array) return { ...bytes, max: value.length } as CelType;
  if (typeof value === 'bigint') return int;
  if (typeof value === 'number') return double;
  if (typeof value === 'boolean') return bool;
  return value instanceof UInt ? uint : nullType;
}

function variable(node: NodeOf<'name'>, scope: Scope): Code {
  const found = scope.find(node.name);
  if (!found) {
    if (typeNames.has(node.name)) {
      const value = new TypeValue(protobufNames[node.name] ?? node.name);
      return { type: typeType, cost: 1, run: () => value };
    }
    return scope.fail(node, `undeclared reference to '${node.name}' (in container '')`);
  }
  return variableCode(found);
}

const protobufNames: Readonly<Record<string, string>> = {
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
};

// ---- literals of lists and maps --------------------------------------------------------------------------------

/** As cel-go prices them. */
const listCost = 10;
const mapCost = 30;

/** Elements of a literal are of one type; `dyn()` says where they are not meant to be. */
function commonType(types: readonly CelType[], nodes: readonly Expression[], scope: Scope): CelType {
  let common = types[0] ?? dyn;
  for (const [i, type] of types.entries()) {
    const joined = join(common, type);
    const node = nodes[i];
    if (!scope.allowsMixed && joined.kind === 'dyn' && common.kind !== 'dyn' && type.kind !== 'dyn' && node) {
      scope.fail(node, `expected type '${formatType(common)}' but found '${formatType(type)}'`);
    }
    common = joined;
  }
  return common;
}

function list(node: NodeOf<'list'>, scope: Scope): Code {
  const items = node.items.map((item) => scope.compile(item));
  const type = commonType(
    items.map((item) => item.type),
    node.items,
    scope,
  );
  return {
    type: listOf(type, items.length),
    cost: items.reduce((sum, item) => sum + item.cost, listCost),
    run: (frame) => {
      frame.budget.charge(listCost);
      return items.map((item) => item.run(frame));
    },
  };
}

function map(node: NodeOf<'map'>, scope: Scope): Code {
  const entries = node.entries.map(([key, value]) => [scope.compile(key), scope.compile(value)] as const);
  const keys = entries.map(([key]) => key.type);
  const values = entries.map(([, value]) => value.type);
  return {
    type: mapOf(
      commonType(
        keys,
        node.entries.map(([key]) => key),
        scope,
      ),
      commonType(
        values,
        node.entries.map(([, value]) => value),
        scope,
      ),
      entries.length,
    ),
    cost: entries.reduce((sum, [key, value]) => sum + key.cost + value.cost, mapCost),
    run: (frame) => {
      frame.budget.charge(mapCost);
      const out = new CelMap();
      for (const [key, value] of entries) out.set(asKey(key.run(frame)), value.run(frame));
      return out;
    },
  };
}

// ---- logic -----------------------------------------------------------------------------------------------------

function checkBool(
  code: Code,
  node: Expression,
  scope: Scope,
  operator: string,
  types: readonly CelType[],
): void {
  if (code.type.kind === 'bool' || code.type.kind === 'dyn') return;
  const shown = types.map(formatType).join(', ');
  scope.fail(node, `found no matching overload for '${operator}' applied to '(${shown})'`);
}

/** One side decides alone when it can: then a failure of the other does not count. */
function logic(node: NodeOf<'logic'>, scope: Scope): Code {
  const left = scope.compile(node.left);
  const right = scope.compile(node.right);
  const operator = node.and ? '_&&_' : '_||_';
  for (const side of [left, right]) checkBool(side, node, scope, operator, [left.type, right.type]);
  const decides = !node.and;
  return {
    type: bool,
    cost: left.cost + right.cost,
    run: (frame) => {
      let first: unknown;
      try {
        first = left.run(frame);
      } catch (error) {
        const failure = absorbable(error);
        frame.budget.charge(5);
        if (right.run(frame) === decides) return decides;
        throw failure;
      }
      if (first === decides) return decides;
      if (typeof first !== 'boolean') {
        if (right.run(frame) === decides) return decides;
        throw new CelEvaluationError('no such overload: operands of && and || must be bool');
      }
      const second = right.run(frame);
      if (typeof second === 'boolean') return second;
      throw new CelEvaluationError('no such overload: operands of && and || must be bool');
    },
  };
}

function choice(node: NodeOf<'choice'>, scope: Scope): Code {
  const condition = scope.compile(node.condition);
  const yes = scope.compile(node.yes);
  const no = scope.compile(node.no);
  checkBool(condition, node, scope, '_?_:_', [condition.type, yes.type, no.type]);
  const type = join(yes.type, no.type);
  if (type.kind === 'dyn' && yes.type.kind !== 'dyn' && no.type.kind !== 'dyn') {
    const shown = [condition.type, yes.type, no.type].map(formatType).join(', ');
    scope.fail(node, `found no matching overload for '_?_:_' applied to '(${shown})'`);
  }
  return {
    type,
    cost: condition.cost + Math.max(yes.cost, no.cost),
    run: (frame) => {
      const decision = condition.run(frame);
      if (typeof decision !== 'boolean')
        throw new CelEvaluationError('no such overload: the condition must be bool');
      return decision ? yes.run(frame) : no.run(frame);
    },
  };
}

function bind(node: NodeOf<'bind'>, scope: Scope): Code {
  const value = scope.compile(node.value);
  const inner = scope.with(node.name, value.type);
  const body = inner.scope.compile(node.body);
  return {
    type: body.type,
    cost: value.cost + body.cost,
    run: (frame) => {
      frame.slots[inner.slot] = value.run(frame);
      return body.run(frame);
    },
  };
}

function optionalMap(node: NodeOf<'optional-map'>, scope: Scope): Code {
  const target = scope.compile(node.target);
  const { type } = target;
  if (type.kind !== 'optional' && type.kind !== 'dyn') {
    scope.fail(
      node,
      `found no matching overload for '${node.flat ? 'optFlatMap' : 'optMap'}' applied to '${formatType(type)}'`,
    );
  }
  const inner = scope.with(node.name, type.kind === 'optional' ? type.of : dyn);
  const body = inner.scope.compile(node.body);
  return {
    type: node.flat ? body.type : optionalOf(body.type),
    cost: target.cost + body.cost,
    run: (frame) => {
      const optional = target.run(frame);
      if (!(optional instanceof Optional))
        throw new CelEvaluationError('no such overload: not an optional value');
      if (!optional.hasValue) return Optional.none;
      frame.slots[inner.slot] = optional.value;
      const result = body.run(frame);
      return node.flat ? result : Optional.of(result);
    },
  };
}
