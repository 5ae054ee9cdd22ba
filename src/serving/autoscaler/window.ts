/**
 * Load over a sliding window, in buckets of one second (knative/serving pkg/autoscaler/aggregation/max and
 * `TimedFloat64Buckets`). A report covers a span of time and is spread over the buckets that it overlaps.
 */

const bucketMs = 1000;

export class LoadWindow {
  readonly #buckets: Float64Array;
  readonly #windowMs: number;
  /** Start of the bucket written last, ms; undefined while empty. */
  #newest: number | undefined;
  /** When the load that the window holds began, ms. */
  #first = 0;

  /** `windowMs` is rounded up to whole seconds. */
  constructor(windowMs: number) {
    const count = Math.max(1, Math.ceil(windowMs / bucketMs));
    this.#buckets = new Float64Array(count);
    this.#windowMs = count * bucketMs;
  }

  get windowMs(): number {
    return this.#windowMs;
  }

  /** Adds that the load was `value` from `from` to `to`, ms since the epoch. */
  record(from: number, to: number, value: number): void {
    const start = Math.max(from, to - this.#windowMs + bucketMs);
    if (this.#newest === undefined || start - this.#newest >= this.#windowMs) {
      this.#buckets.fill(0);
      this.#first = start;
      this.#newest = floorToBucket(start);
    }
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
    const span = Math.min(this.#windowMs, now - this.#first);
    if (span <= 0) return 0;
    const oldest = floorToBucket(now) - this.#windowMs + bucketMs;
    let sum = 0;
    for (let at = oldest; at <= now; at += bucketMs) sum += this.#buckets[this.#index(at)] ?? 0;
    return (sum * bucketMs) / Math.max(bucketMs, Math.min(span, now - oldest));
  }

  /**
   * Mean load in which newer seconds weigh more; the weights of a window sum to 1
   * (coefficient max(1 − 0.0001^(1/n), 0.2) for n seconds).
   */
  exponentialAverage(now: number): number {
    if (this.#isEmpty(now)) return 0;
    this.#advance(now);
    const filled = Math.min(this.#windowMs, now - this.#first);
    const count = Math.max(1, Math.ceil(filled / bucketMs));
    const coefficient = Math.max(1 - 0.0001 ** (1 / count), 0.2);
    let weight = coefficient;
    let weights = 0;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      // The second under way is not complete: start at the one before it.
      sum += weight * (this.#buckets[this.#index(floorToBucket(now) - (i + 1) * bucketMs)] ?? 0);
      weights += weight;
      weight *= 1 - coefficient;
    }
    return weights > 0 ? sum / weights : 0;
  }

  #isEmpty(now: number): boolean {
    return this.#newest === undefined || now - this.#newest >= this.#windowMs + bucketMs;
  }

  /** Clears the buckets between the newest one and `now`. */
  #advance(now: number): void {
    const target = floorToBucket(now);
    let at = this.#newest ?? target;
    if (target - at >= this.#windowMs) {
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
