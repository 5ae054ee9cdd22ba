/**
 * The one timer of a client's connection. Besides the deadlines of a request, which the exchange knows, it watches the
 * next head, an end that lingers, and the open half of a tunnel.
 */
import type { Engine } from './engine.ts';
import { TimerEntry, type OnDue } from './timer-wheel.ts';

export class ClientTimer {
  /** Part of a head came; a new connection is expected to speak at once. */
  headBegun = true;
  readonly #engine: Engine;
  readonly #entry: TimerEntry;
  /** When that began which is watched. */
  #since: number;

  constructor(engine: Engine, onDue: OnDue) {
    this.#engine = engine;
    this.#entry = new TimerEntry(onDue);
    this.#since = engine.now();
    this.lookAgainAt(this.headDue);
  }

  /** Asks at `time` at the latest, ms on the wheel's clock. */
  lookAgainAt(time: number): void {
    this.#engine.wheel.ensure(this.#entry, time);
  }

  cancel(): void {
    this.#engine.wheel.cancel(this.#entry);
  }

  headBegins(): void {
    if (this.headBegun) return;
    this.headBegun = true;
    this.#since = this.#engine.now();
    this.lookAgainAt(this.headDue);
  }

  /** The connection waits for its next request. */
  rests(): void {
    this.headBegun = false;
    this.#since = this.#engine.now();
    this.lookAgainAt(this.headDue);
  }

  /** The connection waits for its end. */
  lingers(): void {
    this.#since = this.#engine.now();
    this.lookAgainAt(this.lingerDue(false));
  }

  /** One side of a tunnel has ended. */
  halfEnds(): void {
    this.#since = this.#engine.now();
    this.lookAgainAt(this.halfTunnelDue);
  }

  /** When the next head must be complete, or the connection is not kept any longer. */
  get headDue(): number {
    const { headTimeoutMs, keepAliveMs } = this.#engine.options;
    return this.#since + (this.headBegun ? headTimeoutMs : keepAliveMs);
  }

  /** With `pending`, a slow reader may still be taking the last of its answer. */
  lingerDue(pending: boolean): number {
    const { keepAliveMs, lingerMs } = this.#engine.options;
    return this.#since + (pending ? keepAliveMs : lingerMs);
  }

  get halfTunnelDue(): number {
    return this.#since + this.#engine.options.halfTunnelMs;
  }
}
