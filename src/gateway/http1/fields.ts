/**
 * The field section of an HTTP/1.1 message: one pass over bytes that records where each line is and understands the
 * fields that frame the message or belong to the connection. Requests and responses both use it.
 */
import { FIELD, TOKEN, ascii, at, equalsIgnoringCase, isWord, skipBlank, trimBlank } from './bytes.ts';

/** The section is not complete yet. */
export const INCOMPLETE = 0;
/** The message is refused; `refusal` says why. */
export const REFUSED = -1;

/** Why bytes are not a message that the gateway accepts. */
export interface Refusal {
  readonly status: 400 | 405 | 414 | 417 | 431 | 501 | 505;
  readonly reason: string;
}

export interface FieldLimits {
  /** Bytes of the whole head, start line included. */
  readonly headBytes: number;
  /** Number of field lines. */
  readonly fields: number;
}

const WORDS = {
  te: ascii('te'),
  host: ascii('host'),
  expect: ascii('expect'),
  accept: ascii('accept'),
  upgrade: ascii('upgrade'),
  forwarded: ascii('forwarded'),
  connection: ascii('connection'),
  keepAlive: ascii('keep-alive'),
  contentLength: ascii('content-length'),
  http2Settings: ascii('http2-settings'),
  forwardedFor: ascii('x-forwarded-for'),
  proxyConnection: ascii('proxy-connection'),
  transferEncoding: ascii('transfer-encoding'),
  forwardedProto: ascii('x-forwarded-proto'),
  forwardedHost: ascii('x-forwarded-host'),
  proxyAuthorization: ascii('proxy-authorization'),
  networkProbe: ascii('k-network-probe'),
  networkHash: ascii('k-network-hash'),
  proxyRequest: ascii('k-proxy-request'),
  originalHost: ascii('k-original-host'),
  revision: ascii('knative-serving-revision'),
  namespace: ascii('knative-serving-namespace'),
  chunked: ascii('chunked'),
  continue100: ascii('100-continue'),
  websocket: ascii('websocket'),
  close: ascii('close'),
} as const;

/** Names that a `Connection` field cannot take out: they frame or address the message, or the gateway owns them. */
const PROTECTED = [
  WORDS.host,
  WORDS.contentLength,
  WORDS.transferEncoding,
  WORDS.forwarded,
  WORDS.forwardedFor,
  WORDS.forwardedProto,
];

/** No such field in this message. */
const ABSENT = -1;

export class FieldSection {
  refusal: Refusal = { status: 400, reason: '' };
  /** Number of field lines; line `i` is `[lineStart[i], lineEnd[i])` with its CRLF. */
  count = 0;
  readonly lineStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly lineEnd: Int32Array;
  /** 1 for lines that are not passed on. */
  readonly drop: Uint8Array;

  /** Value of Content-Length, or -1. */
  contentLength = ABSENT;
  chunked = false;
  close = false;
  keepAlive = false;
  /** `Connection: upgrade` together with exactly one `Upgrade: websocket`. */
  upgradeWebSocket = false;
  expectContinue = false;
  /** Indexes of lines, or -1. */
  host = ABSENT;
  accept = ABSENT;
  forwarded = ABSENT;
  forwardedFor = ABSENT;
  forwardedProto = ABSENT;
  forwardedHost = ABSENT;
  networkProbe = ABSENT;
  /** Seconds of `Keep-Alive: timeout=N`, or -1. */
  keepAliveTimeout = ABSENT;

  #connectionUpgrade = false;
  #upgradeFields = 0;
  #upgradeIsWebSocket = false;
  readonly #limits: FieldLimits;
  readonly #request: boolean;

  constructor(kind: 'request' | 'response', limits: FieldLimits) {
    this.#limits = limits;
    this.#request = kind === 'request';
    this.lineStart = new Int32Array(limits.fields);
    this.nameEnd = new Int32Array(limits.fields);
    this.valueStart = new Int32Array(limits.fields);
    this.valueEnd = new Int32Array(limits.fields);
    this.lineEnd = new Int32Array(limits.fields);
    this.drop = new Uint8Array(limits.fields);
  }

