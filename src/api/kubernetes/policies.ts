/** Kinds that are data to Knapsack: leases, classes and policies. */
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { formatSelector } from './selectors.ts';

export type Lease = KubernetesObject<'coordination.v1.Lease'>;

export const leases = kubernetesResource('coordination.v1.Lease', {
  group: 'coordination.k8s.io',
  plural: 'leases',
  tracksGeneration: false,
  columns: [column('Holder'), ageColumn],
  cells: (lease, now) => [lease.spec?.holderIdentity ?? '', ageOf(lease, now)],
});

export const networkPolicies = kubernetesResource('networking.v1.NetworkPolicy', {
  group: 'networking.k8s.io',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  columns: [column('Pod-Selector'), ageColumn],
  cells: (policy, now) => [formatSelector(policy.spec?.podSelector), ageOf(policy, now)],
  mutate(policy) {
    if (policy.spec) policy.spec.policyTypes ??= policy.spec.egress ? ['Ingress', 'Egress'] : ['Ingress'];
  },
});

export const ingressClasses = kubernetesResource('networking.v1.IngressClass', {
  group: 'networking.k8s.io',
  plural: 'ingressclasses',
  namespaced: false,
  columns: [column('Controller'), column('Parameters'), ageColumn],
  cells: (item, now) => [
    item.spec?.controller ?? '',
    item.spec?.parameters ? `${item.spec.parameters.kind}/${item.spec.parameters.name}` : '<none>',
    ageOf(item, now),
  ],
});

export const ingresses = kubernetesResource('networking.v1.Ingress', {
  group: 'networking.k8s.io',
  plural: 'ingresses',
  shortNames: ['ing'],
  subresources: { status: true },
  columns: [column('Class'), column('Hosts'), column('Address'), column('Ports'), ageColumn],
  cells: (ingress, now) => [
    ingress.spec?.ingressClassName ?? '<none>',
    (ingress.spec?.rules ?? []).map((rule) => rule.host ?? '*').join(',') || '*',
    (ingress.status?.loadBalancer?.ingress ?? []).map((entry) => entry.ip ?? entry.hostname ?? '').join(','),
    ingress.spec?.tls?.length ? '80, 443' : '80',
    ageOf(ingress, now),
  ],
});
