/** The request path of one worker: what connections, backends and endpoints share. */
import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import type { Backend, BackendStats, RoutingUpdate } from '../api/routing.ts';
import type { Clock } from '../base/clock.ts';
import { BackendState } from './backend.ts';
import { ClientConnection } from './client.ts';
import { EndpointState } from './endpoint.ts';
import type { Exchange } from './exchange.ts';
import { RequestHead } from './http1/request.ts';
import { ResponseHead } from './http1/response.ts';
import type { GatewayOptions } from './options.ts';
import { RoutingTable } from './routing-table.ts';
import type { Slots } from './slots.ts';
import type { Random } from './split.ts';
import { TimerEntry, TimerWheel } from './timer-wheel.ts';
import type { ListenOptions, Listener, Transport } from './transport/transport.ts';
import { UpstreamConnection } from './upstream.ts';

/** How often pools of idle connections are looked through, ms. */
const SWEEP_MS = 500;
/** Endpoints that are remembered as drained although no backend names them. */
const MAX_DRAINED = 4096;

export interface EngineDependencies {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly slots: Slots;
  readonly options: GatewayOptions;
  /** Somebody waits for this backend. */
  readonly wake: (backend: string) => void;
  /** The first request met a backend at zero: not to wait for the next report. */
  readonly reportNow: (stats: BackendStats) => void;
}

/** Where the shared count of each endpoint is, by endpoint id. */
export type SlotIndexes = { readonly [endpointId: string]: number };

/** One per worker. */
export class Engine {
  readonly transport: Transport;
  readonly options: GatewayOptions;
  readonly random: Random;
  readonly slots: Slots;
  readonly wheel: TimerWheel;
  readonly routes = new RoutingTable();
  readonly backends = new Map<string, BackendState>();
  /** Parsers hold the result of their last parse; it is used up before the next. */
  readonly request: RequestHead;
  readonly response = new ResponseHead();
  /** Spare buffers for request heads. */
  readonly replays: Buffer[] = [];
  /** No new requests on kept connections. */
  closing = false;
  readonly wake: (backend: string) => void;
  readonly #clock: Clock;
  readonly #reportNow: (stats: BackendStats) => void;
  readonly #endpoints = new Map<string, EndpointState>();
  readonly #drained = new Set<string>();
  readonly #clients = new Set<ClientConnection>();
  readonly #listeners: Listener[] = [];
  readonly #sweeper: TimerEntry;
  #onClosed: (() => void) | undefined;

  constructor(dependencies: EngineDependencies) {
    this.transport = dependencies.transport;
    this.options = dependencies.options;
    this.random = dependencies.random;
    this.slots = dependencies.slots;
    this.wake = dependencies.wake;
    this.#clock = dependencies.clock;
    this.#reportNow = dependencies.reportNow;
    this.wheel = new TimerWheel(dependencies.clock);
    this.request = new RequestHead(dependencies.options.limits);
    this.#sweeper = new TimerEntry((now) => this.#sweep(now));
  }

  now(): number {
    return this.#clock.now();
  }

  /** Accepts clients. With `local`, hosts with visibility `local` are served too. Resolves with the port. */
  async listen(options: ListenOptions, local: boolean): Promise<number> {
    const listener = await this.transport.listen(options, (connection) => {
      const client = new ClientConnection(this, connection, local);
      connection.handler = client;
      this.#clients.add(client);
    });
    this.#listeners.push(listener);
    return listener.port;
  }

  /** Applies a change in one step: backends first, so that no new route leads to nothing. */
  apply(update: RoutingUpdate, slotIndexes: SlotIndexes): void {
    const changed: BackendState[] = [];
    const gone: BackendState[] = [];
    for (const [key, spec] of Object.entries(update.backends ?? {})) {
      const known = this.backends.get(key);
      if (spec === null) {
        if (!known) continue;
        this.backends.delete(key);
        this.#setEndpoints(known, [], slotIndexes);
        gone.push(known);
        continue;
      }
      const state = known ?? new BackendState(this, spec);
      state.spec = spec;
      this.backends.set(key, state);
      this.#setEndpoints(state, spec.endpoints, slotIndexes);
      changed.push(state);
    }
    if (update.hosts) this.routes.apply(update.hosts);
    for (const backend of gone) backend.remove();
    for (const backend of changed) backend.pump();
  }

