/** Which expressions of a policy do not fit the kinds that it is about (…/policy/validating/typechecking.go). */
import type { PolicySpec } from '../../../api/kubernetes/admission-policies.ts';
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import { apiVersionOf, type ResourceDef } from '../../../api/resource.ts';
import type { ResourceSource } from '../../resource-registry.ts';
import { CelCompileError, compileAdmission, kindType, type AdmissionEnvironment } from '../cel/index.ts';

export type ExpressionWarning = KubernetesTypes['admissionregistration.v1.ExpressionWarning'];
type Served = Pick<ResourceSource, 'resources'>;
type Variables = NonNullable<AdmissionEnvironment['variables']>;

/** Kinds that are looked at, of those that a rule names. */
const maxKinds = 10;

/** Empty when nothing is wrong, or nothing is known of the kinds. */
export function typeWarnings(spec: PolicySpec, served: Served): ExpressionWarning[] {
  const kinds = namedKinds(spec, served).map((def) => ({ def, environment: typed(spec, def, served) }));
  const warnings: ExpressionWarning[] = [];
  const look = (fieldRef: string, text: string | undefined): void => {
    if (!text) return;
    const faults = kinds.flatMap(({ def, environment }) => faultIn(text, def, environment));
    if (faults.length > 0) warnings.push({ fieldRef, warning: faults.join('\n') });
  };
  for (const [i, { expression, messageExpression }] of (spec.validations ?? []).entries()) {
    look(`spec.validations[${i}].expression`, expression);
    look(`spec.validations[${i}].messageExpression`, messageExpression);
  }
  return warnings;
}

/** Kinds that rules name without wildcards, in the order of their names. */
function namedKinds({ matchConstraints }: PolicySpec, { resources }: Served): ResourceDef[] {
  const found = new Set<ResourceDef>();
  for (const rule of matchConstraints?.resourceRules ?? []) {
    const { apiGroups = [], apiVersions = [] } = rule;
    if ([...apiGroups, ...apiVersions].some((word) => word.includes('*'))) continue;
    const plurals = (rule.resources ?? []).filter((word) => !/[*/]/.test(word));
    const matching = resources.filter(
      ({ group, version, plural }) =>
        apiGroups.includes(group) && apiVersions.includes(version) && plurals.includes(plural),
    );
    for (const def of matching.slice(0, maxKinds)) found.add(def);
  }
  const nameOf = ({ group, version, kind }: ResourceDef): string => `${group}\0${version}\0${kind}`;
  return [...found].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** What expressions know when the object is of one kind. Types of variables follow from it. */
function typed(spec: PolicySpec, def: ResourceDef, { resources }: Served): AdmissionEnvironment {
  const { paramKind } = spec;
  const params =
    paramKind &&
    resources.find((other) => other.kind === paramKind.kind && apiVersionOf(other) === paramKind.apiVersion);
  const environment: AdmissionEnvironment = {
    hasAuthorizer: true,
    hasParams: paramKind !== undefined,
    objectType: kindType(def),
    ...(params ? { paramsType: kindType(params) } : {}),
  };
  if (!spec.variables?.length) return environment;
  const variables = new Map<string, Variables extends ReadonlyMap<string, infer T> ? T : never>();
  const composed = { ...environment, variables };
  for (const { name, expression } of spec.variables) {
    try {
      variables.set(name, compileAdmission(expression, composed, []).type);
    } catch (error) {
      if (!(error instanceof CelCompileError)) throw error;
      variables.set(name, { kind: 'dyn' });
    }
  }
  return composed;
}

function faultIn(text: string, def: ResourceDef, environment: AdmissionEnvironment): string[] {
  try {
    compileAdmission(text, environment, []);
    return [];
  } catch (error) {
    if (!(error instanceof CelCompileError)) throw error;
    return [`${def.group}/${def.version}, Kind=${def.kind}: ${error.message}\n`];
  }
}
