/**
 * What the request path is told and what it tells back. The gateway knows nothing of Kubernetes objects: reconcilers
 * compute these values from objects and hand them over; statistics and wake-ups come back the same way.
 */

/** One address that serves a backend. */
export interface Endpoint {
  /** Stable identity, so that counters and pooled connections survive updates: the pod's uid. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
}

/** Something that answers requests: a revision (which may be at zero) or a fixed local server. */
export interface Backend {
  /** `namespace/revision`, or `local/<name>`. Key of statistics and wake-ups. */
  readonly key: string;
  readonly endpoints: readonly Endpoint[];
  /** Most requests in flight per endpoint; 0 means no limit. */
  readonly containerConcurrency: number;
  /** Requests wait (and a wake-up is sent) while there is no endpoint or no free slot. False answers 503 at once. */
  readonly wakes: boolean;
  /** Whole request, ms; 0 means none. Not applied to upgraded connections. */
  readonly timeoutMs: number;
  /** To the first byte of the response, counted from the start of forwarding, ms; 0 means none. */
  readonly responseStartTimeoutMs: number;
  /** Between bytes in either direction, ms; 0 means none. */
  readonly idleTimeoutMs: number;
  readonly protocol: 'http1' | 'h2c';
}

/** A weighted share of a path's traffic. */
export interface Split {
  readonly backend: string;
  /** 1–100; the splits of a path sum to 100. */
  readonly percent: number;
  /** Headers set (overwriting the client's) when this share is chosen. */
  readonly setHeaders?: { readonly [name: string]: string };
}

export interface PathRule {
  /** Prefix of whole path segments: `/a` matches `/a` and `/a/b`, not `/ab`. `/` matches all. */
  readonly prefix: string;
  /** Only the path that `prefix` says, to the letter. */
  readonly exact?: true;
  /** Every header must equal exactly. Rules with headers come before those without. */
  readonly headers?: { readonly [name: string]: string };
  readonly rewriteHost?: string;
  readonly setHeaders?: { readonly [name: string]: string };
  readonly splits: readonly Split[];
}

/** The rules of one host name, first match wins. */
export interface HostRule {
  /** `local`: only reachable from inside (pods, dispatchers), never on the public listener. */
  readonly visibility: 'public' | 'local';
  readonly paths: readonly PathRule[];
}

/**
 * A change of the routing snapshot: null removes. Applied atomically by every worker. A host is a name, `*.name` for one label
 * before it, or `*` for any; a name that is known comes before a wildcard, and a wildcard before any.
 */
export interface RoutingUpdate {
  readonly hosts?: { readonly [host: string]: HostRule | null };
  readonly backends?: { readonly [key: string]: Backend | null };
}

/** What one backend saw since the last report (about one second), summed over gateway workers. */
export interface BackendStats {
  readonly key: string;
  /** Length of the interval, ms. */
  readonly intervalMs: number;
  /** Time-averaged requests in the gateway for this backend: in flight plus queued. */
  readonly averageConcurrency: number;
  /** Requests waiting for an endpoint or slot right now. */
  readonly queued: number;
  /** Requests being answered right now. */
  readonly inFlight: number;
  /** Requests that arrived in the interval. */
  readonly arrived: number;
}

/** What the composition hands around: the gateway, seen from the main thread. */
export interface RequestPath {
  /** Resolves when every worker serves the change. */
  apply(update: RoutingUpdate): Promise<void>;
  /**
   * Resolves when the endpoint has no request in flight, or after `timeoutMs`. For one that was taken out of the snapshot
   * and may come back: nothing keeps new requests away but its absence there.
   */
  untilIdle(endpointId: string, timeoutMs: number): Promise<void>;
  /** Reports each second, only for backends that saw traffic or still hold requests. */
  onStats(listener: (stats: readonly BackendStats[]) => void): void;
  /** A request met a backend without endpoints, or with no free slot. At most one call per backend per 100 ms. */
  onWake(listener: (backend: string) => void): void;
}
