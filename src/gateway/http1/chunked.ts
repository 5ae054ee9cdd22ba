/**
 * Follows a chunked body (RFC 9112 section 7.1) through any split of its bytes, without copying data. Chunk extensions
 * are cut out and trailers filtered, so that nothing the next parser might read differently is passed on.
 */
import { FIELD, HEX, TOKEN, at } from './bytes.ts';

/** All bytes were consumed, the body goes on. */
export const MORE = -1;
/** The bytes are not a chunked body. */
export const MALFORMED = -2;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;

/** 12 hexadecimal digits stay below 2^53. */
const MAX_SIZE_DIGITS = 12;
const MAX_EXTENSION = 256;
const MAX_TRAILER = 8192;
const CRLF = Buffer.from('\r\n');
const NOTHING = Buffer.alloc(0);

/** Fields that must not arrive behind the body: framing, routing, authentication, content meaning (RFC 9110 6.5.1). */
const FORBIDDEN_TRAILERS = new Set(
  (
    'authorization cache-control connection content-encoding content-length content-range content-type cookie ' +
    'date expect forwarded host keep-alive location max-forwards proxy-authenticate proxy-authorization ' +
    'proxy-connection range set-cookie te trailer transfer-encoding upgrade www-authenticate'
  ).split(' '),
);

export class ChunkedBody {
  /** Pairs `from, to` of bytes in the last scanned range that are not passed on. */
  readonly cuts: number[] = [];
  /** What follows the passed bytes: the end of the trailer section, once it was held back. */
  tail: Buffer = NOTHING;
  /** The body as plain data, for clients that know no chunks. */
  #decode = false;
  #state = SIZE;
  #left = 0;
  #digits = 0;
  #extension = 0;
  #trailer: Buffer = NOTHING;

  /** Before the first byte of a body. With `decode`, everything but the data is cut. */
  reset(decode: boolean): void {
    this.#decode = decode;
    this.#state = SIZE;
    this.#left = 0;
    this.#digits = 0;
    this.#trailer = NOTHING;
    this.cuts.length = 0;
    this.tail = NOTHING;
  }

