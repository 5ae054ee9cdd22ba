/** `matchConditions` of admission webhooks: whether a webhook wants to see a request. */
import {
  AdmissionEvaluation,
  compileAdmission,
  type AdmissionEnvironment,
  type AdmissionInput,
} from './admission-expression.ts';

export type MatchInput = AdmissionInput;

export interface MatchCondition {
  /** Throws {@link CelEvaluationError}: what that means is up to the webhook's failure policy. */
  matches(input: MatchInput): boolean;
}

const environment: AdmissionEnvironment = { hasAuthorizer: true, hasParams: false };
/** Units that one condition may spend; as kube-apiserver. */
const evaluationBudget = 1_000_000;

/** Throws {@link CelCompileError}. */
export function compileMatchCondition(expression: string): MatchCondition {
  const compiled = compileAdmission(expression, environment, ['bool']);
  return { matches: (input) => new AdmissionEvaluation(input, evaluationBudget).run(compiled) === true };
}
