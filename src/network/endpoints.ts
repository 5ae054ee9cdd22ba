/** What is behind a Service, from its EndpointSlices: for the rules and for DNS. Pure. */
import { isIPv4, isIPv6 } from 'node:net';
import type { EndpointSlice, Service } from '../api/kubernetes/services.ts';
import { labels } from '../api/serving/labels.ts';

/** The label by which an EndpointSlice names its Service. */
export const serviceNameLabel = 'kubernetes.io/service-name';

export interface Endpoint {
  readonly ip: string;
  /** What the pod calls itself below the Service's name. */
  readonly hostname: string | undefined;
}

/** The addresses behind one port of a Service. */
export interface PortEndpoints {
  /** Of the Service's port; '' when it has none. */
  readonly name: string;
  readonly protocol: string;
  /** Where the endpoints listen. */
  readonly port: number;
  readonly endpoints: readonly Endpoint[];
}

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

/**
 * The Services of a revision change with each start from zero, and nothing of the platform uses them: they have no rules,
 * and DNS answers with the pods behind them.
 */
export function isRevisionService({ metadata }: Service): boolean {
  return metadata.labels?.[labels.serviceType] !== undefined;
}

/**
 * Pods that share this machine's network say 127.0.0.1, which is somebody else for whoever is not there: `hostAddress`
 * stands in.
 */
export function seenFromPods(ip: string, hostAddress: string): string {
  return ip.startsWith('127.') ? hostAddress : ip;
}

/** An address is ready unless it says that it is not (EndpointSlice API, "conditions"). */
function isReady({ conditions }: SliceEndpoint): boolean {
  return conditions?.ready !== false;
}

function isServing({ conditions }: SliceEndpoint): boolean {
  return conditions?.serving === true && conditions.terminating === true;
}

/**
 * The addresses of a slice that get requests. Where none of the Service is ready, those that end but still answer do, as
 * kube-proxy has it: `anyReady` says whether there are ready ones.
 */
function usable(slice: EndpointSlice, anyReady: boolean): Endpoint[] {
  return (slice.endpoints ?? [])
    .filter((endpoint) => (anyReady ? isReady(endpoint) : isServing(endpoint)))
    .flatMap(({ addresses, hostname }) => addresses.map((ip) => ({ ip, hostname })))
    .filter(({ ip }) => isIPv4(ip) || isIPv6(ip));
}

/** Slices of names (FQDN) lead nowhere here, as in Kubernetes. */
function ofAddresses(slices: readonly EndpointSlice[]): EndpointSlice[] {
  return slices.filter(({ addressType }) => addressType !== 'FQDN');
}

/** All addresses behind a Service, each once, whatever its ports: what a headless name stands for. */
export function endpointsOf(slices: readonly EndpointSlice[]): Endpoint[] {
  const known = ofAddresses(slices);
  const anyReady = known.some((slice) => slice.endpoints?.some(isReady));
  const byAddress = new Map<string, Endpoint>();
  for (const slice of known) {
    for (const endpoint of usable(slice, anyReady)) {
      if (!byAddress.has(endpoint.ip)) byAddress.set(endpoint.ip, endpoint);
    }
  }
  return [...byAddress.values()];
}

/** The addresses behind each port, grouped by where they listen. Ports without any address are left out. */
export function portsOf(slices: readonly EndpointSlice[]): PortEndpoints[] {
  const known = ofAddresses(slices);
  const anyReady = known.some((slice) => slice.endpoints?.some(isReady));
  return known.flatMap((slice) => {
    const endpoints = usable(slice, anyReady);
    if (endpoints.length === 0) return [];
    return (slice.ports ?? []).flatMap(({ name = '', protocol = 'TCP', port }) =>
      port === undefined ? [] : [{ name, protocol, port, endpoints }],
    );
  });
}
