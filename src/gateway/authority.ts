/** The authority of a request: a host name in the form that routes are kept under. */
import { at } from './http1/bytes.ts';

const MAX_HOST = 255;

/**
 * Host name of `bytes[start, end)`, in lower case, without port and trailing dot; undefined when it is not an
 * authority (RFC 3986 section 3.2.2, letters, digits, `-`, `.`, `_` or an IPv6 literal; no user information).
 */
export function hostOf(bytes: Buffer, start: number, end: number): string | undefined {
  if (start === end || end - start > MAX_HOST + 6) return undefined;
  let p = start;
  let upper = false;
  if (at(bytes, p) === 91) {
    p++;
    while (p < end && isAddressByte(at(bytes, p))) p++;
    if (p === start + 1 || p >= end || at(bytes, p) !== 93) return undefined;
    p++;
  } else {
    for (; p < end; p++) {
      const c = at(bytes, p);
      if (c >= 65 && c <= 90) upper = true;
      else if (!((c >= 97 && c <= 122) || (c >= 48 && c <= 57) || c === 45 || c === 46 || c === 95)) break;
    }
    if (p === start) return undefined;
  }
  const hostEnd = at(bytes, p - 1) === 46 && p - start > 1 ? p - 1 : p;
  if (p < end) {
    if (at(bytes, p) !== 58 || end - p > 6) return undefined;
    for (let i = p + 1; i < end; i++) if (at(bytes, i) < 48 || at(bytes, i) > 57) return undefined;
  }
  const host = bytes.toString('latin1', start, hostEnd);
  return upper || at(bytes, start) === 91 ? host.toLowerCase() : host;
}

function isAddressByte(c: number): boolean {
  return (c >= 48 && c <= 58) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102) || c === 46;
}
