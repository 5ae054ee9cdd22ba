/** Members and elements: `a.b`, `a.?b`, `has(a.b)`, `a[i]`, `a[?i]`. */
import { variableCode, type Code, type Frame, type NodeOf, type Scope } from './code.ts';
import { CelEvaluationError } from './errors.ts';
import type { Expression } from './expression.ts';
import { bool, dyn, formatType, isAssignable, optionalOf, typeType, type CelType } from './types.ts';
import { CelMap, indexedBy, Optional, Struct, typeName, TypeValue, UInt } from './values.ts';

export function select(node: NodeOf<'select'>, scope: Scope): Code {
  const { field } = node;
  const variable = variableNamed(node, scope);
  if (variable) return variable;
  const named = typeNamed(node, scope);
  if (named) return named;
  const target = scope.compile(node.target);
  const inner = target.type.kind === 'optional' ? target.type.of : target.type;
  const type = memberType(inner, field, node, scope);
  const isOptional = node.optional || target.type.kind === 'optional';
  const cost = target.cost + 1;
  if (isOptional) {
    const result = type.kind === 'optional' ? type : optionalOf(type);
    return { type: result, cost, run: (frame) => optionalMember(target.run(frame), field, frame) };
  }
  return {
    type,
    cost,
    run: (frame) => {
      const value = target.run(frame);
      frame.budget.charge(1);
      if (value instanceof Optional) return optionalMember(value, field, frame);
      const member = memberOf(value, field);
      if (member === undefined) throw new CelEvaluationError(`no such key: ${field}`);
      return member;
    },
  };
}

const qualifiedTypes = new Set([
  'google.protobuf.Timestamp',
  'google.protobuf.Duration',
  'kubernetes.Quantity',
  'kubernetes.URL',
  'kubernetes.NamedFormat',
  'kubernetes.Semver',
  'net.IP',
  'net.CIDR',
]);

/** A variable with a dot in its name, which comes before a member of that name (cel-spec, name resolution). */
function variableNamed({ target, field }: NodeOf<'select'>, scope: Scope): Code | undefined {
  const name = target.op === 'name' ? `${target.name}.${field}` : '';
  const found = name === '' ? undefined : scope.find(name);
  return found && variableCode(found);
}

/** A type by its full name: `type(x) == google.protobuf.Duration`. */
function typeNamed(node: NodeOf<'select'>, scope: Scope): Code | undefined {
  const parts: string[] = [];
  let here: Expression = node;
  while (here.op === 'select') {
    parts.unshift(here.field);
    here = here.target;
  }
  if (here.op !== 'name' || scope.find(here.name)) return undefined;
  const name = [here.name, ...parts].join('.');
  if (!qualifiedTypes.has(name)) return undefined;
  const value = new TypeValue(name);
  return { type: typeType, cost: 1, run: () => value };
}

function memberType(type: CelType, field: string, node: Expression, scope: Scope): CelType {
  if (type.kind === 'object') {
    const known = type.fields.get(field);
    if (known) return known.type;
    return scope.fail(node, `undefined field '${field}'`);
  }
  if (type.kind === 'map') return type.value;
  if (type.kind === 'dyn') return dyn;
  return scope.fail(node, `type '${formatType(type)}' does not support field selection`);
}

/** Undefined when there is none. Fails on values that have no members. */
function memberOf(value: unknown, field: string): unknown {
  if (value instanceof Struct) return value.get(field);
  if (value instanceof CelMap) return value.get(field);
  throw new CelEvaluationError(`no such overload: ${typeName(value)} does not support field selection`);
}

function optionalMember(value: unknown, field: string, frame: Frame): Optional {
  frame.budget.charge(1);
  const target = value instanceof Optional ? value : Optional.of(value);
  if (!target.hasValue) return Optional.none;
  const member = memberOf(target.value, field);
  return member === undefined ? Optional.none : Optional.of(member);
}

export function has(node: NodeOf<'has'>, scope: Scope): Code {
  const { field } = node;
  const target = scope.compile(node.target);
  const inner = target.type.kind === 'optional' ? target.type.of : target.type;
  memberType(inner, field, node, scope);
  return {
    type: bool,
    cost: target.cost + 1,
    run: (frame) => {
      const value = target.run(frame);
      frame.budget.charge(1);
      if (value instanceof Optional) return value.hasValue && memberOf(value.value, field) !== undefined;
      return memberOf(value, field) !== undefined;
    },
  };
}

export function index(node: NodeOf<'index'>, scope: Scope): Code {
  const target = scope.compile(node.target);
  const at = scope.compile(node.index);
  const inner = target.type.kind === 'optional' ? target.type.of : target.type;
  const type = elementType(inner, at.type, node, scope);
  const isOptional = node.optional || target.type.kind === 'optional';
  const cost = target.cost + at.cost + 1;
  if (!isOptional) {
    return {
      type,
      cost,
      run: (frame) => {
        const value = target.run(frame);
        const key = at.run(frame);
        frame.budget.charge(1);
        return value instanceof Optional ? optionalElement(value, key) : element(value, key);
      },
    };
  }
  return {
    type: optionalOf(type),
    cost,
    run: (frame) => {
      const value = target.run(frame);
      frame.budget.charge(1);
      return optionalElement(value instanceof Optional ? value : Optional.of(value), at.run(frame));
    },
  };
}

function elementType(type: CelType, key: CelType, node: Expression, scope: Scope): CelType {
  const isNumber = ['int', 'uint', 'double', 'dyn'].includes(key.kind);
  if (type.kind === 'dyn') return dyn;
  if (type.kind === 'list' && isNumber) return type.element;
  if (type.kind === 'map' && isAssignable(type.key, key, new Map())) return type.value;
  return scope.fail(
    node,
    `found no matching overload for '_[_]' applied to '(${formatType(type)}, ${formatType(key)})'`,
  );
}

function optionalElement(target: Optional, key: unknown): Optional {
  if (!target.hasValue) return Optional.none;
  const found = indexedBy(target.value, key);
  return found === undefined ? Optional.none : Optional.of(found);
}

function element(value: unknown, key: unknown): unknown {
  const found = indexedBy(value, key);
  if (found !== undefined) return found;
  const shown = key instanceof UInt ? key.value : key;
  throw new CelEvaluationError(
    Array.isArray(value) ? `index out of bounds: ${String(shown)}` : `no such key: ${String(shown)}`,
  );
}
