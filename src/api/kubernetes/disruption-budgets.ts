/** PodDisruptionBudget: how many pods of a set must stay when others are evicted. */
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column, integerColumn } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { selectorIssues } from './selectors.ts';

export type PodDisruptionBudget = KubernetesObject<'policy.v1.PodDisruptionBudget'>;

/** Type and reasons of the budget's one condition (policy/v1). */
export const disruptionAllowed = 'DisruptionAllowed';

function amountIssues(value: number | string | undefined, path: string): Issue[] {
  if (value === undefined) return [];
  if (typeof value === 'number') {
    if (value >= 0) return [];
    return [{ type: 'Invalid', path, value, detail: 'must be greater than or equal to 0' }];
  }
  if (!/^[0-9]+%$/.test(value)) {
    const detail =
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    return [{ type: 'Invalid', path, value, detail }];
  }
  if (Number.parseInt(value, 10) <= 100) return [];
  return [{ type: 'Invalid', path, value, detail: 'must not be greater than 100%' }];
}

export const podDisruptionBudgets = kubernetesResource('policy.v1.PodDisruptionBudget', {
  group: 'policy',
  plural: 'poddisruptionbudgets',
  shortNames: ['pdb'],
  subresources: { status: true },
  columns: [
    column('Min Available'),
    column('Max Unavailable'),
    integerColumn('Allowed Disruptions'),
    ageColumn,
  ],
  cells: (budget, now) => [
    String(budget.spec?.minAvailable ?? 'N/A'),
    String(budget.spec?.maxUnavailable ?? 'N/A'),
    budget.status?.disruptionsAllowed ?? 0,
    ageOf(budget, now),
  ],
  mutate({ status }) {
    if (!status) return;
    status.disruptionsAllowed ??= 0;
    status.currentHealthy ??= 0;
    status.desiredHealthy ??= 0;
    status.expectedPods ??= 0;
  },
  issues({ spec }) {
    const issues: Issue[] = [];
    if (spec?.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
      const detail = 'minAvailable and maxUnavailable cannot be both set';
      issues.push({ type: 'Invalid', path: 'spec', value: spec, detail });
    }
    issues.push(
      ...amountIssues(spec?.minAvailable, 'spec.minAvailable'),
      ...amountIssues(spec?.maxUnavailable, 'spec.maxUnavailable'),
    );
    const policy = spec?.unhealthyPodEvictionPolicy;
    if (policy !== undefined && !['AlwaysAllow', 'IfHealthyBudget'].includes(policy)) {
      const detail = 'supported values: "AlwaysAllow", "IfHealthyBudget"';
      const path = 'spec.unhealthyPodEvictionPolicy';
      issues.push({ type: 'NotSupported', path, value: policy, detail });
    }
    if (spec?.selector) issues.push(...selectorIssues(spec.selector, 'spec.selector'));
    return issues;
  },
});