  /** Offset behind the body within `bytes[from, end)`, MORE or MALFORMED. Sets `cuts` and `tail` for this range. */
  scan(bytes: Buffer, from: number, end: number): number {
    this.cuts.length = 0;
    this.tail = NOTHING;
    let i = from;
    // In decode mode framing is cut from here to the next data byte.
    let framing = i;
    while (i < end) {
      switch (this.#state) {
        case SIZE: {
          const c = at(bytes, i);
          const digit = at(HEX, c);
          if (digit !== 255) {
            if (++this.#digits > MAX_SIZE_DIGITS) return MALFORMED;
            this.#left = this.#left * 16 + digit;
          } else if (this.#digits === 0) return MALFORMED;
          else if (c === 13) this.#state = SIZE_LF;
          else if (c === 59) {
            this.#state = EXTENSION;
            this.#extension = 0;
            continue;
          } else return MALFORMED;
          i++;
          break;
        }
        case EXTENSION: {
          const start = i;
          while (i < end && at(FIELD, at(bytes, i)) === 1) i++;
          this.#extension += i - start;
          if (this.#extension > MAX_EXTENSION) return MALFORMED;
          if (!this.#decode) this.cuts.push(start, i);
          if (i === end) break;
          if (at(bytes, i) !== 13) return MALFORMED;
          this.#state = SIZE_LF;
          i++;
          break;
        }
        case SIZE_LF:
          if (at(bytes, i) !== 10) return MALFORMED;
          i++;
          this.#digits = 0;
          if (this.#left === 0) {
            this.#state = TRAILER;
            break;
          }
          this.#state = DATA;
          if (this.#decode) this.cuts.push(framing, i);
          break;
        case DATA: {
          const n = Math.min(end - i, this.#left);
          this.#left -= n;
          i += n;
          framing = i;
          if (this.#left === 0) this.#state = DATA_CR;
          break;
        }
        case DATA_CR:
          if (at(bytes, i) !== 13) return MALFORMED;
          i++;
          this.#state = DATA_LF;
          break;
        case DATA_LF:
          if (at(bytes, i) !== 10) return MALFORMED;
          i++;
          this.#state = SIZE;
          break;
        default:
          return this.#trailers(bytes, i, end, framing);
      }
    }
    if (this.#decode && this.#state !== DATA && framing < end) this.cuts.push(framing, end);
    return MORE;
  }

  /** The trailer section: nearly always just CRLF; otherwise held back until it is complete, then filtered. */
  #trailers(bytes: Buffer, from: number, end: number, framing: number): number {
    if (
      this.#trailer.length === 0 &&
      from + 1 < end &&
      at(bytes, from) === 13 &&
      at(bytes, from + 1) === 10
    ) {
      if (this.#decode) this.cuts.push(framing, from + 2);
      return from + 2;
    }
    const known = this.#trailer.length;
    const all = Buffer.concat([this.#trailer, bytes.subarray(from, end)]);
    const length = trailerLength(all);
    if (length === MALFORMED || (length === MORE ? all.length : length) > MAX_TRAILER) return MALFORMED;
    const consumed = length === MORE ? end : from + length - known;
    this.cuts.push(this.#decode ? framing : from, consumed);
    if (length === MORE) {
      this.#trailer = all;
      return MORE;
    }
    if (!this.#decode) this.tail = filterTrailers(all.subarray(0, length));
    return consumed;
  }

  /** Bytes that `emit` would write for `[from, to)` of the last scan. */
  emittedLength(from: number, to: number): number {
    let length = to - from + this.tail.length;
    for (let i = 0; i < this.cuts.length; i += 2) length -= at2(this.cuts, i + 1) - at2(this.cuts, i);
    return length;
  }

  /** Copies `[from, to)` of the last scan without its cuts, and the tail, to `out`; returns the offset behind. */
  emit(bytes: Buffer, from: number, to: number, out: Buffer, offset: number): number {
    let o = offset;
    let kept = from;
    for (let i = 0; i < this.cuts.length; i += 2) {
      o += bytes.copy(out, o, kept, at2(this.cuts, i));
      kept = at2(this.cuts, i + 1);
    }
    o += bytes.copy(out, o, kept, to);
    if (this.tail.length > 0) o += this.tail.copy(out, o);
    return o;
  }

  /** Whether the last scanned range may be passed on as it is. */
  get intact(): boolean {
    return this.cuts.length === 0 && this.tail.length === 0;
  }
}

function at2(numbers: readonly number[], i: number): number {
  return numbers[i] as number;
}

/** Length of a complete trailer section with its empty line, MORE, or MALFORMED. */
function trailerLength(bytes: Buffer): number {
  let p = 0;
  for (;;) {
    if (p >= bytes.length) return MORE;
    if (at(bytes, p) === 13) {
      if (p + 1 >= bytes.length) return MORE;
      return at(bytes, p + 1) === 10 ? p + 2 : MALFORMED;
    }
    const start = p;
    while (p < bytes.length && at(TOKEN, at(bytes, p)) === 1) p++;
    if (p >= bytes.length) return MORE;
    if (p === start || at(bytes, p) !== 58) return MALFORMED;
    p++;
    while (p < bytes.length && at(FIELD, at(bytes, p)) === 1) p++;
    if (p + 1 >= bytes.length) return p < bytes.length && at(bytes, p) !== 13 ? MALFORMED : MORE;
    if (at(bytes, p) !== 13 || at(bytes, p + 1) !== 10) return MALFORMED;
    p += 2;
  }
}

function filterTrailers(section: Buffer): Buffer {
  const kept = section
    .toString('latin1')
    .split('\r\n')
    .filter((line) => {
      const name = line.slice(0, line.indexOf(':')).toLowerCase();
      return line !== '' && !FORBIDDEN_TRAILERS.has(name) && !/^(x-forwarded-|k-|knative-)/.test(name);
    });
  return kept.length === 0 ? CRLF : Buffer.from(`${kept.join('\r\n')}\r\n\r\n`, 'latin1');
}
