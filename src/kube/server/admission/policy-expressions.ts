/** Expressions of ValidatingAdmissionPolicies must compile: a policy that cannot would refuse every write that it is about. */
import {
  validatingAdmissionPolicies,
  type PolicySpec,
  type ValidatingAdmissionPolicy,
} from '../../../api/kubernetes/admission-policies.ts';
import type { Issue } from '../../../api/resource.ts';
import {
  CelCompileError,
  compileAdmission,
  type AdmissionEnvironment,
  type AdmissionExpression,
} from '../cel/index.ts';
import { policyEnvironment } from '../policies/compiled-policy.ts';
import type { AdmissionPlugin } from '../service/admission-plugin.ts';
import { invalid } from '../service/errors.ts';

type Returns = Parameters<typeof compileAdmission>[2];

export const policyExpressions: AdmissionPlugin = {
  name: 'PolicyExpressions',
  validate({ def, name, object, subresource }) {
    if (!object || subresource || def.plural !== validatingAdmissionPolicies.plural) return;
    if (def.group !== validatingAdmissionPolicies.group) return;
    const issues = expressionIssues((object as ValidatingAdmissionPolicy).spec ?? {});
    if (issues.length > 0) throw invalid(def, name, issues);
  },
};

function expressionIssues(spec: PolicySpec): Issue[] {
  const issues: Issue[] = [];
  const compile = (
    path: string,
    text: string,
    environment: AdmissionEnvironment,
    returns: Returns,
  ): AdmissionExpression | undefined => {
    try {
      return compileAdmission(text, environment, returns);
    } catch (error) {
      if (!(error instanceof CelCompileError)) throw error;
      issues.push({ type: 'Invalid', path, value: text, detail: error.message });
      return undefined;
    }
  };
  const plain = policyEnvironment(spec);
  for (const [i, { expression }] of (spec.matchConditions ?? []).entries()) {
    compile(`spec.matchConditions[${i}].expression`, expression.trim(), plain, ['bool']);
  }
  const types = new Map<string, AdmissionExpression['type']>();
  const environment = spec.variables?.length ? { ...plain, variables: types } : plain;
  for (const [i, { name, expression }] of (spec.variables ?? []).entries()) {
    const compiled = compile(`spec.variables[${i}].expression`, expression, environment, []);
    types.set(name, compiled?.type ?? { kind: 'dyn' });
  }
  for (const [i, { expression, messageExpression }] of (spec.validations ?? []).entries()) {
    const path = `spec.validations[${i}]`;
    compile(`${path}.expression`, expression, environment, ['bool']);
    if (!messageExpression) continue;
    const messages = { ...environment, hasAuthorizer: false };
    compile(`${path}.messageExpression`, messageExpression, messages, ['string']);
  }
  for (const [i, { valueExpression }] of (spec.auditAnnotations ?? []).entries()) {
    const path = `spec.auditAnnotations[${i}].valueExpression`;
    compile(path, valueExpression.trim(), environment, ['string', 'null']);
  }
  return issues;
}
