/** `matchConditions` of admission webhooks: whether a webhook wants to see a request. */
import { compile } from './compile.ts';
import { CelCompileError, CelEvaluationError } from './errors.ts';
import { Budget } from './functions/signature.ts';
import { dyn } from './types.ts';
import { Data } from './values.ts';

/** What a condition may speak of. All three are plain JSON. */
export interface MatchInput {
  /** The object after the change; null on DELETE. */
  readonly object: unknown;
  /** The object before the change; null on CREATE. */
  readonly oldObject: unknown;
  /** The AdmissionRequest (admission.k8s.io/v1) without its `object` and `oldObject`. */
  readonly request: unknown;
}

export interface MatchCondition {
  /** Throws {@link CelEvaluationError}: what that means is up to the webhook's failure policy. */
  matches(input: MatchInput): boolean;
}

/** Units that one evaluation may spend; as kube-apiserver. */
const evaluationBudget = 1_000_000;

/** Throws {@link CelCompileError}. */
export function compileMatchCondition(expression: string): MatchCondition {
  const program = compile(expression, [
    ['object', dyn],
    ['oldObject', dyn],
    ['request', dyn],
  ]);
  if (program.type.kind !== 'bool' && program.type.kind !== 'dyn') {
    throw new CelCompileError('must evaluate to bool');
  }
  return {
    matches({ object, oldObject, request }) {
      const data = new Data();
      const values = [object, oldObject, request].map((value) => data.convert(value, dyn));
      const result = program.run(values, new Budget(evaluationBudget));
      if (typeof result !== 'boolean') throw new CelEvaluationError('the condition is no bool');
      return result;
    },
  };
}
