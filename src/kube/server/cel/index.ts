/** Common Expression Language as the Kubernetes API uses it. */
export { CelCompileError, CelEvaluationError } from './errors.ts';
export { compileMatchCondition, type MatchCondition, type MatchInput } from './match-condition.ts';
