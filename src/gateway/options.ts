/** What can be tuned in the request path. All times in milliseconds unless the name says otherwise. */
import { defaultRequestLimits, type RequestLimits } from './http1/request.ts';

export interface GatewayOptions {
  /** Requests that may wait per backend and worker; knative/serving's activator queues as many. */
  readonly queueLimit: number;
  /** Least time between two wake-ups of one backend. */
  readonly wakeIntervalMs: number;
  /** Longest wait for an endpoint or slot. */
  readonly wakeTimeoutMs: number;
  /** To establish a connection to a pod. */
  readonly connectTimeoutMs: number;
  /** How long a request keeps trying pods that all refuse connections, where a backend can wake. */
  readonly refusedTimeoutMs: number;
  /** A connection of a client without a request. */
  readonly keepAliveMs: number;
  /** To the end of a request head, from accept or from its first byte. */
  readonly headTimeoutMs: number;
  /** Reading on after the last answer, so that the client gets to see it. */
  readonly lingerMs: number;
  /** An upgraded connection that only one side has ended. */
  readonly halfTunnelMs: number;
  readonly tunnelKeepAliveSeconds: number;
  /** An idle connection to a pod; below the 5 s after which Node.js apps close theirs. */
  readonly upstreamIdleMs: number;
  /** How often a request that may be repeated is sent at most. */
  readonly maxAttempts: number;
  /** Buffers for request heads that are kept for later. */
  readonly spareReplays: number;
  readonly limits: RequestLimits;
}

export const defaultOptions: GatewayOptions = {
  queueLimit: 10_000,
  wakeIntervalMs: 100,
  wakeTimeoutMs: 300_000,
  connectTimeoutMs: 2000,
  refusedTimeoutMs: 30_000,
  keepAliveMs: 60_000,
  headTimeoutMs: 15_000,
  lingerMs: 2000,
  halfTunnelMs: 30_000,
  tunnelKeepAliveSeconds: 60,
  upstreamIdleMs: 4000,
  maxAttempts: 3,
  spareReplays: 256,
  limits: defaultRequestLimits,
};
