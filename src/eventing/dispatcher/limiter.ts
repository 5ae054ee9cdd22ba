/** At most so many at once; the others wait in line. */
export class Limiter {
  readonly #limit: () => number;
  readonly #waiting: (() => void)[] = [];
  #active = 0;

  /** `limit` is asked each time, so that it may change. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get active(): number {
    return this.#active;
  }

  /** Runs `work` when its turn comes. @throws what `work` throws, or the signal's reason when it aborts first. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    while (this.#active >= Math.max(1, this.#limit())) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      signal.throwIfAborted();
    }
    this.#active++;
    try {
      return await work();
    } finally {
      this.#active--;
      this.#waiting.shift()?.();
    }
  }
}
