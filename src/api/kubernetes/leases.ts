/** Leases: who leads, and which nodes live. */
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';

export type Lease = KubernetesObject<'coordination.v1.Lease'>;

/** kubernetes pkg/apis/coordination/validation. */
function leaseIssues({ spec }: Lease): Issue[] {
  const issues: Issue[] = [];
  const { leaseDurationSeconds, leaseTransitions } = spec ?? {};
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    const detail = 'must be greater than 0';
    issues.push({ type: 'Invalid', path: 'spec.leaseDurationSeconds', value: leaseDurationSeconds, detail });
  }
  if (leaseTransitions !== undefined && leaseTransitions < 0) {
    const detail = 'must be greater than or equal to 0';
    issues.push({ type: 'Invalid', path: 'spec.leaseTransitions', value: leaseTransitions, detail });
  }
  return issues;
}

export const leases = kubernetesResource('coordination.v1.Lease', {
  group: 'coordination.k8s.io',
  plural: 'leases',
  tracksGeneration: false,
  columns: [column('Holder'), ageColumn],
  cells: (lease, now) => [lease.spec?.holderIdentity ?? '', ageOf(lease, now)],
  issues: leaseIssues,
});
