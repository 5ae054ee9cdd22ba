/** Strict parser of HTTP/1.1 request heads (RFC 9112 section 3): bytes in, offsets out, nothing allocated. */
import { TARGET, TOKEN, ascii, at, equalsIgnoringCase } from './bytes.ts';
import { FieldSection, INCOMPLETE, REFUSED, type FieldLimits } from './fields.ts';

export interface RequestLimits extends FieldLimits {
  /** Bytes of the request target. */
  readonly targetBytes: number;
}

export const defaultRequestLimits: RequestLimits = { headBytes: 16_384, fields: 100, targetBytes: 8192 };

const MAX_METHOD = 24;
const VERSION = ascii('HTTP/1.');
const HTTP = ascii('http://');
const HTTPS = ascii('https://');
const CONNECT = Buffer.from('CONNECT');
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'].map((name) => Buffer.from(name));

/** What the last successful `parse` found. Offsets are into the bytes that were given. */
export class RequestHead {
  readonly fields: FieldSection;
  start = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  /** The authority: of an absolute-form target when there is one (it wins over Host), of Host otherwise. */
  authorityStart = 0;
  authorityEnd = 0;
  absoluteForm = false;
  /** Path and query to pass on. An absolute-form target without path has `pathStart === pathEnd` and means `/`. */
  pathStart = 0;
  pathEnd = 0;
  /** Minor version that the client speaks: 0 or 1. */
  minor = 1;
  /** Behind the CRLF of the request line. */
  lineEnd = 0;
  readonly #limits: RequestLimits;

  constructor(limits: RequestLimits = defaultRequestLimits) {
    this.#limits = limits;
    this.fields = new FieldSection('request', limits);
  }

  /** Offset behind the head in `bytes[start, end)`, INCOMPLETE, or REFUSED with `fields.refusal`. */
  parse(bytes: Buffer, from: number, end: number): number {
    const fields = this.fields;
    const limit = Math.min(end, from + this.#limits.headBytes);
    let start = from;
    // One empty line before a request is ignored (RFC 9112 section 2.2).
    if (start < limit && at(bytes, start) === 13) {
      if (start + 1 >= limit) return INCOMPLETE;
      if (at(bytes, start + 1) !== 10) return fields.refuse(400, 'a CR stands without LF');
      start += 2;
    }
    this.start = start;
    let p = start;
    while (p < limit && at(TOKEN, at(bytes, p)) === 1) p++;
    if (p - start > MAX_METHOD) return fields.refuse(400, 'the method is too long');
    if (p >= limit) return INCOMPLETE;
    if (p === start || at(bytes, p) !== 32) return fields.refuse(400, 'the request line is malformed');
    this.methodEnd = p;
    this.targetStart = ++p;
    while (p < limit && at(TARGET, at(bytes, p)) === 1) p++;
    this.targetEnd = p;
    if (p - this.targetStart > this.#limits.targetBytes) {
      return fields.refuse(414, 'the request target is longer than the limit');
    }
    if (p < limit && (at(bytes, p) !== 32 || p === this.targetStart)) {
      return fields.refuse(400, 'the request line is malformed');
    }
    if (p + 10 >= limit) {
      return limit < end ? fields.refuse(431, 'the head is longer than the limit') : INCOMPLETE;
    }
    const version = this.#version(bytes, p + 1);
    if (version < 0) return version;
    this.minor = version;
    this.lineEnd = p + 11;
    const method = bytes.subarray(start, this.methodEnd);
    if (method.equals(CONNECT)) return fields.refuse(405, 'CONNECT is not served');
    if (!this.#target(bytes, method)) return REFUSED;
    const headEnd = fields.parse(bytes, start, this.lineEnd, end);
    if (headEnd <= 0) return headEnd;
    if (fields.host < 0) return fields.refuse(400, 'Host is missing');
    if (fields.chunked && this.minor === 0) return fields.refuse(400, 'HTTP/1.0 has no Transfer-Encoding');
    if (!this.absoluteForm) {
      this.authorityStart = at(fields.valueStart, fields.host);
      this.authorityEnd = at(fields.valueEnd, fields.host);
    }
    return headEnd;
  }

  isMethod(bytes: Buffer, method: Uint8Array): boolean {
    const length = this.methodEnd - this.start;
    if (length !== method.length) return false;
    for (let i = 0; i < length; i++) if (at(bytes, this.start + i) !== at(method, i)) return false;
    return true;
  }

  /** Whether doing the request twice means the same as once (RFC 9110 section 9.2.2). */
  isIdempotent(bytes: Buffer): boolean {
    for (const method of IDEMPOTENT) if (this.isMethod(bytes, method)) return true;
    return false;
  }

  #version(bytes: Buffer, p: number): number {
    for (let i = 0; i < VERSION.length; i++) {
      if (at(bytes, p + i) === at(VERSION, i)) continue;
      const other = i === 5 || i === 6;
      return this.fields.refuse(other ? 505 : 400, 'the version is not HTTP/1.0 or HTTP/1.1');
    }
    if (at(bytes, p + 8) !== 13 || at(bytes, p + 9) !== 10) {
      return this.fields.refuse(400, 'the request line is malformed');
    }
    const minor = at(bytes, p + 7) - 48;
    return minor === 0 || minor === 1
      ? minor
      : this.fields.refuse(505, 'the version is not HTTP/1.0 or HTTP/1.1');
  }

  /** Origin-form, absolute-form or (OPTIONS only) asterisk-form (RFC 9112 section 3.2). */
  #target(bytes: Buffer, method: Buffer): boolean {
    const start = this.targetStart;
    const end = this.targetEnd;
    this.absoluteForm = false;
    this.pathStart = start;
    this.pathEnd = end;
    const first = at(bytes, start);
    if (first === 47) return true;
    if (first === 42 && end - start === 1 && method.equals(OPTIONS)) return true;
    const scheme =
      end - start > 7 && equalsIgnoringCase(bytes, start, HTTP)
        ? 7
        : end - start > 8 && equalsIgnoringCase(bytes, start, HTTPS)
          ? 8
          : 0;
    if (scheme === 0) {
      this.fields.refuse(400, 'the request target is neither a path nor an http URL');
      return false;
    }
    let p = start + scheme;
    while (p < end && at(bytes, p) !== 47 && at(bytes, p) !== 63) p++;
    if (p === start + scheme) {
      this.fields.refuse(400, 'the request target has no authority');
      return false;
    }
    this.absoluteForm = true;
    this.authorityStart = start + scheme;
    this.authorityEnd = p;
    this.pathStart = p;
    return true;
  }
}

const OPTIONS = Buffer.from('OPTIONS');
