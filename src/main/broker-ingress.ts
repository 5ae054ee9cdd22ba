/** The name of the brokers' ingress: in the gateway, and as a Service for those who look it up. */
import { endpoints, services, type Endpoints } from '../api/kubernetes/services.ts';
import type { Backend, HostRule, RequestPath } from '../api/routing.ts';
import { deepEqual } from '../base/json.ts';
import { brokerIngressHost } from '../eventing/broker/broker.ts';
import { isAlreadyExists } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Brokers are reached by the name that Knative gives them, on the listener for cluster-local names. */
export async function routeBrokerIngress(requestPath: RequestPath, address: Address): Promise<void> {
  const key = 'local/broker-ingress';
  const backend: Backend = {
    key,
    endpoints: [{ id: key, ...address }],
    containerConcurrency: 0,
    wakes: false,
    timeoutMs: 0,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    protocol: 'http1',
  };
  const rule: HostRule = {
    visibility: 'local',
    paths: [{ prefix: '/', splits: [{ backend: key, percent: 100 }] }],
  };
  const [name = '', namespace = ''] = brokerIngressHost.split('.');
  const hosts = [brokerIngressHost, `${name}.${namespace}.svc`, `${name}.${namespace}`];
  await requestPath.apply({
    hosts: Object.fromEntries(hosts.map((host) => [host, rule])),
    backends: { [key]: backend },
  });
}

/** A headless Service whose one address is the gateway's, so that DNS knows the name. `gateway`: as pods reach it. */
export async function publishBrokerIngress(client: Client, gateway: Address): Promise<void> {
  const [name = '', namespace = ''] = brokerIngressHost.split('.');
  const metadata = { name, namespace };
  const port = { name: 'http', port: gateway.port, protocol: 'TCP' };
  const wanted: Endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata,
    subsets: [{ addresses: [{ ip: gateway.host }], ports: [port] }],
  };
  const spec = { clusterIP: 'None', ports: [{ ...port, port: 80, targetPort: gateway.port }] };
  const create = (): Promise<unknown> =>
    client.create(services, { apiVersion: 'v1', kind: 'Service', metadata, spec });
  await Promise.all([create().catch(unlessThere), putEndpoints()]);

  async function putEndpoints(): Promise<void> {
    try {
      await client.create(endpoints, wanted);
    } catch (error) {
      unlessThere(error);
      const stored = await client.get(endpoints, metadata);
      if (deepEqual(stored.subsets, wanted.subsets)) return;
      await client.update(endpoints, { ...stored, subsets: wanted.subsets ?? [] });
    }
  }
}

function unlessThere(error: unknown): void {
  if (!isAlreadyExists(error)) throw error;
}
