/** The variables by which containers learn of Services (kubernetes pkg/kubelet/envvars). */
import { headless, services as serviceResource, type Service } from '../api/kubernetes/services.ts';
import type { Pod } from '../api/pods.ts';
import type { Informers } from '../kube/client/informer.ts';

/** For the containers of a pod: the Services of its namespace, unless it wants none, and that of the API server. */
export async function serviceVariables(informers: Informers, pod: Pod): Promise<ReadonlyMap<string, string>> {
  const cache = informers.for(serviceResource);
  await cache.synced();
  const { namespace = '' } = pod.metadata;
  const api = cache.get('default/kubernetes');
  const own = pod.spec?.enableServiceLinks === false ? [] : cache.list({ namespace });
  return new Map([...makeServiceEnvironment(api ? [api] : []), ...makeServiceEnvironment(own)]);
}

/**
 * `WEB_SERVICE_HOST`, `WEB_SERVICE_PORT`, `WEB_SERVICE_PORT_HTTP`, and those of Docker's links (`WEB_PORT_80_TCP_ADDR`…)
 * for each Service with an address of its own.
 */
export function makeServiceEnvironment(services: readonly Service[]): ReadonlyMap<string, string> {
  const env = new Map<string, string>();
  // The order of names, so that of two that make the same variable always the same one wins.
  const sorted = services.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const { metadata, spec = {} } of sorted) {
    const { clusterIP, type, ports = [] } = spec;
    if (!clusterIP || clusterIP === headless || type === 'ExternalName') continue;
    const [first] = ports;
    if (!first) continue;
    const name = variableName(metadata.name);
    const address = clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP;
    env.set(`${name}_SERVICE_HOST`, clusterIP);
    env.set(`${name}_SERVICE_PORT`, String(first.port));
    for (const port of ports) {
      if (port.name) env.set(`${name}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
    }
    ports.forEach((port, i) => {
      const { protocol = 'TCP' } = port;
      const url = `${protocol.toLowerCase()}://${address}:${port.port}`;
      if (i === 0) env.set(`${name}_PORT`, url);
      const link = `${name}_PORT_${port.port}_${protocol.toUpperCase()}`;
      env.set(link, url);
      env.set(`${link}_PROTO`, protocol.toLowerCase());
      env.set(`${link}_PORT`, String(port.port));
      env.set(`${link}_ADDR`, clusterIP);
    });
  }
  return env;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
