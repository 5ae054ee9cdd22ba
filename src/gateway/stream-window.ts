/**
 * The bytes of a connection as one stream, of which a part is at hand. What is not consumed is kept (in memory of its
 * own) and comes back in front of what follows, so that nobody has to know how the bytes were split.
 */

const NOTHING = Buffer.alloc(0);

export abstract class StreamWindow {
  /** The stream as far as it is at hand: `input[position, end)`; null when nothing is being looked at. */
  protected input: Buffer | null = null;
  protected position = 0;
  protected end = 0;
  /** What was not consumed. */
  protected kept: Buffer | null = null;

  /** Consumes what it can of the window by moving `position`. */
  protected abstract process(): void;
  /** After each look at the stream: what is not consumed is in `kept` now. */
  protected abstract looked(): void;

  /** New bytes, valid only during the call. */
  protected feed(bytes: Buffer, length: number): void {
    this.input = bytes;
    this.position = 0;
    this.end = length;
    this.process();
    this.#keep();
  }

  /** Does `fn` with the kept part at hand and goes on in the stream: something has changed. */
  protected again(fn?: () => void): void {
    if (this.input !== null) {
      fn?.();
      return;
    }
    this.input = this.kept ?? NOTHING;
    this.kept = null;
    this.position = 0;
    this.end = this.input.length;
    fn?.();
    this.process();
    this.#keep();
  }

  #keep(): void {
    const input = this.input ?? NOTHING;
    this.input = null;
    // A copy, also of memory that is ours: the rest must not hold on to all of it.
    if (this.position < this.end) this.kept = Buffer.from(input.subarray(this.position, this.end));
    this.looked();
  }
}
