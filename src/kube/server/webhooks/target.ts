/** Where a webhook is reached: a URL, or an endpoint behind a service of the cluster. */
import { endpoints, services, type Service } from '../../../api/kubernetes/services.ts';
import type { WebhookClientConfig } from '../../../api/kubernetes/webhook-configurations.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';

export interface Target {
  /** As Go would write it, without the query. */
  readonly url: URL;
  /** What to connect to; the URL's own host when undefined. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  /** PEM of the authorities to trust; undefined: the system's. */
  readonly ca: string | undefined;
}

type View = AdmissionAttributes['stored'];

/** Throws an Error that says why there is none. */
export function targetOf({ url, service, caBundle }: WebhookClientConfig, stored: View): Target {
  const ca = caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined;
  if (url !== undefined) return { url: new URL(url), address: undefined, ca };
  if (!service) throw new Error('webhook configuration must have either service or URL');
  const { namespace, name, port = 443, path = '/' } = service;
  return {
    url: new URL(`https://${name}.${namespace}.svc:${port}${path.startsWith('/') ? path : `/${path}`}`),
    address: resolveService(namespace, name, port, stored),
    ca,
  };
}

/** One ready endpoint of a service's port (kube-aggregator `ResolveEndpoint`). */
function resolveService(
  namespace: string,
  name: string,
  port: number,
  stored: View,
): { host: string; port: number } {
  const service = find(stored(services, namespace), name);
  if (!service) throw new Error(`service ${JSON.stringify(name)} not found`);
  if (service.spec?.type === 'ExternalName') {
    return { host: service.spec.externalName ?? '', port };
  }
  const wanted = portOf(service, port);
  if (!wanted) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const candidates = (find(stored(endpoints, namespace), name)?.subsets ?? []).flatMap((subset) => {
    const target = subset.ports?.find((one) => (one.name ?? '') === (wanted.name ?? ''));
    return target ? (subset.addresses ?? []).map(({ ip }) => ({ host: ip, port: target.port })) : [];
  });
  const chosen = candidates[Math.floor(Math.random() * candidates.length)];
  if (!chosen) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
  return chosen;
}

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

function portOf(service: Service, port: number): ServicePort | undefined {
  return service.spec?.ports?.find((one) => one.port === port);
}

function find<T extends { metadata: { name: string } }>(items: Iterable<T>, name: string): T | undefined {
  for (const item of items) if (item.metadata.name === name) return item;
  return undefined;
}
