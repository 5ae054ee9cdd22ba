/** Functions, methods and operators: which overload is meant, by types where they are known, by values otherwise. */
import { largestOf, type Code, type NodeOf, type Scope } from './code.ts';
import { CelEvaluationError } from './errors.ts';
import { Budget, BudgetError, sizeOf, type Overload } from './functions/signature.ts';
import { overloadsOf } from './library.ts';
import {
  dyn,
  formatType,
  isAssignable,
  join,
  largestSize,
  substitute,
  type Bindings,
  type CelType,
} from './types.ts';
import { CelMap, Optional, Struct, typeName } from './values.ts';

export function call(node: NodeOf<'call'>, scope: Scope): Code {
  const { target } = node;
  if (target?.op === 'name' && !scope.find(target.name)) {
    const qualified = `${target.name}.${node.name}`;
    if (overloadsOf(qualified).length > 0) {
      return dispatch(
        node,
        qualified,
        false,
        node.args.map((arg) => scope.compile(arg)),
        scope,
      );
    }
  }
  const inner = node.name === 'format' && target ? scope.mixed() : scope;
  const args = [...(target ? [scope.compile(target)] : []), ...node.args.map((arg) => inner.compile(arg))];
  return dispatch(node, node.name, target !== undefined, args, scope);
}

function dispatch(
  node: NodeOf<'call'>,
  name: string,
  isMethod: boolean,
  args: readonly Code[],
  scope: Scope,
): Code {
  const named = overloadsOf(name).filter((overload) => overload.method === isMethod);
  if (named.length === 0) {
    return scope.fail(node, `undeclared reference to '${name}' (in container '')`);
  }
  const types = args.map(({ type }) => type);
  const candidates: { overload: Overload; result: CelType }[] = [];
  for (const overload of named) {
    const bindings = applies(overload, types);
    if (bindings) candidates.push({ overload, result: substitute(overload.result, bindings) });
  }
  const [first] = candidates;
  if (!first) {
    const [receiver, ...others] = types.map(formatType);
    const shown = isMethod ? `${receiver}.(${others.join(', ')})` : `(${types.map(formatType).join(', ')})`;
    return scope.fail(node, `found no matching overload for '${name}' applied to '${shown}'`);
  }
  checkLiteral(node, name, first.overload, scope);
  const sizes = types.map(largestOf);
  const cost =
    args.reduce((sum, arg) => sum + arg.cost, 1) +
    Math.max(...candidates.map(({ overload }) => overload.cost?.(sizes) ?? 0));
  const result = candidates.slice(1).reduce((type, other) => join(type, other.result), first.result);
  const type = bounded(result, first.overload, sizes);
  const isCertain = candidates.length === 1 && !types.some(isVague);
  const overloads = candidates.map(({ overload }) => overload);
  return {
    type,
    cost,
    run: (frame) => {
      const values = args.map((arg) => arg.run(frame));
      const overload = isCertain ? first.overload : overloads.find((each) => accepts(each, values));
      if (!overload)
        throw new CelEvaluationError(`no such overload: ${name}(${values.map(typeName).join(', ')})`);
      frame.budget.charge(1 + (overload.cost?.(values.map(sizeOf)) ?? 0));
      return overload.run(values, frame.budget);
    },
  };
}

/** Functions whose text is looked at before anything runs, when it is written out, with the argument that counts. */
const checkedLiterals: Readonly<Record<string, number | undefined>> = {
  duration: 0,
  timestamp: 0,
  matches: 1,
  find: 1,
  findAll: 1,
};

function checkLiteral(node: NodeOf<'call'>, name: string, overload: Overload, scope: Scope): void {
  const position = checkedLiterals[name];
  const given = [...(node.target ? [node.target] : []), ...node.args];
  const argument = position === undefined ? undefined : given[position];
  if (argument?.op !== 'literal') return;
  const sample = overload.parameters.map((_, i) => (i === position ? argument.value : ''));
  try {
    overload.run(sample, new Budget(1000));
  } catch (error) {
    if (error instanceof CelEvaluationError && !(error instanceof BudgetError)) {
      scope.fail(argument, `invalid ${name} argument: ${error.message}`);
    }
  }
}

function applies(overload: Overload, types: readonly CelType[]): Bindings | undefined {
  const { parameters } = overload;
  if (parameters.length !== types.length) return undefined;
  const bindings: Bindings = new Map();
  return parameters.every((wanted, i) => isAssignable(wanted, types[i] ?? dyn, bindings))
    ? bindings
    : undefined;
}

/** Whether what the types say leaves something to be found out at run time. */
function isVague(type: CelType): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'null':
      return true;
    // A text of a schema's format that is not well formed stays a text.
    case 'timestamp':
    case 'duration':
      return true;
    case 'list':
      return isVague(type.element);
    case 'map':
      return isVague(type.key) || isVague(type.value);
    case 'optional':
      return isVague(type.of);
    default:
      return false;
  }
}

function accepts({ parameters }: Overload, values: readonly unknown[]): boolean {
  return parameters.every((wanted, i) => isOf(wanted, values[i]));
}

/** Whether a value is of a type, as far as its outside shows; elements are looked at by the functions. */
function isOf(type: CelType, value: unknown): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'parameter':
      return true;
    case 'list':
      return Array.isArray(value) && (value.length === 0 || isOf(type.element, value[0]));
    case 'map':
      return value instanceof CelMap;
    case 'optional':
      return value instanceof Optional;
    case 'null':
      return value === null;
    case 'object':
      return value instanceof Struct;
    case 'opaque':
      return typeName(value) === type.name;
    default:
      return typeName(value) === formatType(type);
  }
}

/** The result's type with the bound that follows from the arguments. */
function bounded(type: CelType, overload: Overload, sizes: readonly number[]): CelType {
  const size = overload.size?.(sizes);
  if (size === undefined) return type;
  if (type.kind === 'string' || type.kind === 'bytes' || type.kind === 'list' || type.kind === 'map') {
    return { ...type, max: Math.min(size, largestSize) };
  }
  return type;
}
