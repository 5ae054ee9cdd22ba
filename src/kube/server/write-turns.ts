/**
 * Turns at writing for streams. One write to the store may wake ten thousand watches; if all of them wrote in the same turn of
 * the event loop, everybody else would wait until the last has its packet.
 */

/** Packets in a turn of the loop: some hundredths of a second. */
const streamsATurn = 250;

export class WriteTurns {
  #left = streamsATurn;
  #waiting: (() => void)[] = [];
  #scheduled = false;

  /** Undefined when the stream may write at once; otherwise resolves when it may, in the order of asking. */
  take(): Promise<void> | undefined {
    this.#schedule();
    if (this.#left > 0) {
      this.#left--;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    const next = this.#waiting.slice(0, streamsATurn);
    this.#waiting = this.#waiting.slice(streamsATurn);
    this.#left = streamsATurn - next.length;
    // Whoever is woken may end, and others come: what waits must go on without them.
    if (this.#waiting.length > 0) this.#schedule();
    for (const resolve of next) resolve();
  }
}
