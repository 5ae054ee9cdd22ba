/**
 * Keeps the gateway's routing snapshot equal to what the API says. Pods are read directly, not through EndpointSlices:
 * one write less between a pod's readiness and its first request. Changes of one tick are sent together, and only the
 * hosts and backends that differ.
 */
import { pods as podResource } from '../../api/kubernetes/pods.ts';
import { ingresses, type Ingress } from '../../api/networking/index.ts';
import { keyOf, type KubeObject } from '../../api/object.ts';
import type { Pod } from '../../api/pods.ts';
import type { Backend, HostRule, RequestPath, RoutingUpdate } from '../../api/routing.ts';
import { gatewayIngressClass } from '../../api/serving/config/network.ts';
import { annotations, labels } from '../../api/serving/labels.ts';
import { revisions, type Revision } from '../../api/serving/index.ts';
import { deepEqual } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import { messageOf } from '../../base/errors.ts';
import type { Informer, Informers } from '../../kube/client/informer.ts';
import { absentBackend, backendsOf, makeBackend, makeRoutes } from './make-routes.ts';

/** True when the gateway serves this ingress. */
export function isOurs(ingress: Ingress): boolean {
  return ingress.metadata.annotations?.[annotations.ingressClass] === gatewayIngressClass;
}

/** What the snapshot says of an ingress: served, or which host another ingress had first. */
export type Publication =
  | { readonly conflict?: undefined }
  | { readonly conflict: { host: string; holder: string } };

interface Claim {
  readonly key: string;
  /** Older claims win: creation time, then key. */
  readonly rank: string;
  readonly rule: HostRule;
}

export class RoutePublisher {
  readonly #requestPath: RequestPath;
  readonly #log: Logger;
  readonly #ingresses: Informer<Ingress>;
  readonly #revisions: Informer<Revision>;
  readonly #pods: Informer<Pod>;
  readonly #unsubscribe: (() => void)[] = [];

  /** Host → who wants it; ingress key → hosts that it wants. */
  readonly #claims = new Map<string, Claim[]>();
  readonly #hostsOf = new Map<string, string[]>();
  /** What was sent last. */
  readonly #hosts = new Map<string, HostRule>();
  readonly #backends = new Map<string, Backend>();
  readonly #dirtyHosts = new Set<string>();
  readonly #dirtyBackends = new Set<string>();
  /** Backend key → uids of pods that get nothing new. */
  readonly #excluded = new Map<string, ReadonlySet<string>>();
  /** By uid: pods with the status that {@link announce} told last. */
  readonly #announced = new Map<string, Pod>();
  #scheduled = false;
  #sent: Promise<void> = Promise.resolve();

  constructor(informers: Informers, requestPath: RequestPath, log: Logger) {
    this.#requestPath = requestPath;
    this.#log = log.child({ component: 'route-publisher' });
    this.#ingresses = informers.for(ingresses);
    this.#revisions = informers.for(revisions);
    this.#pods = informers.for(podResource);
  }

  /** Publishes what exists and follows changes. Resolves when the gateway serves the first snapshot. */
  async start(): Promise<void> {
    await Promise.all([this.#ingresses.synced(), this.#revisions.synced(), this.#pods.synced()]);
    this.#unsubscribe.push(
      this.#ingresses.onChange(({ type, object }) => this.#claim(object, type === 'deleted')),
      this.#revisions.onChange(({ object }) => this.#touch(keyOf(object))),
      this.#pods.onChange(({ type, object }) => {
        if (type === 'deleted') this.#announced.delete(object.metadata.uid ?? '');
        const revision = revisionOf(object);
        if (revision) this.#touch(revision);
      }),
    );
    await this.#flush();
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Resolves once the gateway serves the rules of this version of the ingress. */
  async published(ingress: Ingress): Promise<Publication> {
    this.#claim(ingress, false);
    await this.#flush();
    const key = keyOf(ingress);
    for (const host of this.#hostsOf.get(key) ?? []) {
      const holder = this.#claims.get(host)?.[0]?.key;
      if (holder !== undefined && holder !== key) return { conflict: { host, holder } };
    }
    return {};
  }

  /** Takes these pods out of the snapshot; resolves when no gateway worker sends them anything new. */
  async exclude(backend: string, podUids: Iterable<string>): Promise<void> {
    this.#excluded.set(backend, new Set(podUids));
    this.#dirtyBackends.add(backend);
    await this.#flush();
  }

