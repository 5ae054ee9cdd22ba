/**
 * Load over a sliding window, in buckets of one second (knative/serving pkg/autoscaler/aggregation
 * `TimedFloat64Buckets`). A report covers a span of time and is spread over the buckets that it overlaps.
 */

const bucketMs = 1000;

export class LoadWindow {
  /** One more than the window has seconds, so that a window that begins within a second is whole. */
  readonly #buckets: Float64Array;
  readonly windowMs: number;
  /** Start of the bucket reached last, ms; undefined while empty. */
  #newest: number | undefined;
  /** When the load that the window holds began, and when the last report of it ended, ms. */
  #first = 0;
  #last = 0;

  /** `windowMs` is rounded up to whole seconds. */
  constructor(windowMs: number) {
    const count = Math.max(1, Math.ceil(windowMs / bucketMs));
    this.#buckets = new Float64Array(count + 1);
    this.windowMs = count * bucketMs;
  }

  /** Adds that the load was `value` from `from` to `to`, ms since the epoch. */
  record(from: number, to: number, value: number): void {
    const start = Math.max(from, to - this.windowMs);
    if (this.#newest === undefined || start - this.#last >= this.windowMs) {
      this.#buckets.fill(0);
      this.#first = start;
      this.#newest = floorToBucket(start);
    }
    this.#last = to;
    this.#advance(to);
    for (let at = floorToBucket(start); at < to; at += bucketMs) {
      const overlap = Math.min(to, at + bucketMs) - Math.max(start, at);
      const index = this.#index(at);
      this.#buckets[index] = (this.#buckets[index] ?? 0) + (value * overlap) / bucketMs;
    }
  }

  /** Mean load from the first report in the window until `now`; 0 when there was none for a whole window. */
  average(now: number): number {
    if (this.#isEmpty(now)) return 0;
    this.#advance(now);
    const from = Math.max(this.#first, now - this.windowMs);
    if (now <= from) return 0;
    let sum = 0;
    for (let at = floorToBucket(from); at < now; at += bucketMs) sum += this.#loadFrom(at, from, now);
    return (sum * bucketMs) / (now - from);
  }

  /**
   * Mean load in which newer seconds weigh more
   * (coefficient max(1 − 0.0001^(1/n), 0.2) for n seconds; the weights are made to sum to 1).
   */
  exponentialAverage(now: number): number {
    if (this.#isEmpty(now)) return 0;
    this.#advance(now);
    const from = Math.max(this.#first, now - this.windowMs);
    const count = Math.max(1, Math.ceil((now - from) / bucketMs));
    const coefficient = Math.max(1 - 0.0001 ** (1 / count), 0.2);
    let weight = coefficient;
    let weights = 0;
    let sum = 0;
    for (let at = floorToBucket(now - 1); at + bucketMs > from; at -= bucketMs) {
      const span = Math.min(now, at + bucketMs) - Math.max(from, at);
      // The bucket holds load × seconds, so its weight counts for the part of a second that it covers.
      sum += weight * this.#loadFrom(at, from, now);
      weights += (weight * span) / bucketMs;
      weight *= 1 - coefficient;
    }
    return weights > 0 ? sum / weights : 0;
  }

  /** Load × seconds of the bucket at `at` that lie between `from` and `now`. */
  #loadFrom(at: number, from: number, now: number): number {
    const total = this.#buckets[this.#index(at)] ?? 0;
    const begin = Math.max(at, this.#first);
    const end = Math.min(at + bucketMs, now);
    if (from <= begin || end <= begin) return total;
    return (total * Math.max(0, end - from)) / (end - begin);
  }

  #isEmpty(now: number): boolean {
    return this.#newest === undefined || now - this.#last >= this.windowMs;
  }

  /** Clears the buckets between the newest one and `now`. */
  #advance(now: number): void {
    const target = floorToBucket(now);
    let at = this.#newest ?? target;
    if (target - at >= this.#buckets.length * bucketMs) {
      this.#buckets.fill(0);
      at = target;
    }
    while (at < target) {
      at += bucketMs;
      this.#buckets[this.#index(at)] = 0;
    }
    this.#newest = at;
  }

  #index(at: number): number {
    const count = this.#buckets.length;
    return (((at / bucketMs) % count) + count) % count;
  }
}

function floorToBucket(ms: number): number {
  return Math.floor(ms / bucketMs) * bucketMs;
}
