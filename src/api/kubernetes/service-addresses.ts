/** What a Service is given when it is stored: its cluster IP and the node ports (kubernetes pkg/registry/core/service). */
import { randomInt } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { AdmissionContext, Issue } from '../resource.ts';
import type { Service } from './services.ts';

type ServiceSpec = NonNullable<Service['spec']>;
/** Every stored Service; empty where no embedded store is asked, which does the same checks again. */
type Stored = Iterable<Service>;

/** The value of `spec.clusterIP` of a headless service. */
export const headless = 'None';

/** Where nobody chose another: Kubernetes' own custom. */
export const defaultServiceRange = '10.96.0.0/16';

/** kube-apiserver's default of `--service-node-port-range`. */
const firstNodePort = 30_000;
const lastNodePort = 32_767;

/** `10.96.` of `10.96.0.0/16`. Ranges are /16. */
function prefixOf(range: string): string {
  return `${range.split('.').slice(0, 2).join('.')}.`;
}

/** The address of the API server's own Service, the first of the range. */
export function apiServiceAddress(range: string): string {
  return `${prefixOf(range)}0.1`;
}

/** True for an address of the range. */
export function isInRange(address: string, range: string): boolean {
  return isIPv4(address) && address.startsWith(prefixOf(range));
}

/** A free address of the service range; undefined when it is used up. */
export function allocateClusterIp(service: Service, range: string, stored: Stored): string | undefined {
  const { namespace, name } = service.metadata;
  if (namespace === 'default' && name === 'kubernetes') return apiServiceAddress(range);
  // .0.10 is that of DNS, by custom.
  const taken = new Set([apiServiceAddress(range), `${prefixOf(range)}0.10`]);
  for (const { spec } of stored) if (spec?.clusterIP) taken.add(spec.clusterIP);
  const size = 65_534;
  const start = randomInt(size);
  for (let i = 0; i < size; i++) {
    const offset = ((start + i) % size) + 1;
    const address = `${prefixOf(range)}${offset >> 8}.${offset & 255}`;
    if (!taken.has(address)) return address;
  }
  return undefined;
}

/** Faults of the cluster IP. `old`: of the stored object on an update. */
export function clusterIpIssues(
  service: Service,
  old: ServiceSpec | undefined,
  range: string,
  stored: Stored,
): Issue[] {
  const address = service.spec?.clusterIP;
  const at = (type: Issue['type'], value: unknown, detail: string): Issue[] => [
    { type, path: 'spec.clusterIPs[0]', value, detail },
  ];
  if (address === undefined) {
    const detail = `no address is free in ${range}`;
    return [{ type: 'Invalid', path: 'spec.clusterIP', value: '', detail }];
  }
  if (old?.clusterIP && old.type !== 'ExternalName') {
    return old.clusterIP === address ? [] : at('Invalid', [address], 'may not change once set');
  }
  if (address === headless) return [];
  if (!isIPv4(address)) return at('Invalid', address, 'must be a valid IP address');
  if (!isInRange(address, range)) {
    const detail = `failed to allocate IP: the provided network does not match the current range (${range})`;
    return at('Invalid', [address], detail);
  }
  for (const other of stored) {
    if (other.spec?.clusterIP === address && other.metadata.uid !== service.metadata.uid) {
      return at('Invalid', [address], 'failed to allocate IP: provided IP is already allocated');
    }
  }
  return [];
}

function wantsNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}

/** A port and its protocol, which is what must be given out only once. */
function nodePortId({ nodePort, protocol = 'TCP' }: { nodePort?: number; protocol?: string }): string {
  return `${protocol}:${nodePort}`;
}

/** Node ports of other Services. */
function takenNodePorts(service: Service, stored: Stored): Set<string> {
  const taken = new Set<string>();
  for (const { metadata, spec } of stored) {
    if (metadata.name === service.metadata.name && metadata.namespace === service.metadata.namespace)
      continue;
    for (const port of spec?.ports ?? []) if (port.nodePort) taken.add(nodePortId(port));
  }
  return taken;
}

/**
 * Gives each port a node port, in place: the one that it had, else a free one. A Service that stops having any loses
 * those that it was given, as in Kubernetes; ones that its owner newly asks for stay, and are refused.
 */
export function assignNodePorts(service: Service, old: ServiceSpec | undefined, stored: () => Stored): void {
  const { spec } = service;
  if (!spec) return;
  const before = new Map((old?.ports ?? []).map((port) => [`${port.protocol}:${port.port}`, port.nodePort]));
  if (!wantsNodePorts(spec)) {
    if (spec.type === 'LoadBalancer') return;
    for (const port of spec.ports ?? []) {
      if (port.nodePort && port.nodePort === before.get(`${port.protocol}:${port.port}`))
        delete port.nodePort;
    }
    return;
  }
  let taken: Set<string> | undefined;
  const free = new Map<string, number[]>();
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    taken ??= new Set([...takenNodePorts(service, stored()), ...(spec.ports ?? []).map(nodePortId)]);
    const kept = before.get(`${port.protocol}:${port.port}`);
    const { protocol = 'TCP' } = port;
    const isFree = (nodePort: number): boolean => taken?.has(nodePortId({ nodePort, protocol })) === false;
    let nodePort = kept !== undefined && isFree(kept) ? kept : undefined;
    if (nodePort === undefined) {
      const left = free.get(protocol) ?? allNodePorts().filter(isFree);
      free.set(protocol, left);
      nodePort = drawFree(left, isFree);
    }
    if (nodePort === undefined) continue;
    port.nodePort = nodePort;
    taken.add(nodePortId(port));
  }
}

function allNodePorts(): number[] {
  return Array.from({ length: lastNodePort - firstNodePort + 1 }, (_, i) => firstNodePort + i);
}

/** Takes a port out of the list that is free still. */
function drawFree(left: number[], isFree: (port: number) => boolean): number | undefined {
  while (left.length > 0) {
    const at = randomInt(left.length);
    const [port, last] = [left[at], left.pop()];
    if (at < left.length && last !== undefined) left[at] = last;
    if (port !== undefined && isFree(port)) return port;
  }
  return undefined;
}

/** Faults of the node ports. */
export function nodePortIssues(service: Service, context: AdmissionContext, stored: () => Stored): Issue[] {
  const { spec = {} } = service;
  const issues: Issue[] = [];
  let taken: Set<string> | undefined;
  const own = new Set<string>();
  (spec.ports ?? []).forEach((port, i) => {
    const at = `spec.ports[${i}].nodePort`;
    const { nodePort: value } = port;
    if (!value) {
      if (wantsNodePorts(spec) && context.stored)
        issues.push({ type: 'Invalid', path: at, value: 0, detail: 'no node port is free' });
      return;
    }
    if (!['NodePort', 'LoadBalancer'].includes(spec.type ?? 'ClusterIP')) {
      const detail = "may not be used when `type` is 'ClusterIP'";
      issues.push({ type: 'Forbidden', path: at, detail });
      return;
    }
    if (value < firstNodePort || value > lastNodePort) {
      const detail = `provided port is not in the valid range. The range of valid ports is ${firstNodePort}-${lastNodePort}`;
      issues.push({ type: 'Invalid', path: at, value, detail });
      return;
    }
    taken ??= takenNodePorts(service, stored());
    if (taken.has(nodePortId(port)))
      issues.push({ type: 'Invalid', path: at, value, detail: 'provided port is already allocated' });
    else if (own.has(nodePortId(port))) issues.push({ type: 'Duplicate', path: at, value, detail: '' });
    own.add(nodePortId(port));
  });
  return issues;
}
