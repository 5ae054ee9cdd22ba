/** What needs the grammar and all functions: the part that is loaded when the first expression is met. */
export { kindType } from './kind-type.ts';
export { compileMatchCondition } from './match-condition.ts';
export { compileRule } from './rules.ts';
export { AdmissionEvaluation, compileAdmission } from './admission-expression.ts';