  refuse(status: Refusal['status'], reason: string): typeof REFUSED {
    this.refusal = { status, reason };
    return REFUSED;
  }

  /**
   * Parses the lines from `from` to the empty line. `headStart` is where the message began. Returns the offset
   * behind the empty line, INCOMPLETE or REFUSED.
   */
  parse(bytes: Uint8Array, headStart: number, from: number, end: number): number {
    this.#reset();
    // A complete head must respect the limit too, not only one that is still growing.
    const limit = Math.min(end, headStart + this.#limits.headBytes);
    const short = (): number =>
      limit < end ? this.refuse(431, 'the head is longer than the limit') : INCOMPLETE;
    let p = from;
    for (;;) {
      if (p >= limit) return short();
      const first = at(bytes, p);
      if (first === 13) {
        if (p + 1 >= limit) return short();
        if (at(bytes, p + 1) !== 10) return this.refuse(400, 'a CR stands without LF');
        break;
      }
      const start = p;
      while (p < limit && at(TOKEN, at(bytes, p)) === 1) p++;
      if (p >= limit) return short();
      if (p === start || at(bytes, p) !== 58) return this.refuse(400, 'a field name is malformed');
      const nameEnd = p;
      p = skipBlank(bytes, p + 1, limit);
      const valueStart = p;
      while (p < limit && at(FIELD, at(bytes, p)) === 1) p++;
      if (p >= limit) return short();
      if (at(bytes, p) !== 13) return this.refuse(400, 'a field value has a forbidden byte');
      if (p + 1 >= limit) return short();
      if (at(bytes, p + 1) !== 10) return this.refuse(400, 'a CR stands without LF');
      const valueEnd = trimBlank(bytes, valueStart, p);
      p += 2;
      const i = this.count;
      if (i >= this.#limits.fields) return this.refuse(431, 'there are more fields than the limit');
      this.lineStart[i] = start;
      this.nameEnd[i] = nameEnd;
      this.valueStart[i] = valueStart;
      this.valueEnd[i] = valueEnd;
      this.lineEnd[i] = p;
      this.drop[i] = 0;
      this.count = i + 1;
      if (!this.#understand(bytes, i, start, nameEnd - start, valueStart, valueEnd)) return REFUSED;
    }
    if (this.chunked && this.contentLength !== ABSENT) {
      return this.refuse(400, 'Content-Length and Transfer-Encoding are both present');
    }
    this.upgradeWebSocket = this.#connectionUpgrade && this.#upgradeFields === 1 && this.#upgradeIsWebSocket;
    return p + 2;
  }

  /** Index of the first line whose name is the lower-case `name`, or -1. */
  find(bytes: Uint8Array, name: Uint8Array): number {
    for (let i = 0; i < this.count; i++) {
      const start = at(this.lineStart, i);
      if (at(this.nameEnd, i) - start === name.length && equalsIgnoringCase(bytes, start, name)) return i;
    }
    return ABSENT;
  }

  /** Marks every line with the lower-case `name` as not passed on. */
  dropNamed(bytes: Uint8Array, name: Uint8Array): void {
    for (let i = 0; i < this.count; i++) {
      const start = at(this.lineStart, i);
      if (at(this.nameEnd, i) - start === name.length && equalsIgnoringCase(bytes, start, name))
        this.drop[i] = 1;
    }
  }

  /** The value of line `i` as text, one character per byte. */
  value(bytes: Buffer, i: number): string {
    return bytes.toString('latin1', at(this.valueStart, i), at(this.valueEnd, i));
  }

  /** Drops every line that `Connection` fields nominate (RFC 9110 section 7.6.1). */
  dropNominated(bytes: Uint8Array): void {
    for (let i = 0; i < this.count; i++) {
      const start = at(this.lineStart, i);
      if (at(this.nameEnd, i) - start !== 10 || !equalsIgnoringCase(bytes, start, WORDS.connection)) continue;
      forEachListItem(bytes, at(this.valueStart, i), at(this.valueEnd, i), (from, to) => {
        const name = lowered(bytes, from, to);
        if (!PROTECTED.some((word) => isWord(name, 0, name.length, word))) this.dropNamed(bytes, name);
      });
    }
  }

  #reset(): void {
    this.count = 0;
    this.contentLength = ABSENT;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgradeWebSocket = false;
    this.expectContinue = false;
    this.host = ABSENT;
    this.accept = ABSENT;
    this.forwarded = ABSENT;
    this.forwardedFor = ABSENT;
    this.forwardedProto = ABSENT;
    this.forwardedHost = ABSENT;
    this.networkProbe = ABSENT;
    this.keepAliveTimeout = ABSENT;
    this.nominates = false;
    this.#connectionUpgrade = false;
    this.#upgradeFields = 0;
    this.#upgradeIsWebSocket = false;
  }

  /** A `Connection` field names something other than close, keep-alive and upgrade. */
  nominates = false;

  /** Reads one field; false when it makes the message unacceptable. Switching on the length keeps this cheap. */
  #understand(
    bytes: Uint8Array,
    i: number,
    start: number,
    length: number,
    from: number,
    to: number,
  ): boolean {
    switch (length) {
      case 2:
        if (equalsIgnoringCase(bytes, start, WORDS.te)) this.drop[i] = 1;
        return true;
      case 4:
        if (!this.#request || !equalsIgnoringCase(bytes, start, WORDS.host)) return true;
        if (this.host !== ABSENT) return this.#bad('Host is present twice');
        this.host = i;
        return true;
      case 6:
        if (!this.#request) return true;
        if (equalsIgnoringCase(bytes, start, WORDS.accept)) this.accept = i;
        else if (equalsIgnoringCase(bytes, start, WORDS.expect)) {
          this.drop[i] = 1;
          if (!isWord(bytes, from, to, WORDS.continue100)) {
            this.refuse(417, 'Expect is not 100-continue');
            return false;
          }
          this.expectContinue = true;
        }
        return true;
      case 7:
        if (equalsIgnoringCase(bytes, start, WORDS.upgrade)) {
          this.drop[i] = 1;
          this.#upgradeFields++;
          this.#upgradeIsWebSocket = isWord(bytes, from, to, WORDS.websocket);
        }
        return true;
      case 9:
        if (equalsIgnoringCase(bytes, start, WORDS.forwarded)) this.forwarded = i;
        return true;
      case 10:
        if (equalsIgnoringCase(bytes, start, WORDS.connection)) {
          this.drop[i] = 1;
          this.#connection(bytes, from, to);
        } else if (equalsIgnoringCase(bytes, start, WORDS.keepAlive)) {
          this.drop[i] = 1;
          this.keepAliveTimeout = keepAliveSeconds(bytes, from, to);
        }
        return true;
      case 14:
        if (equalsIgnoringCase(bytes, start, WORDS.contentLength))
          return this.#contentLength(bytes, from, to);
        if (equalsIgnoringCase(bytes, start, WORDS.http2Settings)) this.drop[i] = 1;
        else if (this.#request && equalsIgnoringCase(bytes, start, WORDS.networkHash)) this.drop[i] = 1;
        return true;
      case 15:
        if (equalsIgnoringCase(bytes, start, WORDS.forwardedFor)) {
          // Several lines are one list; the request composer joins them all.
          if (this.forwardedFor === ABSENT) this.forwardedFor = i;
        } else if (this.#request && equalsIgnoringCase(bytes, start, WORDS.networkProbe)) {
          this.networkProbe = i;
          this.drop[i] = 1;
        } else if (
          this.#request &&
          (equalsIgnoringCase(bytes, start, WORDS.proxyRequest) ||
            equalsIgnoringCase(bytes, start, WORDS.originalHost))
        ) {
          this.drop[i] = 1;
        }
        return true;
      case 16:
        if (equalsIgnoringCase(bytes, start, WORDS.proxyConnection)) this.drop[i] = 1;
        else if (equalsIgnoringCase(bytes, start, WORDS.forwardedHost)) this.forwardedHost = i;
        return true;
      case 17:
        if (equalsIgnoringCase(bytes, start, WORDS.transferEncoding)) {
          if (this.chunked) return this.#bad('Transfer-Encoding is present twice');
          if (!isWord(bytes, from, to, WORDS.chunked)) {
            this.refuse(501, 'Transfer-Encoding is not exactly chunked');
            return false;
          }
          this.chunked = true;
        } else if (equalsIgnoringCase(bytes, start, WORDS.forwardedProto)) this.forwardedProto = i;
        return true;
      case 19:
        if (this.#request && equalsIgnoringCase(bytes, start, WORDS.proxyAuthorization)) this.drop[i] = 1;
        return true;
      case 24:
        if (this.#request && equalsIgnoringCase(bytes, start, WORDS.revision)) this.drop[i] = 1;
        return true;
      case 25:
        if (this.#request && equalsIgnoringCase(bytes, start, WORDS.namespace)) this.drop[i] = 1;
        return true;
      default:
        return true;
    }
  }

  #bad(reason: string): false {
    this.refuse(400, reason);
    return false;
  }

  #contentLength(bytes: Uint8Array, from: number, to: number): boolean {
    if (this.contentLength !== ABSENT) return this.#bad('Content-Length is present twice');
    if (to === from || to - from > 15) return this.#bad('Content-Length is not a number');
    let value = 0;
    for (let i = from; i < to; i++) {
      const digit = at(bytes, i) - 48;
      if (digit < 0 || digit > 9) return this.#bad('Content-Length is not a number');
      value = value * 10 + digit;
    }
    this.contentLength = value;
    return true;
  }

  #connection(bytes: Uint8Array, from: number, to: number): void {
    forEachListItem(bytes, from, to, (start, end) => {
      if (isWord(bytes, start, end, WORDS.close)) this.close = true;
      else if (isWord(bytes, start, end, WORDS.keepAlive)) this.keepAlive = true;
      else if (isWord(bytes, start, end, WORDS.upgrade)) this.#connectionUpgrade = true;
      else this.nominates = true;
    });
  }
}

function lowered(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return Uint8Array.from(bytes.subarray(from, to), (byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));
}

/** Calls `item` with the bounds of each non-empty member of a comma-separated list. */
function forEachListItem(
  bytes: Uint8Array,
  from: number,
  to: number,
  item: (start: number, end: number) => void,
): void {
  let p = from;
  while (p < to) {
    let comma = p;
    while (comma < to && at(bytes, comma) !== 44) comma++;
    const start = skipBlank(bytes, p, comma);
    const end = trimBlank(bytes, start, comma);
    if (end > start) item(start, end);
    p = comma + 1;
  }
}

const TIMEOUT = ascii('timeout=');

function keepAliveSeconds(bytes: Uint8Array, from: number, to: number): number {
  let seconds = ABSENT;
  forEachListItem(bytes, from, to, (start, end) => {
    if (end - start <= TIMEOUT.length || end - start > TIMEOUT.length + 6) return;
    if (!equalsIgnoringCase(bytes, start, TIMEOUT)) return;
    let value = 0;
    for (let i = start + TIMEOUT.length; i < end; i++) {
      const digit = at(bytes, i) - 48;
      if (digit < 0 || digit > 9) return;
      value = value * 10 + digit;
    }
    seconds = value;
  });
  return seconds;
}
