/** Services and what is behind them: Endpoints and EndpointSlices. */
import { deepEqual } from '../../base/json.ts';
import { isIP } from 'node:net';
import type { AdmissionContext, Issue } from '../resource.ts';
import { abbreviate, ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { labelIssues } from './metadata.ts';
import { dnsLabelFault, dnsSubdomainFault, portNameFault, portNumberFault } from './names.ts';
import { formatLabels } from './selectors.ts';
import {
  allocateClusterIp,
  assignNodePorts,
  clusterIpIssues,
  defaultServiceRange,
  headless,
  nodePortIssues,
} from './service-addresses.ts';

export { headless } from './service-addresses.ts';

export type Service = KubernetesObject<'core.v1.Service'>;
export type Endpoints = KubernetesObject<'core.v1.Endpoints'>;
export type EndpointSlice = KubernetesObject<'discovery.v1.EndpointSlice'>;
type ServiceSpec = NonNullable<Service['spec']>;

/** Every stored Service. */
const storedServices = (context: AdmissionContext): Iterable<Service> => context.stored?.(services) ?? [];

function defaultService(service: Service, context: AdmissionContext): void {
  const spec = (service.spec ??= {});
  spec.type ??= 'ClusterIP';
  spec.sessionAffinity ??= 'None';
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= { clientIP: { timeoutSeconds: 10800 } };
  }
  for (const port of spec.ports ?? []) {
    port.protocol ??= 'TCP';
    port.targetPort ??= port.port;
  }
  const old = oldOf(service, context)?.spec;
  if (old) dropTypeDependent(spec, old);
  if (spec.type === 'ExternalName') return assignNodePorts(service, old, () => storedServices(context));
  spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') spec.externalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
  const { serviceRange = defaultServiceRange } = context;
  // kubectl replace and Go clients leave the address out: it stays what it was.
  spec.clusterIP ??= spec.clusterIPs?.[0] ?? (old?.type === 'ExternalName' ? undefined : old?.clusterIP);
  spec.clusterIP ??= allocateClusterIp(service, serviceRange, storedServices(context));
  if (spec.clusterIP !== undefined) spec.clusterIPs ??= [spec.clusterIP];
  assignNodePorts(service, old, () => storedServices(context));
  spec.ipFamilies ??= ['IPv4'];
  spec.ipFamilyPolicy ??= 'SingleStack';
  if (context.operation === 'CREATE') service.status ??= {};
  if (context.operation === 'CREATE' && service.status) service.status.loadBalancer ??= {};
}

/** Members that only some types have. */
const ofTypes: readonly {
  readonly members: readonly (keyof ServiceSpec)[];
  readonly types: readonly string[];
}[] = [
  {
    members: ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'],
    types: ['ClusterIP', 'NodePort', 'LoadBalancer'],
  },
  { members: ['externalName'], types: ['ExternalName'] },
  { members: ['externalTrafficPolicy'], types: ['NodePort', 'LoadBalancer'] },
  { members: ['allocateLoadBalancerNodePorts', 'loadBalancerClass'], types: ['LoadBalancer'] },
];

/**
 * A client that changes the type need not know what goes with it: what the old type had, the new one cannot have, and the
 * client left as it was, is dropped (kubernetes pkg/registry/core/service `dropTypeDependentFields`).
 */
function dropTypeDependent(spec: ServiceSpec, old: ServiceSpec): void {
  const { type = '' } = spec;
  for (const { members, types } of ofTypes) {
    if (types.includes(type) || !types.includes(old.type ?? '')) continue;
    for (const member of members) if (deepEqual(spec[member], old[member])) delete spec[member];
  }
}

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];

function serviceIssues(service: Service, context: AdmissionContext): Issue[] {
  const spec = service.spec ?? {};
  const issues: Issue[] = [];
  const old = oldOf(service, context)?.spec;
  const needsPorts = spec.type !== 'ExternalName' && spec.clusterIP !== headless;
  if (needsPorts && !spec.ports?.length) issues.push({ type: 'Required', path: 'spec.ports', detail: '' });
  if (spec.type && !types.includes(spec.type)) {
    const detail = `supported values: ${types.map((name) => JSON.stringify(name)).join(', ')}`;
    issues.push({ type: 'NotSupported', path: 'spec.type', value: spec.type, detail });
  }
  if (spec.sessionAffinity && !['ClientIP', 'None'].includes(spec.sessionAffinity)) {
    const detail = 'supported values: "ClientIP", "None"';
    issues.push({ type: 'NotSupported', path: 'spec.sessionAffinity', value: spec.sessionAffinity, detail });
  }
  issues.push(...portIssues(spec), ...labelIssues(spec.selector, 'spec.selector'));
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) issues.push({ type: 'Required', path: 'spec.externalName', detail: '' });
    const fault = spec.externalName ? dnsSubdomainFault(spec.externalName.replace(/\.$/, '')) : undefined;
    if (fault)
      issues.push({ type: 'Invalid', path: 'spec.externalName', value: spec.externalName, detail: fault });
    if (spec.clusterIP) {
      const detail = 'may not be set when `type` is ExternalName';
      issues.push({ type: 'Forbidden', path: 'spec.clusterIP', detail });
    }
  } else {
    const { serviceRange = defaultServiceRange } = context;
    issues.push(
      ...clusterIpIssues(service, old, serviceRange, storedServices(context)),
      ...nodePortIssues(service, context, () => storedServices(context)),
    );
  }
  return issues;
}

