/** What needs the grammar and all functions: the part that is loaded when the first expression is met. */
export { compileMatchCondition } from './match-condition.ts';
export { compileRule } from './rules.ts';
