/** Where a proxied request goes (kubernetes pkg/registry/core `ResourceLocation` of pods and services). Pure. */
import { BlockList, isIP, isIPv4 } from 'node:net';
import type { Endpoints, Service } from '../../../api/kubernetes/services.ts';
import { podAddress, type Pod } from '../../../api/pods.ts';
import { ApiError } from '../../api-error.ts';

export type Scheme = 'http' | 'https';

/** `[scheme:]name[:port]`; empty texts where nothing is said. */
export interface ProxyName {
  readonly scheme: Scheme;
  readonly name: string;
  /** Of a pod a number, of a Service a number or a name. */
  readonly port: string;
}

/** Throws 400 for anything else (apimachinery `SplitSchemeNamePort`). */
export function readProxyName(text: string, kind: 'pod' | 'service'): ProxyName {
  const parts = text.split(':');
  const [scheme = '', name = '', port = ''] = parts.length === 3 ? parts : ['', ...parts];
  if (parts.length > 3 || name === '' || !['', 'http', 'https'].includes(scheme)) {
    throw new ApiError('BadRequest', `invalid ${kind} request ${JSON.stringify(text)}`);
  }
  return { scheme: scheme === 'https' ? 'https' : 'http', name, port };
}

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Whose port it is, where the address says nothing to this machine: a pod of the process driver. */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly port: number };
}

/** Without a port that of the first container that has one, or else the scheme's. Throws 400. */
export function podTarget(pod: Pod, { scheme, port }: ProxyName): Target {
  const first = pod.spec?.containers.find(({ ports = [] }) => ports.length > 0)?.ports?.[0]?.containerPort;
  const number = port === '' ? (first ?? (scheme === 'https' ? 443 : 80)) : readPort(port);
  return { ...checked(podAddress(pod, number)), pod: podPort(pod, number) };
}

/**
 * One of the addresses behind a Service, `choose` says which of so many. A port by its number is that of the Service, by
 * its name that of the endpoints; none is the one without a name. Throws 503 when there is nothing to ask.
 */
export function serviceTarget(
  service: Service,
  endpoints: Endpoints | undefined,
  { port }: ProxyName,
  choose: (count: number) => number,
): Target {
  const { name, namespace = '' } = service.metadata;
  let wanted = port;
  if (/^\d+$/.test(port)) {
    const found = service.spec?.ports?.find((each) => each.port === Number(port));
    if (!found) {
      throw new ApiError(
        'ServiceUnavailable',
        `no service port ${Number(port)} found for service ${JSON.stringify(name)}`,
      );
    }
    wanted = found.name ?? '';
  }
  const places = (endpoints?.subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    ports
      .filter((each) => (each.name ?? '') === wanted)
      .flatMap((each) => addresses.map((address) => ({ address, port: each.port }))),
  );
  const place = places[choose(places.length)];
  if (!place) {
    const message = `no endpoints available for service ${JSON.stringify(name)}`;
    throw new ApiError('ServiceUnavailable', message);
  }
  const { ip, targetRef } = place.address;
  const pod = targetRef?.kind === 'Pod' ? targetRef.name : undefined;
  const address = { host: ip, port: place.port };
  if (pod === undefined) return checked(address);
  return { ...address, pod: { namespace, name: pod, port: place.port } };
}

function podPort({ metadata }: Pod, port: number): NonNullable<Target['pod']> {
  return { namespace: metadata.namespace ?? '', name: metadata.name, port };
}

function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new ApiError('BadRequest', `invalid port ${JSON.stringify(text)}`);
  return port;
}

function checked(address: { host: string; port: number } | undefined): { host: string; port: number } {
  if (!address || isIP(address.host) === 0) throw new ApiError('BadRequest', 'address not allowed');
  return address;
}

/** Addresses that lead back to this machine or to its link: whoever may write a status must not reach what is there. */
const local = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
] as const) {
  local.addSubnet(net, prefix, 'ipv4');
}
for (const [net, prefix] of [
  ['::', 127],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  local.addSubnet(net, prefix, 'ipv6');
}

/** Whether the address may be dialled as it is (Go's `IsGlobalUnicast`). */
export function isProxyable(ip: string): boolean {
  if (isIP(ip) === 0) return false;
  return !local.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6');
}
