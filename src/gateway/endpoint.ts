/** One address of a backend as a worker sees it: its slot count, its pool of idle connections, its recent failures. */
import type { BackendState } from './backend.ts';
import type { Engine } from './engine.ts';
import type { Slotted } from './slots.ts';
import type { UpstreamConnection } from './upstream.ts';

/** After a refused connection the endpoint is left alone for this long, doubling up to the maximum. */
const SUSPECT_MS = 50;
const MAX_SUSPECT_MS = 1000;
/** A request that cannot be repeated takes no connection that was idle for longer: the pod may be closing it. */
const FRESH_MS = 1000;

export class EndpointState implements Slotted {
  readonly id: string;
  readonly slot: number;
  readonly backends = new Set<BackendState>();
  host: string;
  port: number;
  inFlight = 0;
  /** Nothing new is sent there. */
  draining = false;
  suspectUntil = 0;
  readonly #engine: Engine;
  readonly #idle: UpstreamConnection[] = [];
  #failures = 0;
  #whenIdle: (() => void)[] = [];

  constructor(engine: Engine, id: string, host: string, port: number, slot: number) {
    this.#engine = engine;
    this.id = id;
    this.slot = slot;
    this.host = host;
    this.port = port;
  }

  /** Follows a change of address: pooled connections to the old one are closed. */
  moveTo(host: string, port: number): void {
    if (host === this.host && port === this.port) return;
    this.host = host;
    this.port = port;
    this.suspectUntil = 0;
    this.closeIdle();
  }

  /** The most recently used idle connection that may carry the request, or undefined. */
  takeIdle(idempotent: boolean, now: number): UpstreamConnection | undefined {
    const top = this.#idle[this.#idle.length - 1];
    if (top === undefined || now >= top.idleUntil) return undefined;
    if (!idempotent && now - top.idleSince > FRESH_MS) return undefined;
    return this.#idle.pop();
  }

  /** Keeps a connection for the next request; false when it is not wanted any more. */
  pool(upstream: UpstreamConnection): boolean {
    if (this.draining || this.backends.size === 0) return false;
    this.#idle.push(upstream);
    this.#engine.sweepSoon();
    return true;
  }

  forget(upstream: UpstreamConnection): void {
    const i = this.#idle.lastIndexOf(upstream);
    if (i >= 0) this.#idle.splice(i, 1);
  }

  /** Closes what was idle for too long; true when connections remain. */
  sweep(now: number): boolean {
    for (let i = 0; i < this.#idle.length;) {
      const upstream = this.#idle[i];
      if (upstream && now >= upstream.idleUntil) {
        this.#idle.splice(i, 1);
        upstream.destroy();
      } else i++;
    }
    return this.#idle.length > 0;
  }

  closeIdle(): void {
    for (const upstream of this.#idle.splice(0)) upstream.destroy();
  }

  /** A connection could not be made. */
  refused(now: number): void {
    this.suspectUntil = now + Math.min(MAX_SUSPECT_MS, SUSPECT_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures++;
  }

  accepted(): void {
    this.#failures = 0;
    this.suspectUntil = 0;
  }

  /** Gives a slot back and lets waiting requests have it. */
  release(): void {
    this.#engine.slots.give(this);
    if (this.inFlight === 0) {
      const waiting = this.#whenIdle;
      this.#whenIdle = [];
      for (const told of waiting) told();
      this.#engine.dropEndpointWhenUnused(this);
    }
    for (const backend of this.backends) backend.pump();
  }

  /** Sends nothing new there. */
  drain(): void {
    this.draining = true;
    this.closeIdle();
  }

  /** `told` is called once nothing is in flight. */
  untilIdle(told: () => void): void {
    if (this.inFlight === 0) told();
    else this.#whenIdle.push(told);
  }
}
