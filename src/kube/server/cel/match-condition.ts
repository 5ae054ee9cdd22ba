/** `matchConditions` of admission webhooks: whether a webhook wants to see a request. */
import { Environment } from '@marcbachmann/cel-js';
import { messageOf } from '../../../base/errors.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { CelCompileError, CelEvaluationError } from './errors.ts';

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

/** Throws {@link CelCompileError}. */
export function compileMatchCondition(expression: string): MatchCondition {
  const environment = new Environment({ enableOptionalTypes: true })
    .registerVariable('object', 'dyn')
    .registerVariable('oldObject', 'dyn')
    .registerVariable('request', 'dyn');
  const checked = environment.check(expression);
  if (!checked.valid) throw new CelCompileError(messageOf(checked.error));
  const run = environment.parse(expression);
  return {
    matches(input) {
      let value: unknown;
      try {
        value = run({
          object: celValue(input.object),
          oldObject: celValue(input.oldObject),
          request: celValue(input.request),
        });
      } catch (error) {
        throw new CelEvaluationError(messageOf(error), { cause: error });
      }
      if (typeof value !== 'boolean') throw new CelEvaluationError('the condition is not a bool');
      return value;
    },
  };
}

function celValue(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(celValue);
  if (!isMembers(value)) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, celValue(member)]));
}
