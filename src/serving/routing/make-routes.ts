/** From an Ingress to host rules, and from a Revision and its pods to a backend. Pure. */
import type { Ingress, IngressPath, IngressRule, IngressSplit } from '../../api/networking/index.ts';
import { isPodReady, isPodTerminal, podAddress, type Pod } from '../../api/pods.ts';
import type { Backend, Endpoint, HostRule, PathRule, Split } from '../../api/routing.ts';
import type { Revision } from '../../api/serving/index.ts';
import { protocolOf, userPort } from '../revision/resources/names.ts';

/** Headers that tell an activator and a sidecar which revision is meant. Here the backend itself says it. */
const backendHeaders = new Set(['knative-serving-revision', 'knative-serving-namespace']);

/** Key of the backend that a split names: `namespace/revision`. */
function backendKey({ serviceNamespace, serviceName }: IngressSplit): string {
  return `${serviceNamespace}/${serviceName}`;
}

/** Host → rule. A host that several rules name gets their paths in order: first match wins. */
export function makeRoutes(ingress: Ingress): Map<string, HostRule> {
  const hosts = new Map<string, HostRule>();
  for (const rule of ingress.spec?.rules ?? []) {
    const paths = makePaths(rule);
    const visibility = rule.visibility === 'ClusterLocal' ? 'local' : 'public';
    for (const host of rule.hosts ?? []) {
      const name = host.toLowerCase();
      const before = hosts.get(name);
      hosts.set(
        name,
        before
          ? { visibility: before.visibility, paths: [...before.paths, ...paths] }
          : { visibility, paths },
      );
    }
  }
  return hosts;
}

/** Keys of all backends that host rules name. */
export function backendsOf(hosts: Iterable<HostRule>): Set<string> {
  const keys = new Set<string>();
  for (const { paths } of hosts)
    for (const { splits } of paths) for (const { backend } of splits) keys.add(backend);
  return keys;
}

/** Rules with headers first, then longer prefixes first: the gateway takes the first that matches. */
function makePaths({ http }: IngressRule): PathRule[] {
  const paths = (http?.paths ?? []).map(makePath).filter(({ splits }) => splits.length > 0);
  return paths.sort((a, b) => headerCount(b) - headerCount(a) || b.prefix.length - a.prefix.length);
}

function headerCount({ headers }: PathRule): number {
  return Object.keys(headers ?? {}).length;
}

function makePath(path: IngressPath): PathRule {
  const headers = Object.entries(path.headers ?? {}).map(
    ([name, { exact }]) => [name.toLowerCase(), exact] as const,
  );
  const setHeaders = path.appendHeaders ?? {};
  return {
    prefix: path.path || '/',
    ...(headers.length > 0 ? { headers: Object.fromEntries(headers) } : {}),
    ...(path.rewriteHost ? { rewriteHost: path.rewriteHost } : {}),
    ...(Object.keys(setHeaders).length > 0 ? { setHeaders } : {}),
    splits: makeSplits(path.splits),
  };
}

/** A single split without percent means all of the traffic. */
function makeSplits(splits: readonly IngressSplit[]): Split[] {
  return splits
    .map((split) => {
      const own = Object.entries(split.appendHeaders ?? {}).filter(
        ([name]) => !backendHeaders.has(name.toLowerCase()),
      );
      return {
        backend: backendKey(split),
        percent: split.percent || (splits.length === 1 ? 100 : 0),
        ...(own.length > 0 ? { setHeaders: Object.fromEntries(own) } : {}),
      };
    })
    .filter(({ percent }) => percent > 0);
}

/** A backend of a revision that is not there (yet): requests are refused at once. */
export function absentBackend(key: string): Backend {
  return {
    key,
    endpoints: [],
    containerConcurrency: 0,
    wakes: false,
    timeoutMs: 0,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    protocol: 'http1',
  };
}

/** `excluded`: uids of pods that are about to be removed and must get nothing new. Endpoints are ordered by uid. */
export function makeBackend(
  revision: Revision,
  pods: readonly Pod[],
  excluded: ReadonlySet<string>,
): Backend {
  const { namespace, name } = revision.metadata;
  const {
    containerConcurrency = 0,
    timeoutSeconds = 0,
    responseStartTimeoutSeconds = 0,
    idleTimeoutSeconds = 0,
  } = revision.spec ?? {};
  const port = userPort(revision);
  return {
    key: `${namespace}/${name}`,
    endpoints: pods
      .flatMap((pod) => makeEndpoint(pod, port, excluded))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    containerConcurrency,
    wakes: !revision.metadata.deletionTimestamp,
    timeoutMs: timeoutSeconds * 1000,
    responseStartTimeoutMs: responseStartTimeoutSeconds * 1000,
    idleTimeoutMs: idleTimeoutSeconds * 1000,
    protocol: protocolOf(revision),
  };
}

function makeEndpoint(pod: Pod, port: number, excluded: ReadonlySet<string>): Endpoint[] {
  const id = pod.metadata.uid ?? '';
  if (pod.metadata.deletionTimestamp || !isPodReady(pod) || isPodTerminal(pod) || excluded.has(id)) return [];
  const address = podAddress(pod, port);
  return address ? [{ id, ...address }] : [];
}