  /** Sends nothing new to the endpoint, ever; `told` is called once it has nothing in flight in this worker. */
  drain(endpointId: string, told: () => void): void {
    this.#drained.add(endpointId);
    if (this.#drained.size > MAX_DRAINED) {
      for (const id of this.#drained) {
        if (this.#endpoints.has(id)) continue;
        this.#drained.delete(id);
        break;
      }
    }
    const endpoint = this.#endpoints.get(endpointId);
    endpoint?.drain();
    this.untilIdle(endpointId, told);
  }

  /** `told` is called once the endpoint has nothing in flight in this worker. */
  untilIdle(endpointId: string, told: () => void): void {
    const endpoint = this.#endpoints.get(endpointId);
    if (endpoint) endpoint.untilIdle(told);
    else told();
  }

  /** What each backend saw since the last report; those that saw nothing and hold nothing are left out. */
  report(): BackendStats[] {
    const stats: BackendStats[] = [];
    for (const backend of this.backends.values()) {
      const one = this.#statsOf(backend);
      if (one) stats.push(one);
    }
    return stats;
  }

  reportNow(backend: BackendState): void {
    const stats = this.#statsOf(backend);
    if (stats) this.#reportNow({ ...stats, averageConcurrency: Math.max(stats.averageConcurrency, 1) });
  }

  /** Lets those who wait try again: another worker gave a slot back. */
  pumpAll(): void {
    for (const backend of this.backends.values()) if (backend.queuedCount > 0) backend.pump();
  }

  /** Accepts no more, finishes what runs, cuts off what is left after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.closing = true;
    for (const listener of this.#listeners.splice(0)) listener.close();
    for (const client of this.#clients) if (client.resting) client.destroy();
    if (this.#clients.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(graceMs, resolve);
        this.#onClosed = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#onClosed = undefined;
    for (const client of this.#clients) client.destroy();
    for (const endpoint of this.#endpoints.values()) endpoint.closeIdle();
    this.wheel.stop();
  }

  // --- for connections and endpoints

  connect(endpoint: EndpointState, exchange: Exchange): UpstreamConnection {
    return new UpstreamConnection(this, endpoint, exchange);
  }

  /** The IP address of a host: at once for addresses, later for names, undefined when there is none. */
  resolve(host: string, found: (address: string | undefined) => void): void {
    if (isIP(host) !== 0) found(host);
    else lookup(host, (error, address) => found(error ? undefined : address));
  }

  clientClosed(client: ClientConnection): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#onClosed?.();
  }

  sweepSoon(): void {
    if (this.#sweeper.slot < 0) this.wheel.ensure(this.#sweeper, this.now() + SWEEP_MS);
  }

  dropEndpointWhenUnused(endpoint: EndpointState): void {
    if (endpoint.backends.size > 0 || endpoint.inFlight > 0) return;
    endpoint.closeIdle();
    if (this.#endpoints.get(endpoint.id) === endpoint) this.#endpoints.delete(endpoint.id);
  }

  #sweep(now: number): number {
    let more = false;
    for (const endpoint of this.#endpoints.values()) if (endpoint.sweep(now)) more = true;
    return more ? now + SWEEP_MS : Infinity;
  }

  #setEndpoints(backend: BackendState, wanted: Backend['endpoints'], slotIndexes: SlotIndexes): void {
    const before = backend.endpoints;
    backend.endpoints = wanted.map(({ id, host, port }) => {
      let endpoint = this.#endpoints.get(id);
      if (endpoint) endpoint.moveTo(host, port);
      else {
        endpoint = new EndpointState(this, id, host, port, slotIndexes[id] ?? 0);
        endpoint.draining = this.#drained.has(id);
        this.#endpoints.set(id, endpoint);
      }
      endpoint.backends.add(backend);
      return endpoint;
    });
    for (const endpoint of before) {
      if (backend.endpoints.includes(endpoint)) continue;
      endpoint.backends.delete(backend);
      if (endpoint.backends.size === 0) endpoint.closeIdle();
      this.dropEndpointWhenUnused(endpoint);
    }
  }

  #statsOf(backend: BackendState): BackendStats | undefined {
    const report = backend.account.report(this.now());
    if (!report) return undefined;
    return {
      key: backend.spec.key,
      ...report,
      queued: backend.queuedCount,
      inFlight: backend.inFlight,
    };
  }
}
