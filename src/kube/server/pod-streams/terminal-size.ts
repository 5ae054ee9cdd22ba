/** Sizes of the client's terminal: a stream of JSON objects `{"Width":80,"Height":24}` (characters). Pure. */

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Longest object, bytes. */
const maxBytes = 1024;

/** Reads sizes from chunks that may begin and end anywhere; skips what is none. */
export class TerminalSizeReader {
  #kept = '';

  read(chunk: Buffer): TerminalSize[] {
    const parts = (this.#kept + chunk.toString('latin1')).split('}');
    const rest = parts.pop() ?? '';
    this.#kept = rest.length > maxBytes ? '' : rest;
    return parts.flatMap((part) => sizeOf(`${part}}`));
  }
}

function sizeOf(json: string): TerminalSize[] {
  try {
    const { Width: columns, Height: rows } = JSON.parse(json) as { Width?: unknown; Height?: unknown };
    return isLength(columns) && isLength(rows) ? [{ columns, rows }] : [];
  } catch {
    return [];
  }
}

/** A terminal that is being closed says 0. */
function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536;
}
