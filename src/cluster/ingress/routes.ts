/** From Ingresses and what is behind their services to what the gateway serves. Pure. */
import type { Backend, Endpoint, HostRule, PathRule } from '../../api/routing.ts';
import type { Ingress, IngressBackend } from '../../api/kubernetes/ingress.ts';
import type { EndpointSlice, Service } from '../../api/kubernetes/services.ts';

/** One path of one host, as an Ingress wants it. */
export interface Claim {
  /** A name, `*.name`, or `*`. */
  readonly host: string;
  readonly path: string;
  readonly kind: 'exact' | 'prefix';
  readonly backend: BackendReference;
  /** Older Ingresses come first: creation time, then key. */
  readonly rank: string;
  /** Where nothing else of the host matches. */
  readonly fallback: boolean;
}

export interface BackendReference {
  /** `ingress/<namespace>/<service>/<port>`. */
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly port: string | number;
}

/** Everything an Ingress asks for. Backends that are no services are passed over. */
export function claimsOf(ingress: Ingress): Claim[] {
  const { spec, metadata } = ingress;
  const { namespace = '', name } = metadata;
  const rank = `${metadata.creationTimestamp ?? ''} ${namespace}/${name}`;
  const claims: Claim[] = [];
  const fallback = spec?.defaultBackend && referenceOf(namespace, spec.defaultBackend);
  const hosts = new Set<string>();
  for (const rule of spec?.rules ?? []) {
    const host = rule.host ? rule.host : '*';
    hosts.add(host);
    for (const path of rule.http?.paths ?? []) {
      const backend = referenceOf(namespace, path.backend);
      if (!backend) continue;
      const kind = path.pathType === 'Exact' ? 'exact' : 'prefix';
      claims.push({ host, path: path.path || '/', kind, backend, rank, fallback: false });
    }
  }
  if (!fallback) return claims;
  if (hosts.size === 0) hosts.add('*');
  for (const host of hosts) {
    claims.push({ host, path: '/', kind: 'prefix', backend: fallback, rank, fallback: true });
  }
  return claims;
}

function referenceOf(namespace: string, { service }: IngressBackend): BackendReference | undefined {
  const port = service?.port?.name || service?.port?.number;
  if (!service || port === undefined || port === 0 || port === '') return undefined;
  return { key: `ingress/${namespace}/${service.name}/${port}`, namespace, service: service.name, port };
}

/** The rule of one host: exact paths first, then the longest prefix; of equal ones the older Ingress's. */
export function makeHostRule(claims: readonly Claim[]): HostRule | undefined {
  if (claims.length === 0) return undefined;
  const sorted = [...claims].sort(
    (a, b) =>
      Number(a.fallback) - Number(b.fallback) ||
      Number(b.kind === 'exact') - Number(a.kind === 'exact') ||
      lengthOf(b) - lengthOf(a) ||
      (a.rank < b.rank ? -1 : 1),
  );
  const seen = new Set<string>();
  const paths: PathRule[] = [];
  for (const { kind, path, backend } of sorted) {
    const id = `${kind} ${kind === 'exact' ? path : path.replace(/\/+$/, '')}`;
    if (seen.has(id)) continue;
    seen.add(id);
    paths.push({
      prefix: path,
      ...(kind === 'exact' ? { exact: true } : {}),
      splits: [{ backend: backend.key, percent: 100 }],
    });
  }
  return { visibility: 'public', paths };
}

function lengthOf({ kind, path }: Claim): number {
  return kind === 'exact' ? path.length : path.replace(/\/+$/, '').length;
}

/** Why a backend cannot be served; what is merely not ready yet is no fault. */
export function backendFault(reference: BackendReference, service: Service | undefined): string | undefined {
  const name = JSON.stringify(`${reference.namespace}/${reference.service}`);
  if (!service) return `service ${name} does not exist`;
  if (service.spec?.type === 'ExternalName')
    return `service ${name} is of type ExternalName, which is not served`;
  if (!portOf(reference, service)) return `service ${name} has no port ${JSON.stringify(reference.port)}`;
  return undefined;
}

function portOf({ port }: BackendReference, service: Service) {
  return service.spec?.ports?.find((one) =>
    typeof port === 'number' ? one.port === port : one.name === port,
  );
}

/** The backend of a service's port: its ready addresses. Without any, requests are refused at once. */
export function makeBackend(
  reference: BackendReference,
  service: Service | undefined,
  slices: readonly EndpointSlice[],
): Backend {
  const port = service && service.spec?.type !== 'ExternalName' ? portOf(reference, service) : undefined;
  const isH2c = port?.appProtocol === 'kubernetes.io/h2c' || port?.name === 'h2c';
  return {
    key: reference.key,
    endpoints: port ? slices.flatMap((slice) => endpointsOf(slice, port.name ?? '')).sort(byId) : [],
    containerConcurrency: 0,
    wakes: false,
    timeoutMs: 0,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    protocol: isH2c ? 'h2c' : 'http1',
  };
}

function endpointsOf(slice: EndpointSlice, portName: string): Endpoint[] {
  const port = slice.ports?.find((one) => (one.name ?? '') === portName)?.port;
  if (port === undefined || slice.addressType === 'FQDN') return [];
  return (slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready ?? true)
    .flatMap(({ addresses, targetRef }) =>
      addresses.slice(0, 1).map((host) => ({ id: targetRef?.uid ?? `${host}:${port}`, host, port })),
    );
}

function byId(a: Endpoint, b: Endpoint): number {
  return a.id < b.id ? -1 : 1;
}
