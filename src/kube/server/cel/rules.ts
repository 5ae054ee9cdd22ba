/** `x-kubernetes-validations` of a schema: one rule, compiled. */
import type { ValidationRule } from '../../../api/schema.ts';
import { compile, type Program } from './compile.ts';
import { CelCompileError, CelEvaluationError, RuleFault } from './errors.ts';
import { parseExpression, type Expression } from './expression.ts';
import { BudgetError, type Budget } from './functions/signature.ts';
import { optionalOf, type CelType } from './types.ts';
import { Optional, type Data } from './values.ts';

export interface CompiledRule {
  readonly rule: ValidationRule;
  /** Speaks of a change: runs only where there is an old value, unless that is optional. */
  readonly isTransition: boolean;
  /** The largest cost of one run, message included. */
  readonly cost: number;
  /** `oldSelf` undefined: there is none. Both are JSON. Throws CelEvaluationError and {@link BudgetError}. */
  holds(self: unknown, oldSelf: unknown, data: Data, budget: Budget): boolean;
  /** The message of `messageExpression`, where that gives one. */
  message(self: unknown, oldSelf: unknown, data: Data, budget: Budget): string | undefined;
}

/** Throws {@link RuleFault}. */
export function compileRule(rule: ValidationRule, type: CelType): CompiledRule {
  const oldType = rule.optionalOldSelf ? optionalOf(type) : type;
  const variables = [
    ['self', type],
    ['oldSelf', oldType],
  ] as const;
  const program = compilePart('rule', rule.rule, variables, 'bool', 'cel expression must evaluate to a bool');
  const isTransition = mentions(parseExpression(rule.rule), 'oldSelf');
  if (rule.optionalOldSelf && !isTransition) {
    throw new RuleFault('optionalOldSelf', 'may not be set if oldSelf is not used in rule');
  }
  const words = rule.messageExpression;
  const messageProgram =
    words === undefined
      ? undefined
      : compilePart(
          'messageExpression',
          words,
          variables,
          'string',
          'messageExpression must evaluate to a string',
        );
  const values = (self: unknown, oldSelf: unknown, data: Data): unknown[] => {
    const old = oldSelf === undefined ? undefined : data.convert(oldSelf, type);
    const given = rule.optionalOldSelf
      ? old === undefined
        ? Optional.none
        : Optional.of(old)
      : (old ?? null);
    return [data.convert(self, type), given];
  };
  return {
    rule,
    isTransition,
    cost: program.cost + (messageProgram?.cost ?? 0),
    holds(self, oldSelf, data, budget) {
      const result = program.run(values(self, oldSelf, data), budget);
      if (typeof result !== 'boolean') throw new CelEvaluationError('the rule gave no bool');
      return result;
    },
    message(self, oldSelf, data, budget) {
      if (!messageProgram) return undefined;
      try {
        const text = messageProgram.run(values(self, oldSelf, data), budget);
        return typeof text === 'string' && isMessage(text) ? text.trim() : undefined;
      } catch (error) {
        if (error instanceof CelEvaluationError && !(error instanceof BudgetError)) return undefined;
        throw error;
      }
    },
  };
}

function isMessage(text: string): boolean {
  return text.trim() !== '' && !text.includes('\n') && text.length <= 5 * 1024;
}

function compilePart(
  member: 'rule' | 'messageExpression',
  text: string,
  variables: readonly (readonly [string, CelType])[],
  wanted: 'bool' | 'string',
  otherwise: string,
): Program {
  let program: Program;
  try {
    program = compile(text, variables);
  } catch (error) {
    if (!(error instanceof CelCompileError)) throw error;
    const prefix = member === 'rule' ? 'compilation failed' : 'messageExpression compilation failed';
    throw new RuleFault(member, `${prefix}: ${error.message}`);
  }
  if (program.type.kind !== wanted && program.type.kind !== 'dyn') throw new RuleFault(member, otherwise);
  return program;
}

/** Whether a name occurs in an expression. */
function mentions(node: Expression, name: string): boolean {
  if (node.op === 'name') return node.name === name;
  return childrenOf(node).some((child) => mentions(child, name));
}

function childrenOf(node: Expression): readonly Expression[] {
  switch (node.op) {
    case 'select':
    case 'has':
      return [node.target];
    case 'index':
      return [node.target, node.index];
    case 'call':
      return [...(node.target ? [node.target] : []), ...node.args];
    case 'list':
      return node.items;
    case 'map':
      return node.entries.flat();
    case 'logic':
      return [node.left, node.right];
    case 'choice':
      return [node.condition, node.yes, node.no];
    case 'comprehension':
      return [node.range, node.predicate, node.transform].filter((child) => child !== undefined);
    case 'bind':
      return [node.value, node.body];
    case 'optional-map':
      return [node.target, node.body];
    default:
      return [];
  }
}
