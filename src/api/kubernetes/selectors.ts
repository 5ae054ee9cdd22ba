/** Label selectors as objects carry them (metav1.LabelSelector). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { labelKeyFault, labelValueFault } from './names.ts';

export type LabelSelector = KubernetesTypes['meta.v1.LabelSelector'];
export type Labels = { readonly [key: string]: string };

/** Whether labels satisfy a selector. An empty selector matches everything, an absent one nothing. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (!selector) return false;
  const have = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    if (have[key] !== value) return false;
  return (selector.matchExpressions ?? []).every((requirement) =>
    matchesRequirement(requirement, have[requirement.key]),
  );
}

/** Whether a label's value (undefined: there is no such label) is as one requirement of a selector asks. */
export function matchesRequirement(
  { operator, values = [] }: { readonly operator: string; readonly values?: readonly string[] },
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** Whether labels contain all of a plain map (Service selectors). An empty map matches everything. */
export function matchesLabels(wanted: Labels, labels: Labels | undefined): boolean {
  for (const key in wanted) if (labels?.[key] !== wanted[key]) return false;
  return true;
}

/** `a=b,c in (d,e),!f`: a selector in the query syntax, sorted by key, as kubectl prints it. */
export function formatSelector(selector: LabelSelector | undefined): string {
  if (!selector) return '<none>';
  const parts: [string, string][] = Object.entries(selector.matchLabels ?? {}).map(([k, v]) => [
    k,
    `${k}=${v}`,
  ]);
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const set = `(${[...values].sort().join(',')})`;
    const text =
      operator === 'Exists'
        ? key
        : operator === 'DoesNotExist'
          ? `!${key}`
          : `${key} ${operator === 'In' ? 'in' : 'notin'} ${set}`;
    parts.push([key, text]);
  }
  return parts.length
    ? parts
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([, text]) => text)
        .join(',')
    : '<none>';
}

/** `a=b,c=d` of a plain map, sorted by key; `<none>` when empty. */
export function formatLabels(labels: Labels | undefined): string {
  return formatSelector({ matchLabels: { ...labels } });
}

export function isEmptySelector(selector: LabelSelector): boolean {
  return (
    Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0
  );
}

/** Faults of a selector's own form. */
export function selectorIssues(selector: LabelSelector, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    const keyFault = labelKeyFault(key);
    if (keyFault) issues.push({ type: 'Invalid', path: `${path}.matchLabels`, value: key, detail: keyFault });
    const valueFault = labelValueFault(value);
    if (valueFault) issues.push({ type: 'Invalid', path: `${path}.matchLabels`, value, detail: valueFault });
  }
  (selector.matchExpressions ?? []).forEach((given, i) => {
    const at = `${path}.matchExpressions[${i}]`;
    // What the schema requires is reported, and may still be missing here.
    const requirement: Partial<typeof given> = given;
    const count = requirement.values?.length ?? 0;
    if (requirement.operator === 'In' || requirement.operator === 'NotIn') {
      if (count === 0) {
        const detail = "must be specified when `operator` is 'In' or 'NotIn'";
        issues.push({ type: 'Required', path: `${at}.values`, detail });
      }
    } else if (requirement.operator === 'Exists' || requirement.operator === 'DoesNotExist') {
      if (count > 0) {
        const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        issues.push({ type: 'Forbidden', path: `${at}.values`, detail });
      }
    } else {
      const detail = 'not a valid selector operator';
      issues.push({ type: 'Invalid', path: `${at}.operator`, value: requirement.operator, detail });
    }
    const keyFault = labelKeyFault(requirement.key ?? '');
    if (keyFault)
      issues.push({ type: 'Invalid', path: `${at}.key`, value: requirement.key, detail: keyFault });
  });
  return issues;
}
