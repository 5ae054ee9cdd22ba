/** The Service `kubernetes` in `default`, by which the API itself is found (kubernetes pkg/controlplane/reconcilers). */
import { deepEqual } from '../base/json.ts';
import {
  endpoints,
  endpointSlices,
  services,
  type Endpoints,
  type EndpointSlice,
  type Service,
} from '../api/kubernetes/services.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';

const key = { namespace: 'default', name: 'kubernetes' };
/** The port of the Service, which client libraries take for granted. */
const servicePort = 443;

/** Where pods reach the API. */
export interface ApiAddress {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
}

export function kubernetesServiceController(env: ControllerEnv, address: ApiAddress): Controller {
  const own = ({ metadata: { namespace, name } }: KubeObject): string[] =>
    namespace === key.namespace && name === key.name ? [`${namespace}/${name}`] : [];
  return {
    name: 'kubernetes-service',
    root: services,
    watches: [watches(endpoints, own), watches(endpointSlices, own)],
    async reconcile({ namespace, name }: ObjectKey): Promise<Outcome> {
      if (namespace !== key.namespace || name !== key.name) return;
      await ensureKubernetesService(env, address);
    },
  };
}

/** Creates what is missing of the three, and corrects where they point to. */
export async function ensureKubernetesService(env: ControllerEnv, address: ApiAddress): Promise<void> {
  await Promise.all([
    put(env, services, makeService()),
    put(env, endpoints, makeEndpoints(address)),
    put(env, endpointSlices, makeSlice(address)),
  ]);
}

async function put(env: ControllerEnv, def: ResourceDef, wanted: KubeObject): Promise<void> {
  let stored: KubeObject;
  try {
    stored = await env.client.get(def, key);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await env.client.create(def, wanted);
    return;
  }
  const { metadata: _, ...members } = wanted;
  const next = {
    ...stored,
    ...members,
    metadata: { ...stored.metadata, labels: { ...stored.metadata.labels, ...wanted.metadata.labels } },
  };
  // What the server filled into a Service is its own.
  if (def.plural !== services.plural && !deepEqual(next, stored)) await env.client.update(def, next);
}

function makeService(): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...key, labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: servicePort, protocol: 'TCP', targetPort: servicePort }],
    },
  };
}

function makeEndpoints({ host, port }: ApiAddress): Endpoints {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...key, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: host }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
  };
}

function makeSlice({ host, port }: ApiAddress): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...key, labels: { 'kubernetes.io/service-name': key.name } },
    addressType: host.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  };
}
