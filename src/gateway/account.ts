/** What the autoscaler lives on: time-averaged concurrency and arrivals of one backend. */

export class Account {
  /** Requests in the gateway for this backend now: in flight plus queued. */
  current = 0;
  #arrived = 0;
  #area = 0;
  #changedAt: number;
  #reportedAt: number;

  constructor(now: number) {
    this.#changedAt = now;
    this.#reportedAt = now;
  }

  arrive(now: number): void {
    this.#advance(now);
    this.current++;
    this.#arrived++;
  }

  leave(now: number): void {
    this.#advance(now);
    this.current--;
  }

  /** Closes the interval that began with the last report; undefined when nothing happened in it. */
  report(now: number): { intervalMs: number; averageConcurrency: number; arrived: number } | undefined {
    this.#advance(now);
    const intervalMs = Math.max(1, now - this.#reportedAt);
    const area = this.#area;
    const arrived = this.#arrived;
    this.#reportedAt = now;
    this.#area = 0;
    this.#arrived = 0;
    if (arrived === 0 && area === 0 && this.current === 0) return undefined;
    return { intervalMs, averageConcurrency: area / intervalMs, arrived };
  }

  #advance(now: number): void {
    this.#area += this.current * (now - this.#changedAt);
    this.#changedAt = now;
  }
}
