/** One row of the error catalogue (`docs/errors.md` is generated from these rows and a test holds the two together). */
export interface CatalogueEntry {
  /** What went wrong, in one sentence, for someone who has not read the code. */
  readonly cause: string;
  /** The HTTP status of the answer that carries the code, or 0 when the code is never an HTTP answer. */
  readonly status: number;
  /** What to do about it, with the command where there is one. */
  readonly remedy: string;
  /** `user`: the caller can mend it. `system`: Knapsack or the machine has to. */
  readonly blame: 'user' | 'system';
}
