/**
 * Common Expression Language as the Kubernetes API uses it. Most servers never meet an expression, so what compiles them is
 * loaded by the first one; a start need not wait for it.
 */
import { createRequire } from 'node:module';
import type { ValidationRule } from '../../../api/schema.ts';
import type * as Engine from './engine.ts';
import type { MatchCondition } from './match-condition.ts';
import type { CompiledRule } from './rules.ts';
import type { CelType } from './types.ts';

export { CelCompileError, CelEvaluationError, RuleFault } from './errors.ts';
export type { MatchCondition, MatchInput } from './match-condition.ts';
export type { CompiledRule } from './rules.ts';
export { Budget, BudgetError, ruleBudget } from './functions/signature.ts';
export { mostInRequest, selfType } from './schema-types.ts';
export { Data } from './values.ts';

const load = createRequire(import.meta.url);

/** The same module on every call. */
function engine(): typeof Engine {
  return load('./engine.ts') as typeof Engine;
}

/** The condition of a webhook. Throws {@link CelCompileError}. */
export function compileMatchCondition(expression: string): MatchCondition {
  return engine().compileMatchCondition(expression);
}

/** A rule for values of the type. Throws {@link RuleFault}. */
export function compileRule(rule: ValidationRule, type: CelType): CompiledRule {
  return engine().compileRule(rule, type);
}
