/** Strict parser of HTTP/1.1 response heads (RFC 9112 section 4), as pods answer them. */
import { FIELD, ascii, at } from './bytes.ts';
import { FieldSection, INCOMPLETE, type FieldLimits } from './fields.ts';

const defaultResponseLimits: FieldLimits = { headBytes: 65_536, fields: 256 };

const VERSION = ascii('HTTP/1.');
/** `HTTP/1.1 200` */
const STATUS_LENGTH = 12;

export class ResponseHead {
  readonly fields: FieldSection;
  start = 0;
  status = 0;
  minor = 1;
  /** Behind the CRLF of the status line. */
  lineEnd = 0;
  readonly #limits: FieldLimits;

  constructor(limits: FieldLimits = defaultResponseLimits) {
    this.#limits = limits;
    this.fields = new FieldSection('response', limits);
  }

  /** Offset behind the head in `bytes[start, end)`, INCOMPLETE, or REFUSED with `fields.refusal`. */
  parse(bytes: Buffer, start: number, end: number): number {
    const fields = this.fields;
    this.start = start;
    const limit = Math.min(end, start + this.#limits.headBytes);
    for (let i = 0; i < VERSION.length; i++) {
      if (start + i >= limit) return INCOMPLETE;
      if (at(bytes, start + i) !== at(VERSION, i)) return fields.refuse(400, 'the answer is not HTTP/1');
    }
    if (limit - start < STATUS_LENGTH + 1) return INCOMPLETE;
    this.minor = at(bytes, start + 7) - 48;
    const hundreds = at(bytes, start + 9) - 48;
    const tens = at(bytes, start + 10) - 48;
    const ones = at(bytes, start + 11) - 48;
    if ((this.minor !== 0 && this.minor !== 1) || at(bytes, start + 8) !== 32) {
      return fields.refuse(400, 'the status line is malformed');
    }
    if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) {
      return fields.refuse(400, 'the status is not a number');
    }
    this.status = hundreds * 100 + tens * 10 + ones;
    let p = start + STATUS_LENGTH;
    // The reason phrase may be missing altogether, with or without its space.
    if (at(bytes, p) !== 32 && at(bytes, p) !== 13) return fields.refuse(400, 'the status line is malformed');
    while (p < limit && at(FIELD, at(bytes, p)) === 1) p++;
    if (p + 1 >= limit) {
      return limit < end ? fields.refuse(431, 'the head is longer than the limit') : INCOMPLETE;
    }
    if (at(bytes, p) !== 13 || at(bytes, p + 1) !== 10) {
      return fields.refuse(400, 'the status line has a forbidden byte');
    }
    this.lineEnd = p + 2;
    return fields.parse(bytes, start, this.lineEnd, end);
  }
}
