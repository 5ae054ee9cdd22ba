/** Where events for a name of the cluster go: through the gateway, or to the pods behind a plain Service. */
import { endpointSlices, services } from '../api/kubernetes/services.ts';
import { labels } from '../api/serving/labels.ts';
import type { Informers } from '../kube/client/informer.ts';
import { portsOf, serviceNameLabel } from '../network/endpoints.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** `gateway`: its listener for cluster-local names. Undefined: the URL's own host and port. */
export function makeEventTransport(
  informers: Informers,
  gateway: Address,
): (url: URL) => Address | undefined {
  const all = informers.for(services);
  const slices = informers.for(endpointSlices);
  return (url) => {
    const [, name, namespace] = /^([^.]+)\.([^.]+)\.svc(?:\.cluster\.local)?$/.exec(url.hostname) ?? [];
    if (name === undefined || namespace === undefined)
      return /\.svc(?:\.cluster\.local)?$/.test(url.hostname) ? gateway : undefined;
    const service = all.get(`${namespace}/${name}`);
    // Those of Routes stand for the gateway.
    if (!service || service.metadata.labels?.[labels.route] !== undefined) return gateway;
    const wanted = Number(url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : url.port);
    const port = service.spec?.ports?.find((one) => one.port === wanted);
    const targets = portsOf(slices.list({ namespace, labels: { [serviceNameLabel]: name } }))
      .filter((group) => port !== undefined && group.name === (port.name ?? ''))
      .flatMap((group) => group.endpoints.map(({ ip }) => ({ host: ip, port: group.port })));
    // The gateway knows no such host and says so: the event is tried again.
    return targets[Math.floor(Math.random() * targets.length)] ?? gateway;
  };
}
