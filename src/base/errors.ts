/** Every failure that Knapsack reports by code is declared once in the catalogue; this is what such a failure looks like when thrown. */
import type { CatalogueEntry } from './catalogue/entry.ts';
import { catalogue, type ErrorCode } from './catalogue/index.ts';

/** A failure with a code of the catalogue. `message` says what happened to *this* request, with names. */
export class KnapsackError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'KnapsackError';
    this.code = code;
  }
  get entry(): CatalogueEntry {
    return catalogue[this.code];
  }
}

/** The message of anything thrown, without assuming that it is an Error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node.js system error (`ENOENT`, `EADDRINUSE`…), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
