/**
 * Common Expression Language as the Kubernetes API uses it. Most servers never meet an expression, so what compiles them is
 * loaded by the first one; a start need not wait for it.
 */
import { createRequire } from 'node:module';
import type { ResourceDef } from '../../../api/resource.ts';
import type { ValidationRule } from '../../../api/schema.ts';
import type {
  AdmissionEnvironment,
  AdmissionEvaluation,
  AdmissionExpression,
  AdmissionInput,
  ReturnType,
} from './admission-expression.ts';
import type * as Engine from './engine.ts';
import type { MatchCondition } from './match-condition.ts';
import type { CompiledRule } from './rules.ts';
import type { CelType } from './types.ts';

export type {
  AdmissionEnvironment,
  AdmissionEvaluation,
  AdmissionExpression,
  AdmissionInput,
} from './admission-expression.ts';
export { CelCompileError, CelEvaluationError, OutOfBudget, RuleFault } from './errors.ts';
export type { AccessSource } from './functions/authorizer.ts';
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

/** An expression of an admission policy. Throws {@link CelCompileError}, also where its type is none of `returns`. */
export function compileAdmission(
  text: string,
  environment: AdmissionEnvironment,
  returns: readonly ReturnType[],
): AdmissionExpression {
  return engine().compileAdmission(text, environment, returns);
}

/** For running the expressions of a policy over one request; `units` is what all of them may cost. */
export function makeAdmissionEvaluation(
  input: AdmissionInput,
  units: number,
  variables?: ReadonlyMap<string, AdmissionExpression>,
): AdmissionEvaluation {
  return new (engine().AdmissionEvaluation)(input, units, variables);
}

/** The type of the objects of a kind. */
export function kindType(def: ResourceDef): CelType {
  return engine().kindType(def);
}

/** A rule for values of the type. Throws {@link RuleFault}. */
export function compileRule(rule: ValidationRule, type: CelType): CompiledRule {
  return engine().compileRule(rule, type);
}
