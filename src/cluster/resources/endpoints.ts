/** Endpoints and EndpointSlices of a Service, from its pods. Pure. */
import { createHash } from 'node:crypto';
import { controllerRef } from '../../api/object.ts';
import { isPodReady, isPodTerminal, podAddress, type Pod } from '../../api/pods.ts';
import { headless, type Endpoints, type EndpointSlice, type Service } from '../../api/kubernetes/services.ts';

/** Endpoints in one slice; as Kubernetes' controller does by default. */
const maxPerSlice = 100;
export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const sliceManager = 'endpointslice-controller.k8s.io';
const endpointsManagedByLabel = 'endpoints.kubernetes.io/managed-by';
const endpointsManager = 'endpoint-controller';
const headlessLabel = 'service.kubernetes.io/headless';

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

interface Port {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string;
}

/** One pod behind the service. */
interface Backend {
  readonly pod: Pod;
  readonly ip: string;
  readonly ports: readonly Port[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

/** The container port that a service port leads to in this pod; undefined when it names one that the pod lacks. */
function targetPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target;
  for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
    const match = container.ports?.find(
      (p) => p.name === target && (p.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (match) return match.containerPort;
  }
  return undefined;
}

function backendOf(service: Service, pod: Pod): Backend | undefined {
  if (isPodTerminal(pod)) return undefined;
  const ip = pod.status?.podIP;
  if (!ip) return undefined;
  const ports: Port[] = [];
  const wanted = service.spec?.ports ?? [];
  for (const port of wanted) {
    const target = targetPort(pod, port);
    const address = target === undefined ? undefined : podAddress(pod, target);
    if (!address) continue;
    const { appProtocol } = port;
    ports.push({
      name: port.name ?? '',
      port: address.port,
      protocol: port.protocol ?? 'TCP',
      ...(appProtocol ? { appProtocol } : {}),
    });
  }
  // Headless services may have no ports at all; others need at least one that leads somewhere.
  if (ports.length === 0 && wanted.length > 0) return undefined;
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const always = service.spec?.publishNotReadyAddresses ?? false;
  return { pod, ip, ports, serving, terminating, ready: always || (serving && !terminating) };
}

/** Sorted so that equal pods give equal objects, whatever order the cache lists them in. */
function backendsOf(service: Service, pods: readonly Pod[]): Backend[] {
  return pods
    .flatMap((pod) => backendOf(service, pod) ?? [])
    .sort((a, b) => (`${a.ip} ${a.pod.metadata.name}` < `${b.ip} ${b.pod.metadata.name}` ? -1 : 1));
}

/** Groups by ports: pods of the process driver have each their own. */
function byPorts(backends: readonly Backend[]): Map<string, Backend[]> {
  const groups = new Map<string, Backend[]>();
  for (const backend of backends) {
    const id = JSON.stringify(backend.ports);
    const group = groups.get(id);
    if (group) group.push(backend);
    else groups.set(id, [backend]);
  }
  return groups;
}

function targetRef(pod: Pod): { kind: string; namespace: string; name: string; uid: string } {
  const { name, namespace = '', uid = '' } = pod.metadata;
  return { kind: 'Pod', namespace, name, uid };
}

/** The Endpoints object of a service. */
export function makeEndpoints(service: Service, pods: readonly Pod[]): Endpoints {
  const { name, namespace = '', labels } = service.metadata;
  // Pods that are going serve requests under way only: Endpoints cannot say that, so they leave at once.
  const published = service.spec?.publishNotReadyAddresses ?? false;
  const backends = backendsOf(service, pods).filter((backend) => !backend.terminating || published);
  const address = ({ pod, ip }: Backend): object => ({
    ip,
    ...(pod.spec?.hostname && pod.spec.subdomain === name ? { hostname: pod.spec.hostname } : {}),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: targetRef(pod),
  });
  const subsets = [...byPorts(backends).values()].map((group) => {
    const ready = group.filter((backend) => backend.ready);
    const notReady = group.filter((backend) => !backend.ready);
    const ports = (group[0]?.ports ?? []).map(({ name: portName, ...port }) => ({
      ...(portName ? { name: portName } : {}),
      ...port,
    }));
    return {
      ...(ready.length ? { addresses: ready.map(address) } : {}),
      ...(notReady.length ? { notReadyAddresses: notReady.map(address) } : {}),
      ...(ports.length ? { ports } : {}),
    };
  });
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name,
      namespace,
      labels: {
        ...labels,
        [endpointsManagedByLabel]: endpointsManager,
        ...(service.spec?.clusterIP === headless ? { [headlessLabel]: '' } : {}),
      },
    },
    ...(subsets.length ? { subsets } : {}),
  } as Endpoints;
}

/** Made by this controller, so that it may also delete it. */
export function isManagedEndpoints(endpoints: Endpoints): boolean {
  return endpoints.metadata.labels?.[endpointsManagedByLabel] === endpointsManager;
}

/** The n-th slice of a service always has the same name: making it twice cannot give two slices. */
function sliceName(service: Service, index: number): string {
  const id = createHash('sha256').update(`${service.metadata.uid}/${index}`).digest('hex').slice(0, 5);
  return `${service.metadata.name.slice(0, 57)}-${id}`;
}

/** The EndpointSlices of a service; at least one, empty when nothing is behind it. */
export function makeEndpointSlices(service: Service, pods: readonly Pod[]): EndpointSlice[] {
  const { name, namespace = '', labels } = service.metadata;
  const slices: Pick<EndpointSlice, 'endpoints' | 'ports'>[] = [];
  for (const group of byPorts(backendsOf(service, pods)).values()) {
    for (let i = 0; i < group.length; i += maxPerSlice) {
      const endpoints = group.slice(i, i + maxPerSlice).map(({ pod, ip, ready, serving, terminating }) => ({
        addresses: [ip],
        conditions: { ready, serving, terminating },
        ...(pod.spec?.hostname && pod.spec.subdomain === name ? { hostname: pod.spec.hostname } : {}),
        ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
        targetRef: targetRef(pod),
      }));
      const ports = (group[0]?.ports ?? []).map((port) => ({ ...port }));
      slices.push({ endpoints, ...(ports.length ? { ports } : {}) });
    }
  }
  if (slices.length === 0) slices.push({});
  return slices.map((slice, index) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(service, index),
      namespace,
      labels: {
        ...labels,
        [serviceNameLabel]: name,
        [managedByLabel]: sliceManager,
        ...(service.spec?.clusterIP === headless ? { [headlessLabel]: '' } : {}),
      },
      ownerReferences: [controllerRef(service)],
    },
    addressType: 'IPv4',
    ...slice,
  }));
}