  /** Ends {@link exclude}: pods that still run may serve again. */
  include(backend: string): void {
    if (this.#excluded.delete(backend)) this.#touch(backend);
  }

  /**
   * Takes a pod's status from whoever makes it, before the API has it. The API still decides which pods there are and
   * which are to go.
   */
  announce(pod: Pod): void {
    const revision = revisionOf(pod);
    const isKnown = this.#pods.get(keyOf(pod))?.metadata.uid === pod.metadata.uid;
    if (!revision || !isKnown) return;
    this.#announced.set(pod.metadata.uid ?? '', pod);
    this.#touch(revision);
  }

  #claim(ingress: Ingress, deleted: boolean): void {
    const key = keyOf(ingress);
    for (const host of this.#hostsOf.get(key) ?? []) {
      const rest = (this.#claims.get(host) ?? []).filter((claim) => claim.key !== key);
      if (rest.length > 0) this.#claims.set(host, rest);
      else this.#claims.delete(host);
      this.#dirtyHosts.add(host);
    }
    this.#hostsOf.delete(key);
    if (!deleted && isOurs(ingress)) {
      const routes = makeRoutes(ingress);
      const rank = `${ingress.metadata.creationTimestamp ?? ''} ${key}`;
      for (const [host, rule] of routes) {
        const claims = [...(this.#claims.get(host) ?? []), { key, rank, rule }];
        this.#claims.set(
          host,
          claims.sort((a, b) => (a.rank < b.rank ? -1 : 1)),
        );
        this.#dirtyHosts.add(host);
      }
      for (const backend of backendsOf(routes.values())) this.#dirtyBackends.add(backend);
      this.#hostsOf.set(key, [...routes.keys()]);
    }
    this.#schedule();
  }

  /** Only backends that some host names, or named before, are in the snapshot. */
  #touch(backend: string): void {
    if (!this.#backends.has(backend)) return;
    this.#dirtyBackends.add(backend);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => void this.#flush());
  }

  /** Sends what differs. Resolves when everything sent so far is served. */
  #flush(): Promise<void> {
    this.#scheduled = false;
    const hosts: Record<string, HostRule | null> = {};
    for (const host of this.#dirtyHosts) {
      const rule = this.#claims.get(host)?.[0]?.rule;
      if (deepEqual(rule, this.#hosts.get(host))) continue;
      hosts[host] = rule ?? null;
      if (rule) this.#hosts.set(host, rule);
      else this.#hosts.delete(host);
    }
    const backends: Record<string, Backend | null> = {};
    const named = new Map<string, boolean>();
    for (const key of this.#dirtyBackends) {
      const backend = this.#makeBackend(key, () => this.#isNamed(key, named));
      if (deepEqual(backend, this.#backends.get(key))) continue;
      backends[key] = backend ?? null;
      if (backend) this.#backends.set(key, backend);
      else this.#backends.delete(key);
    }
    this.#dirtyHosts.clear();
    this.#dirtyBackends.clear();
    const update: RoutingUpdate = {
      ...(Object.keys(hosts).length > 0 ? { hosts } : {}),
      ...(Object.keys(backends).length > 0 ? { backends } : {}),
    };
    if (update.hosts || update.backends) {
      const applied = this.#requestPath.apply(update);
      this.#sent = this.#settle(this.#sent, applied);
    }
    return this.#sent;
  }

  async #settle(before: Promise<void>, applied: Promise<void>): Promise<void> {
    try {
      await Promise.all([before, applied]);
    } catch (error) {
      this.#log.error({ error: messageOf(error) }, 'routing update failed');
    }
  }

  /** A revision that is gone keeps a refusing backend as long as a host names it. */
  #makeBackend(key: string, isNamed: () => boolean): Backend | undefined {
    const revision = this.#revisions.get(key);
    if (!revision) return isNamed() ? absentBackend(key) : undefined;
    const namespace = revision.metadata.namespace ?? '';
    const pods = this.#pods.list({
      namespace,
      labels: { [labels.revisionUid]: revision.metadata.uid ?? '' },
    });
    const newest = pods.map((pod) => this.#withAnnounced(pod));
    return makeBackend(revision, newest, this.#excluded.get(key) ?? none);
  }

  #withAnnounced(pod: Pod): Pod {
    const announced = this.#announced.get(pod.metadata.uid ?? '');
    if (!announced) return pod;
    const { annotations } = announced.metadata;
    return { ...pod, metadata: { ...pod.metadata, annotations }, status: announced.status };
  }

  #isNamed(key: string, cache: Map<string, boolean>): boolean {
    let known = cache.get(key);
    if (known === undefined) {
      known = backendsOf(this.#hosts.values()).has(key);
      cache.set(key, known);
    }
    return known;
  }
}

const none: ReadonlySet<string> = new Set();

function revisionOf({ metadata }: KubeObject): string | undefined {
  const name = metadata.labels?.[labels.revision];
  return name ? `${metadata.namespace}/${name}` : undefined;
}
