/** EndpointSlices that say what an Endpoints object says. Pure. */
import { createHash } from 'node:crypto';
import { controllerRef } from '../../api/object.ts';
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import type { Endpoints, EndpointSlice } from '../../api/kubernetes/services.ts';
import { managedByLabel, serviceNameLabel } from './endpoints.ts';

type Address = KubernetesTypes['core.v1.EndpointAddress'];
type Subset = KubernetesTypes['core.v1.EndpointSubset'];
type Endpoint = KubernetesTypes['discovery.v1.Endpoint'];

export const mirrorManager = 'endpointslicemirroring-controller.k8s.io';
/** `true` on Endpoints that are not to be mirrored. */
export const skipMirrorLabel = 'endpointslice.kubernetes.io/skip-mirror';
/** As many of a subset are mirrored as upstream does. */
const maxPerSubset = 1000;
/** Notes of writers about the Endpoints object itself. */
const ownAnnotations = new Set([
  'endpoints.kubernetes.io/last-change-trigger-time',
  'kubectl.kubernetes.io/last-applied-configuration',
]);

/** One slice for each subset and address family; none for Endpoints without addresses. */
export function makeMirrorSlices(source: Endpoints): EndpointSlice[] {
  const { name, namespace = '', labels, annotations } = source.metadata;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !ownAnnotations.has(key));
  return (source.subsets ?? []).flatMap((subset, index) =>
    (['IPv4', 'IPv6'] as const).flatMap((addressType) => {
      const endpoints = endpointsOf(subset, addressType).slice(0, maxPerSubset);
      if (endpoints.length === 0) return [];
      const ports = (subset.ports ?? []).map((port) => ({
        name: port.name ?? '',
        port: port.port,
        protocol: port.protocol ?? 'TCP',
        ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
      }));
      return [
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name: sliceName(source, `${index}/${addressType}`),
            namespace,
            labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: mirrorManager },
            ...(kept.length > 0 ? { annotations: Object.fromEntries(kept) } : {}),
            ownerReferences: [controllerRef(source)],
          },
          addressType,
          endpoints,
          ...(ports.length > 0 ? { ports } : {}),
        },
      ];
    }),
  );
}

function endpointsOf(subset: Subset, family: 'IPv4' | 'IPv6'): Endpoint[] {
  const all = [
    ...(subset.addresses ?? []).map((address) => ({ address, ready: true })),
    ...(subset.notReadyAddresses ?? []).map((address) => ({ address, ready: false })),
  ];
  return all
    .filter(({ address }) => address.ip.includes(':') === (family === 'IPv6'))
    .map(({ address, ready }) => endpointOf(address, ready));
}

function endpointOf({ ip, hostname, nodeName, targetRef }: Address, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  };
}

/** The same subset always has the same name: making it twice cannot give two slices. */
function sliceName({ metadata }: Endpoints, part: string): string {
  const id = createHash('sha256').update(`mirror/${metadata.uid}/${part}`).digest('hex').slice(0, 5);
  return `${metadata.name.slice(0, 57)}-${id}`;
}
