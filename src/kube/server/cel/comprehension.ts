/** Macros over lists and maps: `all`, `exists`, `exists_one`, `filter`, `map` and those of two variables. */
import { absorbable, asKey, largestOf, type Code, type Frame, type NodeOf, type Scope } from './code.ts';
import { CelEvaluationError } from './errors.ts';
import { bool, dyn, formatType, int, listOf, mapOf, type CelType } from './types.ts';
import { CelMap, Struct, typeName } from './values.ts';

type Comprehension = NodeOf<'comprehension'>;

/** What a loop does with one element: goes on, or ends with a result. */
interface Loop {
  readonly slots: readonly number[];
  readonly range: Code;
}

export function compileComprehension(node: Comprehension, scope: Scope): Code {
  const range = scope.compile(node.range);
  const [first, second] = elementTypes(range.type, node, scope);
  const [name = '', other] = node.names;
  // One variable is the element of a list, or the key of a map; two are index and element, or key and value.
  const isMap = range.type.kind === 'map' || range.type.kind === 'object';
  const single = isMap ? first : second;
  const outer = scope.with(name, other === undefined ? single : first);
  const inner = other === undefined ? outer : outer.scope.with(other, second);
  const predicate = node.predicate && inner.scope.compile(node.predicate);
  const transform = node.transform && inner.scope.compile(node.transform);
  if (predicate && predicate.type.kind !== 'bool' && predicate.type.kind !== 'dyn') {
    scope.fail(node.predicate ?? node, `expected type 'bool' but found '${formatType(predicate.type)}'`);
  }
  const slots = other === undefined ? [outer.slot] : [outer.slot, inner.slot];
  const loop: Loop = { slots, range };
  const count = largestOf(range.type);
  const max = Math.min(count, 'max' in range.type ? (range.type.max ?? count) : count);
  const body = (predicate?.cost ?? 0) + (transform?.cost ?? 0);
  // Each turn also looks at the accumulator and decides whether to go on.
  const cost = range.cost + 1 + max * (body + 2);
  const result = transform?.type ?? single;
  const always: Code = predicate ?? { type: bool, cost: 0, run: () => true };
  switch (node.kind) {
    case 'all':
      return { type: bool, cost, run: (frame) => decide(loop, frame, always, false) };
    case 'exists':
      return { type: bool, cost, run: (frame) => decide(loop, frame, always, true) };
    case 'exists_one':
      return { type: bool, cost, run: (frame) => count1(loop, frame, always) };
    case 'filter':
      return {
        type: listOf(single, max),
        cost,
        run: (frame) => collect(loop, frame, always, (value) => value),
      };
    case 'transformMap':
      return {
        type: mapOf(first, result, max),
        cost,
        run: (frame) => collectMap(loop, frame, always, transform ?? always),
      };
    default:
      return {
        type: listOf(result, max),
        cost,
        run: (frame) => collect(loop, frame, always, () => transform?.run(frame)),
      };
  }
}

function elementTypes(type: CelType, node: Comprehension, scope: Scope): readonly [CelType, CelType] {
  switch (type.kind) {
    case 'list':
      return [int, type.element];
    case 'map':
      return [type.key, type.value];
    case 'dyn':
      return [dyn, dyn];
    default:
      return scope.fail(
        node.range,
        `expression of type '${formatType(type)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
      );
  }
}

/** The elements with what stands for them: index or key. */
function* turns(
  { range, slots }: Loop,
  frame: Frame,
): Generator<{ readonly key: unknown; readonly value: unknown }> {
  const over = range.run(frame);
  const [first = 0, second] = slots;
  const visit = (key: unknown, value: unknown, alone: unknown): { key: unknown; value: unknown } => {
    frame.budget.charge(2);
    frame.slots[first] = second === undefined ? alone : key;
    if (second !== undefined) frame.slots[second] = value;
    return { key, value: alone };
  };
  if (Array.isArray(over)) {
    for (let i = 0; i < over.length; i++) {
      const item: unknown = over[i];
      yield visit(BigInt(i), item, item);
    }
  } else if (over instanceof CelMap) {
    for (const { key, value } of over.entries()) yield visit(key, value, key);
  } else if (over instanceof Struct) {
    for (const name of over.names()) yield visit(name, over.get(name), name);
  } else {
    throw new CelEvaluationError(`no such overload: ${typeName(over)} cannot be iterated`);
  }
}

/** `all` and `exists`: one element may decide; then failures on others do not count. */
function decide(loop: Loop, frame: Frame, predicate: Code, decisive: boolean): boolean {
  let failure: CelEvaluationError | undefined;
  for (const _turn of turns(loop, frame)) {
    try {
      const holds = predicate.run(frame);
      if (holds === decisive) return decisive;
      if (typeof holds !== 'boolean')
        throw new CelEvaluationError('no such overload: the predicate must be bool');
    } catch (error) {
      failure ??= absorbable(error);
      frame.budget.charge(5);
    }
  }
  if (failure) throw failure;
  return !decisive;
}

function holds(predicate: Code, frame: Frame): boolean {
  const result = predicate.run(frame);
  if (typeof result === 'boolean') return result;
  throw new CelEvaluationError('no such overload: the predicate must be bool');
}

function count1(loop: Loop, frame: Frame, predicate: Code): boolean {
  let count = 0;
  for (const _turn of turns(loop, frame)) if (holds(predicate, frame)) count++;
  return count === 1;
}

function collect(loop: Loop, frame: Frame, predicate: Code, take: (value: unknown) => unknown): unknown[] {
  const out: unknown[] = [];
  for (const { value } of turns(loop, frame)) if (holds(predicate, frame)) out.push(take(value));
  return out;
}

function collectMap(loop: Loop, frame: Frame, predicate: Code, transform: Code): CelMap {
  const out = new CelMap();
  for (const { key } of turns(loop, frame)) {
    if (holds(predicate, frame)) out.set(asKey(key), transform.run(frame));
  }
  return out;
}
