/** Services and EndpointSlices in short. */
import type { EndpointSlice, Service } from '../../src/api/kubernetes/services.ts';

type ServiceSpec = NonNullable<Service['spec']>;
type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

export function service(name: string, spec: ServiceSpec, more: Partial<Service['metadata']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', uid: `uid-${name}`, ...more },
    spec: { type: 'ClusterIP', ...spec },
  };
}

/** `endpoints`: addresses, or more than that. */
export function slice(
  of: string,
  endpoints: readonly (string | Partial<SliceEndpoint>)[],
  ports: EndpointSlice['ports'] = [{ name: 'http', port: 8080, protocol: 'TCP' }],
  name = `${of}-1`,
): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    endpoints: endpoints.map((endpoint) => ({
      conditions: { ready: true },
      ...(typeof endpoint === 'string' ? { addresses: [endpoint] } : { addresses: [], ...endpoint }),
    })),
    ...(ports ? { ports } : {}),
  };
}
