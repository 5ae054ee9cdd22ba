/** Heads as the gateway passes them on: recorded lines without the dropped ones, and what it adds itself. */
import { at } from './bytes.ts';
import type { FieldSection } from './fields.ts';
import type { RequestHead } from './request.ts';
import type { ResponseHead } from './response.ts';

const VERSION_END = Buffer.from(' HTTP/1.1\r\n');
const SLASH = 47;
const ASTERISK = Buffer.from('*');

/** Most bytes that `composeRequestHead` writes besides the head it is given and `added`. */
export const REQUEST_HEAD_SLACK = 16;

/** Copies the lines that are not dropped, in runs; returns the offset behind them. */
function copyKeptLines(fields: FieldSection, bytes: Buffer, out: Buffer, offset: number): number {
  let o = offset;
  let run = -1;
  let runEnd = 0;
  for (let i = 0; i < fields.count; i++) {
    if (fields.drop[i] === 1) {
      if (run >= 0) o += bytes.copy(out, o, run, runEnd);
      run = -1;
    } else {
      if (run < 0) run = at(fields.lineStart, i);
      runEnd = at(fields.lineEnd, i);
    }
  }
  if (run >= 0) o += bytes.copy(out, o, run, runEnd);
  return o;
}

/**
 * Writes the request head for a pod to `out` (which has room for the received head, `added` and
 * REQUEST_HEAD_SLACK): always origin-form and HTTP/1.1. `added` are whole lines. Returns the offset behind the head.
 */
export function composeRequestHead(head: RequestHead, bytes: Buffer, added: Buffer, out: Buffer): number {
  let o: number;
  if (!head.absoluteForm && head.minor === 1) {
    o = bytes.copy(out, 0, head.start, head.lineEnd);
  } else {
    o = bytes.copy(out, 0, head.start, head.methodEnd);
    out[o++] = 32;
    if (head.absoluteForm && head.pathStart === head.pathEnd) {
      // `OPTIONS http://host` means the server as a whole (RFC 9112 section 3.2.4).
      if (bytes.toString('latin1', head.start, head.methodEnd) === 'OPTIONS') o += ASTERISK.copy(out, o);
      else out[o++] = SLASH;
    } else {
      if (at(bytes, head.pathStart) === 63) out[o++] = SLASH;
      o += bytes.copy(out, o, head.pathStart, head.pathEnd);
    }
    o += VERSION_END.copy(out, o);
  }
  o = copyKeptLines(head.fields, bytes, out, o);
  o += added.copy(out, o);
  out[o++] = 13;
  out[o++] = 10;
  return o;
}

/** Writes the response head for a client to `out` at `offset`, as HTTP/1.1. Returns the offset behind the head. */
export function composeResponseHead(
  head: ResponseHead,
  bytes: Buffer,
  added: Buffer,
  out: Buffer,
  offset: number,
): number {
  let o = offset + bytes.copy(out, offset, head.start, head.lineEnd);
  // The version is that of the sender: the gateway (RFC 9112 section 2.3).
  out[offset + 7] = 49;
  o = copyKeptLines(head.fields, bytes, out, o);
  if (added.length > 0) o += added.copy(out, o);
  out[o++] = 13;
  out[o++] = 10;
  return o;
}
