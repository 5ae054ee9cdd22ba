/** Common Expression Language as the Kubernetes API uses it. */
export { CelCompileError, CelEvaluationError } from './errors.ts';
export { compileMatchCondition, type MatchCondition, type MatchInput } from './match-condition.ts';
export { compileRule, ruleBudget, RuleFault, selfType, type CompiledRule } from './rules.ts';
export { Budget, BudgetError } from './functions/signature.ts';
export { mostInRequest } from './schema-types.ts';
export { Data } from './values.ts';
