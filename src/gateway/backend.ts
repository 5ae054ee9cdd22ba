/** One backend as a worker sees it: its endpoints, the queue in front of them, its account. */
import type { Backend } from '../api/routing.ts';
import { Account } from './account.ts';
import type { EndpointState } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { QUEUED, type Exchange } from './exchange.ts';
import { TimerEntry } from './timer-wheel.ts';

export class BackendState {
  spec: Backend;
  endpoints: readonly EndpointState[] = [];
  readonly account: Account;
  /** Requests that wait. */
  queuedCount = 0;
  removed = false;
  readonly #engine: Engine;
  readonly #again: TimerEntry;
  #head: Exchange | null = null;
  #tail: Exchange | null = null;
  #turn = 0;
  #wokeAt = -Infinity;

  constructor(engine: Engine, spec: Backend) {
    this.#engine = engine;
    this.spec = spec;
    this.account = new Account(engine.now());
    this.#again = new TimerEntry(() => {
      this.pump();
      return Infinity;
    });
  }

  get inFlight(): number {
    return this.account.current - this.queuedCount;
  }

  /** A new request: it gets a slot, waits, or is answered with an error. */
  admit(exchange: Exchange): void {
    const now = exchange.arrivedAt;
    const wasIdle = this.account.current === 0;
    this.account.arrive(now);
    // Those who wait already come first.
    const endpoint = this.#head === null ? this.#pick(now) : null;
    if (endpoint) return exchange.granted(endpoint);
    if (!this.spec.wakes) {
      return exchange.client.fail('GATEWAY_NO_ENDPOINT', `nothing serves ${this.spec.key} just now`);
    }
    if (this.queuedCount >= this.#engine.options.queueLimit) {
      return exchange.client.fail(
        'GATEWAY_QUEUE_FULL',
        `${this.queuedCount} requests wait for ${this.spec.key} already`,
      );
    }
    this.#enqueue(exchange, false);
    this.#wake(now);
    if (wasIdle && this.endpoints.length === 0) this.#engine.reportNow(this);
  }

  /** A request whose endpoint turned it away before it could be answered: it goes to another, or first in the queue. */
  readmit(exchange: Exchange): void {
    const now = this.#engine.now();
    exchange.phase = QUEUED;
    exchange.queuedAt = now;
    const endpoint = this.#pick(now);
    if (endpoint) return exchange.granted(endpoint);
    this.#enqueue(exchange, true);
    this.#wake(now);
  }

  /** Whether an endpoint could take a request if none were in flight. */
  hasUsableEndpoint(now: number): boolean {
    return this.endpoints.some((endpoint) => !endpoint.draining && endpoint.suspectUntil <= now);
  }

  /** Serves as many waiting requests as there are slots, in order. */
  pump(): void {
    while (this.#head !== null) {
      const now = this.#engine.now();
      const endpoint = this.#pick(now);
      if (!endpoint) return this.#lookAgain(now);
      const exchange = this.#head;
      if (exchange === null) return;
      this.leaveQueue(exchange);
      exchange.granted(endpoint);
    }
  }

  leaveQueue(exchange: Exchange): void {
    if (!exchange.queued) return;
    if (exchange.previous) exchange.previous.next = exchange.next;
    else this.#head = exchange.next;
    if (exchange.next) exchange.next.previous = exchange.previous;
    else this.#tail = exchange.previous;
    exchange.next = null;
    exchange.previous = null;
    exchange.queued = false;
    this.queuedCount--;
  }

  /** The backend is gone: nobody will serve those who wait. */
  remove(): void {
    this.removed = true;
    this.#engine.wheel.cancel(this.#again);
    while (this.#head !== null) {
      const exchange = this.#head;
      this.leaveQueue(exchange);
      exchange.client.fail('GATEWAY_BACKEND_REMOVED', `${this.spec.key} was removed`);
    }
  }

  #enqueue(exchange: Exchange, first: boolean): void {
    exchange.queued = true;
    this.queuedCount++;
    if (this.#head === null || this.#tail === null) {
      this.#head = exchange;
      this.#tail = exchange;
    } else if (first) {
      exchange.next = this.#head;
      this.#head.previous = exchange;
      this.#head = exchange;
    } else {
      exchange.previous = this.#tail;
      this.#tail.next = exchange;
      this.#tail = exchange;
    }
    exchange.waits();
    this.#lookAgain(exchange.queuedAt);
  }

  /** Somebody waits: pumps when the next endpoint that refused may be tried again. */
  #lookAgain(now: number): void {
    let time = Infinity;
    for (const { draining, suspectUntil } of this.endpoints) {
      if (!draining && suspectUntil > now) time = Math.min(time, suspectUntil);
    }
    this.#engine.wheel.ensure(this.#again, time);
  }

  #wake(now: number): void {
    if (now - this.#wokeAt < this.#engine.options.wakeIntervalMs) return;
    this.#wokeAt = now;
    this.#engine.wake(this.spec.key);
  }

  /** The least loaded endpoint with a free slot, taken; equals take turns. */
  #pick(now: number): EndpointState | null {
    const { slots } = this.#engine;
    const limit = this.spec.containerConcurrency;
    const n = this.endpoints.length;
    for (let attempt = 0; attempt <= n; attempt++) {
      let best: EndpointState | null = null;
      let least = limit > 0 ? limit : Infinity;
      for (let i = 0; i < n; i++) {
        if (++this.#turn >= n) this.#turn = 0;
        const endpoint = this.endpoints[this.#turn];
        if (!endpoint || endpoint.draining) continue;
        // Where nothing can be woken, a refusal is answered rather than waited out.
        if (endpoint.suspectUntil > now && this.spec.wakes) continue;
        const taken = slots.taken(endpoint);
        if (taken < least) {
          best = endpoint;
          least = taken;
          if (taken === 0) break;
        }
      }
      if (best === null) return null;
      // Another worker may have been faster.
      if (slots.take(best, limit)) return best;
    }
    return null;
  }
}
