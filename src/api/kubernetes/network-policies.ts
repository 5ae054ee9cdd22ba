/** NetworkPolicies: checked and stored. Nothing enforces them on one machine. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { oneOf } from './field-issues.ts';
import { portNameFault, portNumberFault } from './names.ts';
import { formatSelector, selectorIssues } from './selectors.ts';

export type NetworkPolicy = KubernetesObject<'networking.v1.NetworkPolicy'>;
type Peer = KubernetesTypes['networking.v1.NetworkPolicyPeer'];
type Port = KubernetesTypes['networking.v1.NetworkPolicyPort'];

function portIssues(port: Port, at: string): Issue[] {
  const issues = oneOf(port.protocol, `${at}.protocol`, ['SCTP', 'TCP', 'UDP']);
  const value = port.port;
  if (value !== undefined) {
    const fault = typeof value === 'number' ? portNumberFault(value) : portNameFault(value);
    if (fault) issues.push({ type: 'Invalid', path: `${at}.port`, value, detail: fault });
  }
  if (port.endPort === undefined) return issues;
  const path = `${at}.endPort`;
  if (typeof value !== 'number') {
    const detail = 'may not be specified when `port` is non-numeric';
    issues.push({ type: 'Invalid', path, value: port.endPort, detail });
  } else if (port.endPort < value) {
    issues.push({
      type: 'Invalid',
      path,
      value: port.endPort,
      detail: 'must be greater than or equal to `port`',
    });
  }
  return issues;
}

const cidrForm = /^(\d{1,3}(\.\d{1,3}){3}\/\d{1,2}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\/\d{1,3})$/;

function peerIssues(peer: Peer, at: string): Issue[] {
  const { ipBlock, namespaceSelector, podSelector } = peer;
  if (!ipBlock && !namespaceSelector && !podSelector) {
    return [{ type: 'Required', path: at, detail: 'must specify a peer' }];
  }
  const issues = [
    ...(podSelector ? selectorIssues(podSelector, `${at}.podSelector`) : []),
    ...(namespaceSelector ? selectorIssues(namespaceSelector, `${at}.namespaceSelector`) : []),
  ];
  if (!ipBlock) return issues;
  if (podSelector ?? namespaceSelector) {
    issues.push({ type: 'Forbidden', path: at, detail: 'may not specify both ipBlock and another peer' });
  }
  const blocks = [
    [`${at}.ipBlock.cidr`, ipBlock.cidr] as const,
    ...(ipBlock.except ?? []).map((cidr, i) => [`${at}.ipBlock.except[${i}]`, cidr] as const),
  ];
  for (const [path, cidr] of blocks) {
    if (cidrForm.test(cidr)) continue;
    const detail = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
    issues.push({ type: 'Invalid', path, value: cidr, detail });
  }
  return issues;
}

function policyIssues({ spec }: NetworkPolicy): Issue[] {
  const issues: Issue[] = spec?.podSelector ? selectorIssues(spec.podSelector, 'spec.podSelector') : [];
  const rules = [
    ...(spec?.ingress ?? []).map((rule, i) => ({
      at: `spec.ingress[${i}]`,
      way: 'from',
      ports: rule.ports,
      peers: rule.from,
    })),
    ...(spec?.egress ?? []).map((rule, i) => ({
      at: `spec.egress[${i}]`,
      way: 'to',
      ports: rule.ports,
      peers: rule.to,
    })),
  ];
  for (const { at, way, ports = [], peers = [] } of rules) {
    ports.forEach((port, i) => issues.push(...portIssues(port, `${at}.ports[${i}]`)));
    peers.forEach((peer, i) => issues.push(...peerIssues(peer, `${at}.${way}[${i}]`)));
  }
  const types = spec?.policyTypes ?? [];
  if (types.length > 2) {
    const detail = 'may not specify more than two policyTypes';
    issues.push({ type: 'Invalid', path: 'spec.policyTypes', value: types, detail });
  }
  types.forEach((type, i) => {
    issues.push(...oneOf(type, `spec.policyTypes[${i}]`, ['Egress', 'Ingress']));
  });
  return issues;
}

export const networkPolicies = kubernetesResource('networking.v1.NetworkPolicy', {
  group: 'networking.k8s.io',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  columns: [column('Pod-Selector'), ageColumn],
  cells: (policy, now) => [formatSelector(policy.spec?.podSelector), ageOf(policy, now)],
  mutate({ spec }) {
    if (!spec) return;
    spec.policyTypes ??= spec.egress ? ['Ingress', 'Egress'] : ['Ingress'];
    for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of ports) port.protocol ??= 'TCP';
    }
  },
  issues: policyIssues,
});