function portIssues(spec: ServiceSpec): Issue[] {
  const issues: Issue[] = [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  const ports = spec.ports ?? [];
  ports.forEach((port, i) => {
    const at = `spec.ports[${i}]`;
    if (port.name) {
      const fault = dnsLabelFault(port.name);
      if (fault) issues.push({ type: 'Invalid', path: `${at}.name`, value: port.name, detail: fault });
      if (names.has(port.name)) {
        issues.push({ type: 'Duplicate', path: `${at}.name`, value: port.name, detail: '' });
      }
      names.add(port.name);
    } else if (ports.length > 1) {
      issues.push({ type: 'Required', path: `${at}.name`, detail: '' });
    }
    const fault = portNumberFault(port.port);
    if (fault) issues.push({ type: 'Invalid', path: `${at}.port`, value: port.port, detail: fault });
    if (port.protocol && !['SCTP', 'TCP', 'UDP'].includes(port.protocol)) {
      const detail = 'supported values: "SCTP", "TCP", "UDP"';
      issues.push({ type: 'NotSupported', path: `${at}.protocol`, value: port.protocol, detail });
    }
    const target = port.targetPort;
    const targetFault =
      typeof target === 'number' ? portNumberFault(target) : target && portNameFault(target);
    if (targetFault) {
      issues.push({ type: 'Invalid', path: `${at}.targetPort`, value: target, detail: targetFault });
    }
    const id = `${port.protocol}:${port.port}`;
    if (numbers.has(id)) {
      const value = { port: port.port, protocol: port.protocol };
      issues.push({ type: 'Duplicate', path: at, value, detail: '' });
    }
    numbers.add(id);
  });
  return issues;
}

function externalAddress(service: Service): string {
  const { type, externalName, externalIPs = [] } = service.spec ?? {};
  if (type === 'ExternalName') return externalName ?? '<none>';
  const balancer = service.status?.loadBalancer?.ingress ?? [];
  const addresses = [...balancer.map((entry) => entry.ip ?? entry.hostname ?? ''), ...externalIPs];
  if (type === 'LoadBalancer') return addresses.length ? addresses.join(',') : '<pending>';
  return externalIPs.length ? externalIPs.join(',') : '<none>';
}

function portText(spec: ServiceSpec | undefined): string {
  const ports = (spec?.ports ?? []).map((port) =>
    port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`,
  );
  return ports.length ? ports.join(',') : '<none>';
}

export const services = kubernetesResource('core.v1.Service', {
  plural: 'services',
  shortNames: ['svc'],
  categories: ['all'],
  subresources: { status: true },
  tracksGeneration: false,
  columns: [
    column('Type'),
    column('Cluster-IP'),
    column('External-IP'),
    column('Port(s)'),
    ageColumn,
    column('Selector', 'wide'),
  ],
  cells: (service, now) => [
    service.spec?.type ?? 'ClusterIP',
    service.spec?.clusterIP ?? '<none>',
    externalAddress(service),
    portText(service.spec),
    ageOf(service, now),
    formatLabels(service.spec?.selector),
  ],
  mutate: defaultService,
  issues: serviceIssues,
});

function endpointsText(endpoints: Endpoints): string {
  const entries = (endpoints.subsets ?? []).flatMap((subset) => {
    const addresses = subset.addresses ?? [];
    if (!subset.ports?.length) return addresses.map((address) => address.ip);
    return subset.ports.flatMap((port) => addresses.map((address) => `${address.ip}:${port.port}`));
  });
  return abbreviate(entries, 3, '<none>');
}

const addressWords = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Loopback addresses are allowed, unlike upstream: pods of the process driver have no other. */
function endpointsIssues({ subsets = [] }: Endpoints): Issue[] {
  const issues: Issue[] = [];
  subsets.forEach((subset, i) => {
    const at = `subsets[${i}]`;
    if (!subset.addresses?.length && !subset.notReadyAddresses?.length) {
      const detail = 'must specify `addresses` or `notReadyAddresses`';
      issues.push({ type: 'Required', path: at, detail });
    }
    for (const member of ['addresses', 'notReadyAddresses'] as const) {
      (subset[member] ?? []).forEach(({ ip }, j) => {
        if (isIP(ip) !== 0) return;
        issues.push({ type: 'Invalid', path: `${at}.${member}[${j}].ip`, value: ip, detail: addressWords });
      });
    }
    (subset.ports ?? []).forEach((port, j) => {
      const path = `${at}.ports[${j}]`;
      const fault = portNumberFault(port.port);
      if (fault) issues.push({ type: 'Invalid', path: `${path}.port`, value: port.port, detail: fault });
      if (!port.name && (subset.ports?.length ?? 0) > 1) {
        issues.push({ type: 'Required', path: `${path}.name`, detail: '' });
      }
    });
  });
  return issues;
}

export const endpoints = kubernetesResource('core.v1.Endpoints', {
  plural: 'endpoints',
  shortNames: ['ep'],
  tracksGeneration: false,
  columns: [column('Endpoints'), ageColumn],
  cells: (object, now) => [endpointsText(object), ageOf(object, now)],
  mutate(object) {
    for (const subset of object.subsets ?? []) {
      for (const port of subset.ports ?? []) port.protocol ??= 'TCP';
    }
  },
  issues: endpointsIssues,
});

function slicePorts(slice: EndpointSlice): string {
  const ports = (slice.ports ?? []).map((port) => (port.port === undefined ? '*' : String(port.port)));
  return abbreviate(ports, 3, '<unset>');
}

const maxSliceAddresses = 100;

function sliceAddressIssues(
  { addressType }: EndpointSlice,
  endpoint: Partial<NonNullable<EndpointSlice['endpoints']>[number]>,
  i: number,
): Issue[] {
  const { addresses = [] } = endpoint;
  const path = `endpoints[${i}].addresses`;
  if (addresses.length === 0) {
    return [{ type: 'Required', path, detail: 'must contain at least 1 address' }];
  }
  if (addresses.length > maxSliceAddresses) {
    const detail = `must have at most ${maxSliceAddresses} items`;
    return [{ type: 'TooMany', path, value: addresses.length, detail }];
  }
  return addresses.flatMap((value, j): Issue[] => {
    const at = `${path}[${j}]`;
    const family = { IPv4: 4, IPv6: 6 }[addressType];
    const fault = family === undefined ? dnsSubdomainFault(value) : undefined;
    if (fault) return [{ type: 'Invalid', path: at, value, detail: fault }];
    if (family === undefined || isIP(value) === family) return [];
    const detail = family === 4 ? 'must be a valid IPv4 address' : 'must be a valid IPv6 address';
    return [{ type: 'Invalid', path: at, value, detail }];
  });
}

export const endpointSlices = kubernetesResource('discovery.v1.EndpointSlice', {
  group: 'discovery.k8s.io',
  plural: 'endpointslices',
  columns: [column('AddressType'), column('Ports'), column('Endpoints'), ageColumn],
  cells: (slice, now) => [
    slice.addressType,
    slicePorts(slice),
    abbreviate(
      (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
      3,
      '<unset>',
    ),
    ageOf(slice, now),
  ],
  mutate(slice) {
    for (const port of slice.ports ?? []) {
      port.protocol ??= 'TCP';
      port.name ??= '';
    }
  },
  issues(slice, context) {
    const old = oldOf(slice, context);
    const supported = ['FQDN', 'IPv4', 'IPv6'];
    const issues: Issue[] = [];
    if (!supported.includes(slice.addressType)) {
      const detail = `supported values: ${supported.map((name) => JSON.stringify(name)).join(', ')}`;
      issues.push({ type: 'NotSupported', path: 'addressType', value: slice.addressType, detail });
    }
    if (old && old.addressType !== slice.addressType) {
      issues.push({
        type: 'Invalid',
        path: 'addressType',
        value: slice.addressType,
        detail: 'field is immutable',
      });
    }
    (slice.endpoints ?? []).forEach((endpoint, i) => issues.push(...sliceAddressIssues(slice, endpoint, i)));
    if ((slice.endpoints?.length ?? 0) > 1000) {
      issues.push({
        type: 'TooMany',
        path: 'endpoints',
        value: slice.endpoints?.length,
        detail: 'must have at most 1000 items',
      });
    }
    return issues;
  },
});
