/** The expressions of one ValidatingAdmissionPolicy, and what they say of a request (…/policy/validating/validator.go). */
import type { PolicySpec } from '../../../api/kubernetes/admission-policies.ts';
import { messageOf } from '../../../base/errors.ts';
import {
  CelEvaluationError,
  compileAdmission,
  makeAdmissionEvaluation,
  OutOfBudget,
  type AdmissionEnvironment,
  type AdmissionEvaluation,
  type AdmissionExpression,
  type AdmissionInput,
} from '../cel/index.ts';

/** Units that the conditions, and then the rules with their messages, may spend on one request; as kube-apiserver. */
const conditionBudget = 2_500_000;
const ruleBudget = 10_000_000;
/** Bytes of a message that an expression makes. */
const maxMessage = 5 * 1024;

/** A rule that was broken, or an expression that failed and so counts as one. */
export interface Failure {
  /** Position of the rule among the policy's validations. */
  readonly index: number;
  readonly message: string;
  /** Absent: Invalid. */
  readonly reason?: string;
}

export interface Findings {
  /** What the binding's actions are about. */
  readonly failures: readonly Failure[];
  readonly annotations: readonly { readonly key: string; readonly value: string }[];
  /** Annotations that could not be made refuse the request, whatever the actions are. */
  readonly refusals: readonly string[];
}

const nothing: Findings = { failures: [], annotations: [], refusals: [] };

interface CompiledRule {
  readonly expression: AdmissionExpression;
  readonly messageExpression: AdmissionExpression | undefined;
  readonly message: string;
  readonly reason: string | undefined;
}

/** The environment in which the expressions of a policy are compiled, once its variables are. */
export function policyEnvironment(spec: PolicySpec): AdmissionEnvironment {
  return { hasAuthorizer: true, hasParams: spec.paramKind !== undefined };
}

export class CompiledPolicy {
  readonly #failsOpen: boolean;
  readonly #conditions: readonly AdmissionExpression[];
  readonly #variables = new Map<string, AdmissionExpression>();
  readonly #rules: readonly CompiledRule[];
  readonly #annotations: readonly { readonly key: string; readonly expression: AdmissionExpression }[];

  /** Throws CelCompileError. */
  constructor(spec: PolicySpec) {
    const plain = policyEnvironment(spec);
    this.#failsOpen = spec.failurePolicy === 'Ignore';
    this.#conditions = (spec.matchConditions ?? []).map(({ expression }) =>
      compileAdmission(expression.trim(), plain, ['bool']),
    );
    const types = new Map<string, AdmissionExpression['type']>();
    const environment: AdmissionEnvironment = spec.variables?.length ? { ...plain, variables: types } : plain;
    for (const { name, expression } of spec.variables ?? []) {
      const compiled = compileAdmission(expression, environment, []);
      this.#variables.set(name, compiled);
      types.set(name, compiled.type);
    }
    const messages: AdmissionEnvironment = { ...environment, hasAuthorizer: false };
    this.#rules = (spec.validations ?? []).map((rule) => ({
      expression: compileAdmission(rule.expression, environment, ['bool']),
      messageExpression: rule.messageExpression
        ? compileAdmission(rule.messageExpression, messages, ['string'])
        : undefined,
      message: rule.message?.trim() ?? '',
      reason: rule.reason,
    }));
    this.#annotations = (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
      key,
      expression: compileAdmission(valueExpression.trim(), environment, ['string', 'null']),
    }));
  }

  evaluate(input: AdmissionInput): Findings {
    try {
      if (!this.#meetsConditions(input)) return nothing;
      const evaluation = makeAdmissionEvaluation(input, ruleBudget, this.#variables);
      const failures = this.#rules.flatMap((rule, index) => this.#check(rule, index, evaluation));
      return { ...this.#annotate(input), failures };
    } catch (error) {
      if (!(error instanceof OutOfBudget || error instanceof ConditionError)) throw error;
      return this.#failsOpen ? nothing : { ...nothing, failures: [{ index: 0, message: error.message }] };
    }
  }

  /** A condition that is false decides; one that fails, and none is false, is a failure of the policy. */
  #meetsConditions(input: AdmissionInput): boolean {
    if (this.#conditions.length === 0) return true;
    const evaluation = makeAdmissionEvaluation(input, conditionBudget);
    const faults: string[] = [];
    for (const condition of this.#conditions) {
      try {
        if (evaluation.run(condition) !== true) return false;
      } catch (error) {
        if (!(error instanceof CelEvaluationError)) throw error;
        faults.push(error.message);
      }
    }
    if (faults.length === 0) return true;
    throw new ConditionError(faults.length === 1 ? faults.join('') : `[${faults.join(', ')}]`);
  }

  #check(rule: CompiledRule, index: number, evaluation: AdmissionEvaluation): Failure[] {
    try {
      if (evaluation.run(rule.expression) === true) return [];
    } catch (error) {
      if (!(error instanceof CelEvaluationError)) throw error;
      return this.#failsOpen ? [] : [{ index, message: messageOf(error) }];
    }
    const message = this.#message(rule, evaluation);
    return [{ index, message, ...(rule.reason === undefined ? {} : { reason: rule.reason }) }];
  }

  /** An expression that gives no message is no reason to say nothing: the rule itself is told. */
  #message(rule: CompiledRule, evaluation: AdmissionEvaluation): string {
    const otherwise = rule.message || `failed expression: ${rule.expression.text.trim()}`;
    if (!rule.messageExpression) return otherwise;
    try {
      const given = evaluation.run(rule.messageExpression);
      const text = typeof given === 'string' ? given.trim() : '';
      const isUsable = text !== '' && !text.includes('\n') && Buffer.byteLength(text) <= maxMessage;
      return isUsable ? text : otherwise;
    } catch (error) {
      if (error instanceof CelEvaluationError) return otherwise;
      throw error;
    }
  }

  #annotate(input: AdmissionInput): Findings {
    if (this.#annotations.length === 0) return nothing;
    const evaluation = makeAdmissionEvaluation(input, ruleBudget, this.#variables);
    const annotations: { key: string; value: string }[] = [];
    const refusals: string[] = [];
    for (const { key, expression } of this.#annotations) {
      try {
        const value = evaluation.run(expression);
        if (typeof value === 'string' && value.trim() !== '') annotations.push({ key, value: value.trim() });
      } catch (error) {
        if (!(error instanceof CelEvaluationError)) throw error;
        if (!this.#failsOpen) refusals.push(error.message);
      }
    }
    return { ...nothing, annotations, refusals };
  }
}

class ConditionError extends Error {}
