/** Limits how many containers start at once: beyond a few per core, starting together only makes each one later. */
import type { Clock } from '../base/clock.ts';

/** A start that is not ready by then makes room for the next, ms. */
const holdMs = 2000;

export class StartQueue {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** Undefined when there is room at once (the usual case: nothing is awaited). Otherwise resolves when there is. */
  enter(): Promise<void> | undefined {
    if (this.#running < this.#limit) {
      this.#running++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Holds the place until the returned function is called, or for two seconds. */
  hold(): () => void {
    let held = true;
    const leave = (): void => {
      if (!held) return;
      held = false;
      cancel();
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    };
    const cancel = this.#clock.after(holdMs, leave);
    return leave;
  }
}
